//! Secrets stay out of the log, at every level, in every format, on every node.

use serde_json::json;
use testkit::{Database, Nats, Process, Store, apply, both_stores, rstest};

const PASSWORD: &str = "Zug um halb neun";
const OTHER: &str = "Kaffee ohne Milch";
const WRONG: &str = "Regen am Dienstag";
const TEXT: &str = "unter vier Augen";
/// The most detailed log, including the crates that log frame contents at this level.
const LOG: &str = "trace,tungstenite::protocol=trace,async_nats=trace";

#[apply(both_stores)]
async fn no_secrets_stand_in_the_log_for_machines(store: Store) {
    secrets(store, "json").await;
}

#[apply(both_stores)]
async fn no_secrets_stand_in_the_log_for_people(store: Store) {
    secrets(store, "text").await;
}

async fn secrets(store: Store, format: &str) {
    let database = Database::new(store).await;
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("AUTH", "required"),
        ("LOG", LOG),
        ("LOG_FORMAT", format),
    ];
    let process = Process::start(database.folder.path(), &settings).await;
    let tokens = play(&process, &process).await;
    let (_, log) = process.stop().await;
    assert_untold(&log, &tokens);
    // The log still names the events.
    for part in ["login failed", "refused", "127.0.0.1", "answered"] {
        assert!(log.contains(part), "{part} is not in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn no_secrets_stand_in_the_logs_of_linked_nodes() {
    let nats = Nats::start().await;
    let (database, nats) = (Database::new(Store::Postgres).await, nats.url());
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("NATS_URL", nats.as_str()),
        ("AUTH", "required"),
        ("LOG", LOG),
    ];
    let here = Process::start(database.folder.path(), &settings).await;
    let there = Process::start(database.folder.path(), &settings).await;
    for node in [&here, &there] {
        testkit::until_link(&node.client(), "up").await;
    }
    let tokens = play(&here, &there).await;
    for node in [here, there] {
        let (_, log) = node.stop().await;
        assert_untold(&log, &tokens);
        assert!(log.contains("answered"), "it says nothing at all");
    }
}

fn assert_untold(log: &str, tokens: &[String; 2]) {
    let secrets = [
        PASSWORD,
        OTHER,
        WRONG,
        TEXT,
        "vier Augen",
        "vier%20Augen",
        "argon2id$",
    ];
    let tokens = tokens.iter().map(String::as_str);
    for secret in secrets.into_iter().chain(tokens) {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
}

/// Sends every kind of secret, right and wrong, to every place that takes one. The socket is on the other
/// node if there are two. Returns the tokens.
async fn play(process: &Process, elsewhere: &Process) -> [String; 2] {
    let client = process.client();
    let body = |password: &str| json!({ "username": "carl", "password": password });
    let carl = client.post("/user", body(PASSWORD)).await.expect(201);
    client
        .post("/login", body(WRONG))
        .await
        .expect_error(401, "unauthorized");
    let token = async || {
        let login = client.login("carl", PASSWORD).await;
        login["token"].as_str().expect("a token").to_owned()
    };
    let (first, second) = (token().await, token().await);
    let me = client.with_token(&first);

    let chat = me.new_chat("general").await;
    let path = format!("/chat/{chat}/message");
    let sent = me.post(&path, json!({ "content": TEXT })).await.expect(201);
    let edit = json!({ "content": format!("{TEXT} zwei") });
    me.put(&format!("/message/{}", sent["messageId"]), edit)
        .await
        .expect(200);
    me.get(&format!("{path}?q=vier%20Augen")).await.expect(200);
    let mut socket = elsewhere.socket().await;
    socket
        .send(json!({ "type": "connect-chat", "content": TEXT }))
        .await;
    socket.expect_error("invalid_field").await;
    let wrong = json!({ "chatId": chat, "token": &second[1..] });
    socket.refused("connect-chat", wrong, "unauthorized").await;
    let connect = json!({ "chatId": chat, "token": second, "since": 0 });
    socket.ask("connect-chat", connect).await;
    let said = json!({ "chatId": chat, "content": TEXT });
    socket.ask("send-message", said.clone()).await;
    // Messages go over the link in both directions.
    me.post(&path, json!({ "content": format!("{TEXT} drei") }))
        .await
        .expect(201);
    socket.frames_before(&format!("{TEXT} drei")).await;
    client
        .get(&format!("/me?token={first}"))
        .await
        .expect_error(401, "unauthorized");
    me.put(
        &format!("/user/{}", carl["customerId"]),
        json!({ "password": OTHER }),
    )
    .await
    .expect(200);
    assert_eq!(socket.closed().await, 4001);
    me.post("/logout", json!({})).await.expect(204);
    [first, second]
}
