//! Copies made by the databases' own tools, as in the README.

use super::{sample_data::SampleData, serve};
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};
use testkit::{Database, Store};
use tokio::process::Command;

/// Runs a program of Postgres to its end.
async fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().await;
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn pg_dump_beside_a_running_server_and_pg_restore_bring_everything() {
    let database = Database::new(Store::Postgres).await;
    let server = serve(&database, &[]).await;
    let sample = SampleData::create(&server).await;
    let file = database.folder.path().join("chat.dump");
    let file = file.to_str().expect("UTF-8");
    let name = format!("--file={file}");
    run("pg_dump", &["--format=custom", &name, &database.url]).await;

    let copy = Database::new(Store::Postgres).await;
    let into = format!("--dbname={}", copy.url);
    let safely = ["--exit-on-error", "--single-transaction"];
    run("pg_restore", &[&safely[..], &[&into, file]].concat()).await;
    assert_eq!(copy.export().await, database.export().await);
    let again = serve(&copy, &[]).await;
    let seen = sample.seen(&server.client()).await;
    assert_eq!(sample.seen(&again.client()).await, seen);
}

#[tokio::test]
async fn vacuum_into_beside_a_running_server_copies_everything() {
    let database = Database::new(Store::Sqlite).await;
    let server = serve(&database, &[]).await;
    let sample = SampleData::create(&server).await;
    let copy = Database::new(Store::Sqlite).await;
    // What the program sqlite3 does.
    let file = database.folder.path().join("messaging.db");
    let options = SqliteConnectOptions::new().filename(file);
    let mut other: SqliteConnection = options.connect().await.expect("SQLite");
    let into = copy.folder.path().join("messaging.db");
    sqlx::query("VACUUM INTO $1")
        .bind(into.to_str().expect("UTF-8"))
        .execute(&mut other)
        .await
        .expect("a copy");
    assert_eq!(copy.export().await, database.export().await);
    let again = serve(&copy, &[]).await;
    let seen = sample.seen(&server.client()).await;
    assert_eq!(sample.seen(&again.client()).await, seen);
}
