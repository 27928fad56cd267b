//! An SQLite file that another process has locked for writing, as a shell or a backup does for a while.

use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};
use std::time::{Duration, Instant};
use testkit::{Client, Database, PASSWORD, Process, Store, patiently};

/// Within this every send is answered.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Asks for each kind of write, all of which must be refused in time.
async fn writes_are_refused(client: &Client, [carl, chat, message]: [i64; 3]) {
    let user = json!({ "username": "sigmund", "password": PASSWORD });
    let text = json!({ "customerId": carl, "content": "lost" });
    let begun = Instant::now();
    let path = format!("/chat/{chat}/message");
    let send = client.post(&path, text.clone()).await;
    send.expect_error(503, "unavailable");
    let took = begun.elapsed();
    assert!(took < ANSWER_LIMIT, "{took:?}");
    let edit = client.put(&format!("/message/{message}"), text).await;
    edit.expect_error(503, "unavailable");
    let sign_up = client.post("/user", user).await;
    sign_up.expect_error(503, "unavailable");
    let deletion = client.delete(&format!("/chat/{chat}")).await;
    deletion.expect_error(503, "unavailable");
    let ready = client.get("/health/ready").await;
    ready.expect_error(503, "unavailable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_of_another_process_makes_writes_unavailable_while_it_lasts() {
    let database = Database::new(Store::Sqlite).await;
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("DEMO_DATA", "false"),
    ];
    let process = Process::start(database.folder.path(), &settings).await;
    let client = process.client();
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    let first = client.say(carl, chat, "first").await;
    let message = first["messageId"].as_i64().expect("an id");
    database.settle(chat, carl).await;
    let mut socket = process.socket().await;
    socket.enter(carl, chat).await;

    let mut locker = SqliteConnection::connect(&database.url).await.unwrap();
    locker.execute("BEGIN IMMEDIATE").await.unwrap();
    writes_are_refused(&client, [carl, chat, message]).await;
    let lost = json!({ "chatId": chat, "content": "lost" });
    socket.refused("send-message", lost, "unavailable").await;
    let path = format!("/chat/{chat}/message");
    assert_eq!(client.list(&path).await, [first], "reads go on");

    locker.execute("COMMIT").await.unwrap();
    locker.close().await.unwrap();
    let ready = async { while client.get("/health/ready").await.status != 200 {} };
    patiently("the server to be ready", ready).await;
    let second = socket.say(chat, "second").await;
    assert_eq!(second["seq"], 2, "nothing was stored before: {second}");
    let sign_up = json!({ "username": "sigmund", "password": PASSWORD });
    client.post("/user", sign_up).await.expect(201);
    let (status, log) = process.stop().await;
    assert!(status.success(), "{log}");
    assert!(!log.contains("internal error"), "{log}");
}
