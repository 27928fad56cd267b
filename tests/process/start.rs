//! When the binary listens, and which signals stop it.

use sqlx::{Connection, PgConnection};
use std::process::Stdio;
use testkit::{Database, Process, Store, apply, both_stores, patiently, rstest};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::Command,
};

#[apply(both_stores)]
async fn a_hangup_is_a_graceful_stop(store: Store) {
    let database = Database::new(store).await;
    let settings = [("DATABASE_URL", database.url.as_str())];
    let process = Process::start(database.folder.path(), &settings).await;
    let client = process.client();
    let user = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    let mut socket = process.socket().await;
    socket.connect(user, chat).await;
    process.signal("-HUP").await;
    assert_eq!(socket.closed().await, 1012);
    let (status, log) = process.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("\"stopped\""), "{log}");
}

/// With SIGHUP ignored, as nohup leaves it, the server outlives its terminal.
#[tokio::test]
async fn a_hangup_that_is_ignored_stays_ignored() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new("nohup")
        .arg(testkit::server_binary())
        .env_clear()
        .env("PORT", "0")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("nohup");
    let mut log = BufReader::new(child.stdout.take().expect("its log")).lines();
    let mut until = async |words: &str| {
        let line = async {
            while let Some(line) = log.next_line().await.expect("a line") {
                if line.contains(words) {
                    return;
                }
            }
            panic!("the log ended without {words:?}");
        };
        patiently(words, line).await;
    };
    until("listening on").await;
    let id = child.id().expect("a running process").to_string();
    let signal = async |signal: &str| {
        let status = Command::new("kill").args([signal, &id]).status().await;
        assert!(status.expect("kill").success());
    };
    // The first would stop it before the second comes: both are taken in the order of their numbers.
    signal("-HUP").await;
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("its status");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.expect("a mask").trim(), 16).expect("a mask");
    assert_eq!(ignored & 1, 1, "SIGHUP is not ignored");
    signal("-TERM").await;
    until("\"stopped\"").await;
    let ended = patiently("the end", child.wait())
        .await
        .expect("how it ended");
    assert_eq!(ended.code(), Some(0));
}

/// The original on its port, and its database: nothing of it is changed by a start that is refused.
#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_port_that_is_taken_leaves_the_original_database_as_it_is() {
    let original = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = original.local_addr().expect("an address").port();
    let database = Database::new(Store::Postgres).await;
    let tables = "CREATE TABLE customer (customer_id serial PRIMARY KEY, \
            username varchar(255) NOT NULL UNIQUE, password varchar(255) NOT NULL, \
            created_at timestamptz NOT NULL DEFAULT now()); \
        CREATE TABLE chat (chat_id serial PRIMARY KEY, chat_name varchar(255) NOT NULL, \
            created_at timestamptz NOT NULL DEFAULT now()); \
        CREATE TABLE customer_chat (customer_id int NOT NULL REFERENCES customer, \
            chat_id int NOT NULL REFERENCES chat, \
            role varchar(50) NOT NULL DEFAULT 'participant', \
            joined_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (customer_id, chat_id)); \
        CREATE TABLE message (message_id serial PRIMARY KEY, chat_id int NOT NULL REFERENCES chat, \
            customer_id int NOT NULL REFERENCES customer, content text NOT NULL, \
            sent_at timestamptz NOT NULL DEFAULT now()); \
        INSERT INTO customer (username, password) VALUES ('carl', 'secret')";
    database.execute(tables.to_owned()).await;
    let before = schema(&database).await;
    let port = port.to_string();
    let settings = [("DATABASE_URL", database.url.as_str()), ("PORT", &port)];
    let (status, complaint) = Process::refused(database.folder.path(), &settings).await;
    assert_eq!(status.code(), Some(1), "{complaint}");
    let words = format!("cannot listen on 127.0.0.1:{port}");
    assert!(complaint.contains(&words), "{complaint}");
    assert_eq!(schema(&database).await, before);

    // Once the original is gone, the same start succeeds.
    drop(original);
    let process = Process::start(database.folder.path(), &settings).await;
    assert_eq!(process.client().list("/user").await[0]["username"], "carl");
}

/// Every table with its columns, and the password as it is stored.
async fn schema(database: &Database) -> String {
    let sql = "SELECT (SELECT string_agg(concat_ws(' ', table_name, column_name, data_type), ', ' \
                   ORDER BY table_name, column_name) FROM information_schema.columns \
                   WHERE table_schema = 'public') || (SELECT password FROM customer)";
    let mut db = PgConnection::connect(&database.url)
        .await
        .expect("Postgres");
    sqlx::query_scalar(sql)
        .fetch_one(&mut db)
        .await
        .expect("a schema")
}

/// A new folder stays empty as well.
#[tokio::test]
async fn a_port_that_is_taken_leaves_no_file_behind() {
    let other = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = other.local_addr().expect("an address").port().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let (status, complaint) = Process::refused(folder.path(), &[("PORT", &port)]).await;
    assert_eq!(status.code(), Some(1), "{complaint}");
    let left = std::fs::read_dir(folder.path())
        .expect("the folder")
        .count();
    assert_eq!(left, 0, "files are left behind");
}
