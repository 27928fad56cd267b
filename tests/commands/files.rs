//! The files that the server and the commands write: their owners, their rights, and files that exist
//! in their place.

use super::serve;
use rustix::fs::OFlags;
use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt, chown, symlink},
    path::Path,
    process::Command,
};
use testkit::{Database, Store, apply, both_stores, rstest};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

/// A database with a user in it.
async fn world(store: Store) -> Database {
    let database = Database::new(store).await;
    let made = database.command_with(&["create-user", "carl"], b"Zug um halb neun");
    made.await.expect_success();
    database
}

#[apply(both_stores)]
async fn an_export_follows_a_link_to_its_file(store: Store) {
    let database = world(store).await;
    let folder = database.folder.path();
    fs::create_dir(folder.join("backups")).unwrap();
    fs::write(folder.join("backups/today"), "an older copy").unwrap();
    symlink("backups/today", folder.join("latest")).unwrap();
    database
        .command(&["export", "latest"])
        .await
        .expect_success();
    assert!(folder.join("latest").is_symlink());
    let copy = fs::read(folder.join("backups/today")).unwrap();
    assert_eq!(copy, database.export().await);
    assert_eq!(mode(&folder.join("backups/today")), 0o600);

    symlink("nowhere", folder.join("dangling")).unwrap();
    let refused = database.command(&["export", "dangling"]).await;
    refused.expect_failure(&["dangling is a link to a file that does not exist"]);
}

#[apply(both_stores)]
async fn an_export_follows_no_link_in_the_place_of_its_partial_file(store: Store) {
    let database = world(store).await;
    let folder = database.folder.path();
    fs::write(folder.join("letter"), "Dear diary").unwrap();
    symlink("letter", folder.join("copy.partial")).unwrap();
    database.command(&["export", "copy"]).await.expect_success();
    assert_eq!(fs::read(folder.join("letter")).unwrap(), b"Dear diary");
    assert_eq!(
        fs::read(folder.join("copy")).unwrap(),
        database.export().await
    );
    assert!(!folder.join("copy.partial").is_symlink());
}

#[apply(both_stores)]
async fn an_export_goes_through_pipes_and_devices(store: Store) {
    let database = world(store).await;
    let whole = database.export().await;
    // Standard output is a pipe here.
    let through = database.command(&["export", "/dev/stdout"]).await;
    assert_eq!(through.expect_success(), whole);
    assert!(fs::symlink_metadata("/dev/stdout").unwrap().is_symlink());

    database
        .command(&["export", "/dev/null"])
        .await
        .expect_success();
    let null = fs::metadata("/dev/null").unwrap();
    assert!(null.file_type().is_char_device());

    let pipe = database.folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let reading = pipe.clone();
    let reader = tokio::task::spawn_blocking(move || fs::read(reading).unwrap());
    database.command(&["export", "pipe"]).await.expect_success();
    assert_eq!(reader.await.unwrap(), whole);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
}

#[apply(both_stores)]
async fn an_export_replaces_no_folder_and_no_file_of_another_user(store: Store) {
    let database = world(store).await;
    let folder = database.folder.path();
    let whole = database.export().await;
    fs::create_dir(folder.join("folder")).unwrap();
    let refused = database.command(&["export", "folder"]).await;
    refused.expect_failure(&["neither a file nor a pipe"]);

    // Root can give a file to another user. Without root, a file of the system serves as a foreign file.
    let mut foreign = folder.join("foreign");
    fs::write(&foreign, "not yours").unwrap();
    if chown(&foreign, Some(65534), None).is_err() {
        foreign = "/etc/passwd".into();
    }
    let before = fs::read(&foreign).unwrap();
    let path = foreign.to_str().unwrap();
    let refused = database.command(&["export", path]).await;
    refused.expect_failure(&["belongs to another user"]);
    assert_eq!(fs::read(&foreign).unwrap(), before);

    if store == Store::Sqlite {
        symlink("messaging.db", folder.join("backup")).unwrap();
        let names = [
            "messaging.db",
            "backup",
            "messaging.db.lock",
            "messaging.db.epoch",
            "messaging.db.sock",
            "messaging.db-journal",
        ];
        for name in names {
            let refused = database.command(&["export", name]).await;
            refused.expect_failure(&["belongs to the database that is exported"]);
        }
    }
    assert_eq!(database.export().await, whole);
}

#[apply(both_stores)]
async fn an_export_that_was_killed_is_in_nobodys_way(store: Store) {
    let database = world(store).await;
    let folder = database.folder.path();
    let partial = folder.join("copy.partial");
    fs::write(&partial, "the first half").unwrap();
    {
        let running = fs::File::open(&partial).unwrap();
        running.lock().unwrap();
        let refused = database.command(&["export", "copy"]).await;
        refused.expect_failure(&["another export is writing to"]);
    }
    database.command(&["export", "copy"]).await.expect_success();
    assert_eq!(
        fs::read(folder.join("copy")).unwrap(),
        database.export().await
    );
    assert!(!partial.exists());
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let mut database = world(Store::Sqlite).await;
    let refused = database.command(&["import", "away.jsonl"]).await;
    refused.expect_failure(&["away.jsonl", "No such file"]);
    // Root may read every file, so this test uses an invalid path in place of missing rights.
    database.url.push_str("/messaging.db");
    let refused = database.command(&["export"]).await;
    refused.expect_failure(&["cannot open the database", "Not a directory"]);
}

#[tokio::test]
async fn the_data_folder_and_what_is_in_it_are_their_owners_alone() {
    let mut database = Database::new(Store::Sqlite).await;
    let folder = database.folder.path().join("deep/data");
    database.url = format!("sqlite://{}/messaging.db", folder.display());
    let server = serve(&database).await;
    server.client().new_user("carl").await;
    assert_eq!(mode(&folder), 0o700);
    let names = ["messaging.db", "messaging.db-wal", "messaging.db.lock"];
    for name in names {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    server.stop().await;
}

#[apply(both_stores)]
async fn an_export_that_is_not_read_gives_up(store: Store) {
    let database = world(store).await;
    let pipe = database.folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let words = ["export", "--stall-seconds", "1", "pipe"];
    let given_up = database.command(&words).await;
    given_up.expect_failure(&["the output was not read for 1 s"]);
    // The pipe has a reader, so that the export begins, and is full, so that the export cannot go on.
    let mut full = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(&pipe)
        .unwrap();
    while full.write(&[b'x'; 4096]).is_ok() {}
    let given_up = database.command(&words).await;
    given_up.expect_failure(&["the output was not read for 1 s"]);
    // The database is not locked: another export succeeds.
    database.export().await;
}
