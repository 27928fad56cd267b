//! Backups made by the tools of the database and restored in its place.

use crate::epoch;
use std::{
    fs,
    path::{Path, PathBuf},
};
use testkit::{Database, Process, Room, Server, Store};
use tokio::process::Command;

/// A backup made by the database's own tools.
pub enum Backup {
    /// A copy of the file.
    File(PathBuf),
    /// A dump.
    Dump(PathBuf),
}

impl Backup {
    /// Makes a backup of a database on which no server runs.
    pub async fn of(database: &Database) -> Self {
        let folder = database.folder.path();
        let Some(file) = file_of(database) else {
            let dump = folder.join("chat.dump");
            let name = format!("--file={}", dump.display());
            run("pg_dump", &["--format=custom", &name, &database.url]).await;
            return Self::Dump(dump);
        };
        let copy = folder.join("backup.db");
        fs::copy(file, &copy).expect("a copy");
        Self::File(copy)
    }

    /// Replaces the database with this backup.
    pub async fn restore(&self, database: &Database) {
        match self {
            Self::File(copy) => {
                let file = file_of(database).expect("a file");
                fs::copy(copy, file).expect("a restored file");
            }
            Self::Dump(dump) => {
                let into = format!("--dbname={}", database.url);
                let dump = dump.to_str().expect("UTF-8");
                run("pg_restore", &["--clean", "--exit-on-error", &into, dump]).await;
            }
        }
    }
}

fn file_of(database: &Database) -> Option<PathBuf> {
    database.url.strip_prefix("sqlite://").map(PathBuf::from)
}

/// Runs a program of Postgres to its end.
async fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().await;
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
}

/// Returns the database with a URL that names a file in this folder.
fn in_folder(database: Database, name: &str) -> Database {
    let file = database.folder.path().join(name).join("messaging.db");
    Database {
        url: format!("sqlite://{}", file.display()),
        folder: database.folder,
    }
}

/// Starts a server in a folder called `old`, sends messages to a chat, and stops the server. Returns the
/// database, its epoch, the id of the user and the id of the chat.
async fn stopped() -> (Database, String, i64, i64) {
    let database = in_folder(Database::new(Store::Sqlite).await, "old");
    let server = Server::start_on(database, &[]).await;
    let client = server.client();
    let (carl, chat) = (
        client.new_user("carl").await,
        client.new_chat("general").await,
    );
    client.say(carl, chat, "one").await;
    let name = epoch(&server, carl, chat).await;
    (server.stop().await, name, carl, chat)
}

#[tokio::test]
async fn a_folder_with_another_name_is_the_same_log() {
    let (database, before, carl, chat) = stopped().await;
    let (old, new) = (
        database.folder.path().join("old"),
        database.folder.path().join("new"),
    );
    fs::rename(old, new).expect("a renamed folder");
    let server = Server::start_on(in_folder(database, "new"), &[]).await;
    assert_eq!(epoch(&server, carl, chat).await, before);
    server.stop().await;
}

#[tokio::test]
async fn a_copy_of_the_file_alone_is_another_log() {
    let (database, before, carl, chat) = stopped().await;
    let folder = database.folder.path();
    fs::create_dir(folder.join("new")).expect("a folder");
    let name = |folder_name: &str| folder.join(folder_name).join("messaging.db");
    fs::copy(name("old"), name("new")).expect("a copy");
    let server = Server::start_on(in_folder(database, "new"), &[]).await;
    assert_ne!(epoch(&server, carl, chat).await, before);
    server.stop().await;
}

#[tokio::test]
async fn a_copy_of_the_folder_is_another_log_where_files_have_times_of_birth() {
    let (database, before, carl, chat) = stopped().await;
    let (old, new) = (
        database.folder.path().join("old"),
        database.folder.path().join("new"),
    );
    copy_folder(&old, &new);
    let note = fs::metadata(new.join("messaging.db.epoch")).expect("a note");
    let can_be_told = note.created().is_ok();
    let server = Server::start_on(in_folder(database, "new"), &[]).await;
    assert_eq!(epoch(&server, carl, chat).await != before, can_be_told);
    server.stop().await;
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("a file");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

/// A database after a crash is at most seconds behind, and is not taken for a restored copy.
#[tokio::test]
async fn a_crash_is_no_restore() {
    let room = Room::open(Store::Sqlite).await;
    let before = epoch(&room.server, room.carl, room.chat).await;
    let (carl, chat) = (room.carl, room.chat);
    let database = room.server.stop().await;
    for _ in 0..2 {
        let settings = [("DATABASE_URL", database.url.as_str())];
        let process = Process::start(database.folder.path(), &settings).await;
        process.client().say(carl, chat, "before a crash").await;
        process.kill().await;
    }
    let server = Server::start_on(database, &[]).await;
    assert_eq!(epoch(&server, carl, chat).await, before);
    server.stop().await;
}
