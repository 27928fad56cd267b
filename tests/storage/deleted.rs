//! Deleted text is gone from the disk, and the log of an SQLite file stays short.

use serde_json::json;
use std::{fs, os::unix::fs::symlink, path::Path};
use testkit::{Database, Process, patiently};

/// How often a text is in the files of a database.
fn copies(folder: &Path, text: &str) -> usize {
    let files = ["messaging.db", "messaging.db-wal"];
    let bytes = files.map(|file| fs::read(folder.join(file)).unwrap_or_default());
    bytes
        .iter()
        .map(|bytes| {
            let places = bytes.windows(text.len());
            places.filter(|place| *place == text.as_bytes()).count()
        })
        .sum()
}

async fn start(folder: &Path) -> Process {
    start_on(folder, "messaging.db").await
}

async fn start_on(folder: &Path, file: &str) -> Process {
    let url = format!("sqlite://{}/{file}", folder.display());
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("AUTH", "open"),
        ("RATE_LIMIT", "off"),
        ("DEMO_DATA", "false"),
    ];
    Process::start(folder, &settings).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_and_edited_text_is_gone_from_the_files() {
    const SECRET: &str = "the treasure is under the oak";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let process = start(folder.path()).await;
    let client = process.client();
    let carl = client.new_user("carl").await;
    let chats = [
        client.new_chat("general").await,
        client.new_chat("other").await,
    ];
    for n in 0..30 {
        let text = format!("{n}: {SECRET}, {}", "and so on ".repeat(n * 20));
        let message = client.say(carl, chats[n % 2], &text).await;
        if n % 2 == 1 {
            continue;
        }
        let path = format!("/message/{}", message["messageId"]);
        let edit = json!({ "customerId": carl, "content": "nothing" });
        match n % 4 {
            0 => client.put(&path, edit).await.expect(200),
            _ => client.delete(&path).await.expect(204),
        };
    }
    assert!(copies(folder.path(), SECRET) > 0);
    client
        .delete(&format!("/chat/{}", chats[1]))
        .await
        .expect(204);
    let gone = async {
        while copies(folder.path(), SECRET) > 0 {
            client.get("/health/live").await.expect(200);
        }
    };
    patiently("the text to go", gone).await;
    process.stop().await;
}

/// A reader that stays lets the log grow; once it is gone, the log is short without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_short_again_after_a_reader_that_stayed() {
    const SHORT: u64 = 4 << 20;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let process = start(folder.path()).await;
    let client = process.client();
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    let database = Database {
        url: format!("sqlite://{}/messaging.db", folder.path().display()),
        folder: tempfile::tempdir().expect("a temporary folder"),
    };
    let reader = Reader::of(&database).await;
    let log = || fs::metadata(folder.path().join("messaging.db-wal")).map_or(0, |log| log.len());
    let text = "a long text ".repeat(300);
    while log() <= 2 * SHORT {
        client.say(carl, chat, &text).await;
    }
    drop(reader);
    let shrunk = async {
        while log() > SHORT {
            client.say(carl, chat, "a short text").await;
        }
    };
    patiently("the log to be short", shrunk).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_file_behind_a_link_is_emptied() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (status, _) = start(folder.path()).await.stop().await;
    assert!(status.success(), "{status}");
    symlink("messaging.db", folder.path().join("link.db")).expect("a link");
    let process = start_on(folder.path(), "link.db").await;
    let client = process.client();
    client.new_user("carl").await;
    let log = || fs::metadata(folder.path().join("messaging.db-wal")).map_or(0, |log| log.len());
    assert!(log() > 0, "SQLite writes the log beside the file itself");
    let emptied = async {
        while log() > 0 {
            client.get("/health/live").await.expect(200);
        }
    };
    patiently("the log to be empty", emptied).await;
    process.stop().await;
}

/// A transaction that has begun to read, in another process's way. It lasts as long as this value.
struct Reader {
    _connection: sqlx::SqliteConnection,
}

impl Reader {
    async fn of(database: &Database) -> Self {
        use sqlx::{Connection, Executor};
        let mut db = sqlx::SqliteConnection::connect(&database.url)
            .await
            .expect("the database");
        let begin = "BEGIN; SELECT count(*) FROM message";
        db.execute(begin).await.expect("a reader");
        Self { _connection: db }
    }
}
