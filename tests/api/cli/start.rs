//! Start and stop of the binary.

use futures_util::future::join_all;
use serde_json::json;
use tempfile::TempDir;
use testkit::{Client, Database, Process, Store, field};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The sample data as the original's script has it.
async fn has_the_sample(client: &Client) {
    let users = client.list("/user").await;
    assert_eq!(field(&users, "customerId"), [1, 2, 3]);
    assert_eq!(field(&users, "username"), ["carl", "sigmund", "gustav"]);
    let chats = client.list("/chat").await;
    assert_eq!(field(&chats, "chatId"), [1, 2]);
    assert_eq!(field(&chats, "chatName"), ["general", "random"]);
    let general = client.list("/user/chat/1").await;
    assert_eq!(field(&general, "username"), ["carl", "sigmund"]);
    assert_eq!(field(&general, "role"), ["admin", "participant"]);
    let random = client.list("/user/chat/2").await;
    assert_eq!(field(&random, "username"), ["gustav"]);
    assert_eq!(field(&random, "role"), ["participant"]);
}

#[tokio::test]
async fn without_any_settings_it_serves_sample_data_from_a_file_in_its_folder() {
    let folder = folder();
    let process = Process::start(folder.path(), &[]).await;
    assert!(process.address.ip().is_loopback());
    assert!(folder.path().join("data/messaging.db").is_file());
    has_the_sample(&process.client()).await;
    // The original's example deletes message 10, which carl wrote in general.
    let message = process.client().get("/message/10").await.expect(200);
    assert_eq!(
        (&message["username"], &message["chatId"]),
        (&json!("carl"), &json!(1))
    );
}

#[tokio::test]
async fn sample_data_can_be_left_out() {
    let folder = folder();
    let process = Process::start(folder.path(), &[("DEMO_DATA", "false")]).await;
    assert_eq!(process.client().list("/user").await.len(), 0);
    assert_eq!(process.client().list("/chat").await.len(), 0);
}

#[tokio::test]
async fn a_database_that_was_named_gets_sample_data_only_on_demand() {
    let folder = folder();
    let url = "sqlite://named.db";
    let process = Process::start(folder.path(), &[("DATABASE_URL", url)]).await;
    assert_eq!(process.client().list("/user").await.len(), 0);
    process.stop().await;
    let settings = [("DATABASE_URL", url), ("DEMO_DATA", "true")];
    let process = Process::start(folder.path(), &settings).await;
    has_the_sample(&process.client()).await;
}

#[tokio::test]
async fn a_second_start_keeps_the_data_and_adds_nothing() {
    let folder = folder();
    let process = Process::start(folder.path(), &[]).await;
    let client = process.client();
    client.delete("/user/3").await.expect(204);
    let said = client.say(1, 1, "Still here?").await;
    let paths = [
        "/user",
        "/chat",
        "/user/chat/1",
        "/chat/1/message",
        "/chat/2/message",
    ];
    let everything =
        async |client: Client| join_all(paths.map(async |path| client.list(path).await)).await;
    let before = everything(client).await;
    assert!(before[3].contains(&said));
    process.stop().await;

    let process = Process::start(folder.path(), &[]).await;
    assert_eq!(everything(process.client()).await, before);
}

#[tokio::test]
async fn sample_data_is_not_put_among_other_data() {
    let folder = folder();
    let process = Process::start(folder.path(), &[("DEMO_DATA", "false")]).await;
    process.client().new_chat("mine").await;
    process.stop().await;
    let process = Process::start(folder.path(), &[("DEMO_DATA", "true")]).await;
    assert_eq!(process.client().list("/user").await.len(), 0);
    assert_eq!(
        field(&process.client().list("/chat").await, "chatName"),
        ["mine"]
    );
}

#[tokio::test]
async fn a_second_process_on_the_same_file_is_refused() {
    let folder = folder();
    let first = Process::start(folder.path(), &[]).await;
    let (status, complaint) = Process::refused(folder.path(), &[("PORT", "0")]).await;
    assert_eq!(status.code(), Some(1), "{complaint}");
    assert!(
        complaint.contains("data/messaging.db is in use"),
        "{complaint}"
    );
    has_the_sample(&first.client()).await;
    // Once the first is gone, however it went, the file is free.
    first.kill().await;
    has_the_sample(&Process::start(folder.path(), &[]).await.client()).await;
}

#[tokio::test]
async fn a_port_that_is_taken_stops_the_start() {
    let (one, other) = (folder(), folder());
    let first = Process::start(one.path(), &[]).await;
    let port = first.address.port().to_string();
    let (status, complaint) = Process::refused(other.path(), &[("PORT", &port)]).await;
    assert_eq!(status.code(), Some(1), "{complaint}");
    assert!(
        complaint.contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{complaint}"
    );
}

#[tokio::test]
async fn sigterm_stops_it_with_exit_code_0() {
    let folder = folder();
    let process = Process::start(folder.path(), &[]).await;
    let mut socket = process.socket().await;
    socket.connect(1, 1).await;
    process.client().say(1, 1, "Goodbye.").await;
    let (status, log) = process.stop().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped"), "{log}");
    // The file is whole without its write-ahead log.
    let wal = folder.path().join("data/messaging.db-wal");
    assert!(!wal.exists(), "the write-ahead log was left behind");
}

#[tokio::test]
async fn passwords_stand_nowhere_in_the_log() {
    let folder = folder();
    let process = Process::start(folder.path(), &[("LOG", "trace")]).await;
    let client = process.client();
    let body = json!({ "username": "otto", "password": "hunter2-hunter2" });
    client.post("/user", body.clone()).await.expect(201);
    client
        .post("/user", body.clone())
        .await
        .expect_error(409, "username_taken");
    client
        .put("/user/1", body)
        .await
        .expect_error(409, "username_taken");
    let wrong = json!({ "username": ["hunter2-hunter2"], "password": "hunter2-hunter2" });
    client
        .post("/user", wrong)
        .await
        .expect_error(400, "invalid_field");
    let (_, log) = process.stop().await;
    assert!(log.contains("/user"), "the requests are in the log");
    assert!(!log.contains("hunter2"), "{log}");
    assert!(!log.contains("argon2id$"), "{log}");
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn several_servers_may_start_at_once_on_one_new_database() {
    let database = Database::new(Store::Postgres).await;
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("DEMO_DATA", "true"),
    ];
    let starting = (0..4).map(|_| Process::start(database.folder.path(), &settings));
    let processes = join_all(starting).await;
    for process in &processes {
        has_the_sample(&process.client()).await;
    }
    let said = processes[0].client().say(1, 1, "Hi.").await;
    for process in &processes {
        let path = format!("/message/{}", said["messageId"]);
        assert_eq!(process.client().get(&path).await.expect(200), said);
    }
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn the_original_variables_name_a_postgres_database() {
    let database = Database::new(Store::Postgres).await;
    let url = url::Url::parse(&database.url).expect("a URL");
    let port = url.port().unwrap_or(5432).to_string();
    let settings = [
        ("DB_HOST", url.host_str().expect("a host")),
        ("DB_PORT", &port),
        ("DB_USER", url.username()),
        ("DB_PASS", url.password().unwrap_or("any")),
        ("DB_NAME", url.path().trim_start_matches('/')),
        ("DB_SSLMODE", "disable"),
    ];
    let process = Process::start(database.folder.path(), &settings).await;
    let carl = process.client().new_user("carl").await;
    let stored = database.stored_passwords().await;
    assert_eq!(stored.iter().map(|row| row.0).collect::<Vec<_>>(), [carl]);
}

#[tokio::test]
async fn an_unreachable_postgres_is_named_without_its_password() {
    let folder = folder();
    let url = "postgres://somebody:hunter2@127.0.0.1:1/chats";
    let settings = [
        ("DATABASE_URL", url),
        ("DB_WAIT_SECONDS", "0"),
        ("PORT", "0"),
    ];
    let (status, complaint) = Process::refused(folder.path(), &settings).await;
    assert_eq!(status.code(), Some(1), "{complaint}");
    assert!(
        complaint.contains("cannot reach Postgres at 127.0.0.1:1/chats"),
        "{complaint}"
    );
    assert!(!complaint.contains("hunter2"), "{complaint}");
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn an_error_of_postgres_has_no_line_of_its_source() {
    let database = Database::new(Store::Postgres).await;
    let missing = format!("{}_missing", database.url);
    let settings = [("DATABASE_URL", missing.as_str()), ("PORT", "0")];
    let (status, complaint) = Process::refused(database.folder.path(), &settings).await;
    assert_eq!(status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("does not exist"), "{complaint}");
    assert!(!complaint.contains("at line"), "{complaint}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_kept() {
    let folder = folder();
    let path = folder.path().join("letter.txt");
    let text = "Dear database, I am not one of yours. ".repeat(100);
    std::fs::write(&path, &text).expect("a file");
    let settings = [("DATABASE_URL", "sqlite://letter.txt"), ("PORT", "0")];
    let (status, complaint) = Process::refused(folder.path(), &settings).await;
    assert_eq!(status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("letter.txt"), "{complaint}");
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), text);
}
