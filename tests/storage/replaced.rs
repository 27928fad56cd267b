//! A file that is not the one that the server opened, or was left half written by a process that was killed.

use serde_json::json;
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use std::{fs, os::unix::fs::symlink};
use testkit::{Database, PASSWORD, Process, Server, Store};

#[tokio::test]
async fn a_file_that_is_away_or_another_takes_no_writes() {
    let server = Server::start(Store::Sqlite).await;
    let client = server.client();
    client.get("/health/ready").await.expect(200);
    let file = server.database.folder.path().join("messaging.db");
    let away = file.with_extension("away");
    let body = json!({ "username": "carl", "password": PASSWORD });
    fs::rename(&file, &away).unwrap();
    for another in [false, true] {
        if another {
            fs::write(&file, "another").unwrap();
        }
        let refused = client.post("/user", body.clone()).await;
        let refused = refused.expect_error(503, "unavailable");
        assert!(refused.to_string().contains("nothing was stored"));
    }
    // The one that it has open is back under its name.
    fs::rename(&away, &file).unwrap();
    client.post("/user", body).await.expect(201);
    server.stop().await;
}

#[tokio::test]
async fn a_link_to_a_file_in_use_is_refused_like_the_file() {
    let server = Server::start(Store::Sqlite).await;
    let folder = server.database.folder.path();
    symlink("messaging.db", folder.join("link.db")).unwrap();
    let url = format!("sqlite://{}", folder.join("link.db").display());
    let (_, said) = Process::refused(folder, &[("DATABASE_URL", &url), ("PORT", "0")]).await;
    assert!(said.contains("in use by another messaging-api"), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn a_hard_link_to_a_file_in_use_is_refused() {
    let server = Server::start(Store::Sqlite).await;
    let folder = server.database.folder.path();
    fs::hard_link(folder.join("messaging.db"), folder.join("link.db")).unwrap();
    let url = format!("sqlite://{}", folder.join("link.db").display());
    let (_, said) = Process::refused(folder, &[("DATABASE_URL", &url), ("PORT", "0")]).await;
    assert!(said.contains("2 names (hard links)"), "{said}");
    let words = ["check", "--database-url", &url];
    let checked = server.database.command(&words).await;
    checked.expect_failure(&["2 names (hard links)"]);
    server.stop().await;
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn what_is_done_to_data_needs_data() {
    for store in [Store::Sqlite, Store::Postgres] {
        let database = Database::new(store).await;
        for words in [&["new-epoch"][..], &["make-admin", "1", "carl"]] {
            let refused = database.command(words).await;
            refused.expect_failure(&["holds no data"]);
        }
        let refused = database.command_with(&["reset-password", "carl"], b"Zug um halb neun");
        refused.await.expect_failure(&["holds no data"]);
    }
}

#[tokio::test]
async fn what_a_killed_process_left_half_done_is_rolled_back_by_the_next_start() {
    let database = Database::new(Store::Sqlite).await;
    let made = database.command_with(&["create-user", "carl"], b"Zug um halb neun");
    made.await.expect_success();
    let whole = database.export().await;
    let folder = database.folder.path();
    let (file, copy) = (folder.join("messaging.db"), folder.join("copy.db"));
    // As a start leaves it that is killed before the file is in WAL mode: pages of a transaction are in
    // the file, and the journal has what was there before.
    let mut db = SqliteConnectOptions::new()
        .filename(&file)
        .pragma("journal_mode", "DELETE")
        .pragma("cache_size", "1")
        .connect()
        .await
        .unwrap();
    const WRITES: &str = "BEGIN IMMEDIATE; CREATE TABLE filler (text TEXT); \
        INSERT INTO filler WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2000) \
            SELECT hex(randomblob(200)) FROM n; \
        UPDATE customer SET username = 'sigmund'";
    sqlx::raw_sql(WRITES).execute(&mut db).await.unwrap();
    for end in ["", "-journal"] {
        let name = |file: &std::path::Path| format!("{}{end}", file.display());
        fs::copy(name(&file), name(&copy)).unwrap();
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    let url = format!("sqlite://{}", copy.display());
    let on_copy = async |command| {
        let words = [command, "--database-url", &url];
        database.command(&words).await
    };
    on_copy("check").await.expect_success();
    on_copy("migrate").await.expect_success();
    assert_eq!(on_copy("export").await.expect_success(), whole);
}
