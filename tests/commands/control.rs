//! Commands beside a running server. On SQLite they reach it through its control socket.

use super::serve;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};
use testkit::{Database, Store, apply, both_stores, patiently, rstest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

const PASSWORD: &str = "Zug um halb neun";
const OTHER: &str = "Kaffee ohne Milch";

fn control_socket(database: &Database) -> PathBuf {
    database.folder.path().join("messaging.db.sock")
}

#[apply(both_stores)]
async fn users_are_made_and_passwords_reset_beside_a_running_server(store: Store) {
    let database = Database::new(store).await;
    let server = serve(&database).await;
    let made = database.command_with(&["create-user", "carl"], PASSWORD.as_bytes());
    let made = made.await;
    assert!(made.text().contains("carl is user 1."), "{made:?}");
    made.expect_success();
    let client = server.client();
    let login = client.login("carl", PASSWORD).await;
    let token = login["token"].as_str().expect("a token");
    let chat = client.with_token(token).new_chat("general").await;
    let mut socket = server.socket().await;
    let content = json!({ "token": token, "chatId": chat });
    socket.ask("connect-chat", content).await;

    let reset = database.command_with(&["reset-password", "carl"], OTHER.as_bytes());
    let reset = reset.await;
    assert!(
        reset.text().contains("number of ended sessions: 1"),
        "{reset:?}"
    );
    reset.expect_success();
    // On SQLite the server itself ends the session, and closes its sockets at once.
    if store == Store::Sqlite {
        assert_eq!(socket.closed().await, 4001);
    }
    let ended = client.with_token(token).get("/me").await;
    ended.expect_error(401, "unauthorized");
    client.login("carl", OTHER).await;
    let (status, log) = server.stop().await;
    assert!(status.success(), "{log}");
    for password in [PASSWORD, OTHER] {
        assert!(!log.contains(password), "{log}");
    }
    assert!(!control_socket(&database).exists());
}

#[apply(both_stores)]
async fn a_command_is_refused_beside_a_server_as_without_one(store: Store) {
    let database = Database::new(store).await;
    let server = serve(&database).await;
    let create = database.command_with(&["create-user", "carl"], PASSWORD.as_bytes());
    create.await.expect_success();
    for (args, input, words) in [
        (["create-user", "carl"], PASSWORD, "taken"),
        (["create-user", " "], PASSWORD, "username must be"),
        (["create-user", "otto"], "", "password must be"),
        (["create-user", "otto"], "short", "at least 8 bytes"),
        (
            ["reset-password", "otto"],
            PASSWORD,
            "no user has the name otto",
        ),
    ] {
        let refused = database.command_with(&args, input.as_bytes()).await;
        refused.expect_failure(&[words]);
    }
    let archive = database.export().await;
    let refused = database.import(&archive).await;
    let words = match store {
        Store::Sqlite => "stop that one",
        Store::Postgres => "needs an empty database",
    };
    refused.expect_failure(&[words]);
    server.stop().await;
}

#[apply(both_stores)]
async fn tables_are_up_to_date_beside_a_running_server(store: Store) {
    let database = Database::new(store).await;
    let server = serve(&database).await;
    let done = database.command(&["migrate"]).await;
    assert!(done.text().contains("up to date"), "{done:?}");
    done.expect_success();
    server.stop().await;
}

#[apply(both_stores)]
async fn an_admin_is_made_beside_a_running_server(store: Store) {
    let database = Database::new(store).await;
    let server = serve(&database).await;
    let client = server.client();
    for name in ["carl", "dora"] {
        let args = ["create-user", name];
        let made = database.command_with(&args, PASSWORD.as_bytes()).await;
        made.expect_success();
    }
    let token = async |name: &str| client.login(name, PASSWORD).await["token"].clone();
    let (carl, dora) = (token("carl").await, token("dora").await);
    let as_user = |token: &serde_json::Value| client.with_token(token.as_str().expect("a token"));
    let chat = as_user(&carl).new_chat("general").await;
    let path = format!("/chat/{chat}");
    let renamed = json!({ "chatName": "hers" });
    let refused = as_user(&dora).put(&path, renamed.clone()).await;
    refused.expect_error(404, "chat_not_found");
    let mut socket = server.socket().await;
    let connected = socket
        .ask("connect-chat", json!({ "chatId": chat, "token": carl }))
        .await;
    assert_eq!(connected["seq"], 0);
    let made = database
        .command(&["make-admin", &chat.to_string(), "dora"])
        .await;
    assert!(made.text().contains("dora is an admin"), "{made:?}");
    made.expect_success();
    // The change is in the log, although it was not the server that made it.
    let told = socket.until("update-member").await;
    assert_eq!(told["content"]["username"], "dora");
    assert_eq!(told["content"]["role"], "admin");
    assert_eq!(
        (&told["seq"], &told["customerId"]),
        (&json!(1), &Value::Null)
    );
    as_user(&dora).put(&path, renamed).await.expect(200);
    let refused = database.command(&["make-admin", "77", "dora"]).await;
    refused.expect_failure(&["there is no chat 77"]);
    server.stop().await;
}

#[tokio::test]
async fn the_control_socket_is_its_owners_alone_and_outlives_no_server() {
    let database = Database::new(Store::Sqlite).await;
    let path = control_socket(&database);
    let server = serve(&database).await;
    let mode = fs::metadata(&path)
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // A killed server leaves its control socket behind. The next server replaces it.
    server.kill().await;
    assert!(path.exists());
    let alone = database.command_with(&["create-user", "carl"], PASSWORD.as_bytes());
    alone.await.expect_success();
    let server = serve(&database).await;
    let beside = database.command_with(&["create-user", "dora"], PASSWORD.as_bytes());
    beside.await.expect_success();
    server.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn each_command_beside_a_server_is_one_line_of_its_log() {
    let database = Database::new(Store::Sqlite).await;
    let server = serve(&database).await;
    let chat = json!({ "chatName": "general" });
    for args in [["create-user", "carl"], ["reset-password", "carl"]] {
        let done = database.command_with(&args, PASSWORD.as_bytes()).await;
        done.expect_success();
    }
    let token = server.client().login("carl", PASSWORD).await["token"].clone();
    let carl = server.client();
    let carl = carl.with_token(token.as_str().expect("a token"));
    let chat = carl.post("/chat", chat).await.expect(201)["chatId"].clone();
    let args = ["make-admin", &chat.to_string(), "carl"];
    database.command(&args).await.expect_success();
    database.command(&["new-epoch"]).await.expect_success();
    let again = database.command_with(&["create-user", "carl"], PASSWORD.as_bytes());
    again.await.expect_failure(&["taken"]);
    let (_, log) = server.stop().await;
    assert!(!log.contains(PASSWORD), "{log}");
    let lines = log.lines().map(serde_json::from_str::<Value>);
    let lines: Vec<Value> = lines.map(|line| line.expect("a line of JSON")).collect();
    let told: Vec<Value> = lines
        .iter()
        .filter(|line| line["command"].is_string())
        .map(|line| {
            json!([
                line["level"],
                line["message"],
                line["command"],
                line["user"],
                line["chat"]
            ])
        })
        .collect();
    let expected = [
        json!(["INFO", "command carried out", "create-user", 1, null]),
        json!(["INFO", "command carried out", "reset-password", 1, null]),
        json!(["INFO", "command carried out", "make-admin", 1, chat]),
        json!(["INFO", "command carried out", "new-epoch", null, null]),
        json!(["INFO", "command refused", "create-user", null, null]),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn the_control_socket_answers_whatever_is_sent() {
    let database = Database::new(Store::Sqlite).await;
    let server = serve(&database).await;
    let long = vec![b'x'; 1024 * 1024];
    for sent in [
        &b"\n"[..],
        b"hello\n",
        b"{\"command\":\"drop-table\"}\n",
        b"{\"command\":\"create-user\"}\n",
        b"\xff\xfe\n",
        &long,
    ] {
        let mut stream = UnixStream::connect(control_socket(&database))
            .await
            .unwrap();
        // The server may close the connection before it has read everything.
        let _ = stream.write_all(sent).await;
        let _ = stream.shutdown().await;
        let mut reply = String::new();
        let read = patiently("a reply", stream.read_to_string(&mut reply)).await;
        let said = read.is_err() || reply.contains("does not know this command");
        assert!(said, "{reply}");
    }
    // A silent connection delays no other command.
    let _silent = UnixStream::connect(control_socket(&database))
        .await
        .unwrap();
    let made = database.command_with(&["create-user", "carl"], PASSWORD.as_bytes());
    made.await.expect_success();
    server.stop().await;
}

#[tokio::test]
async fn half_requests_hold_up_neither_commands_nor_a_stop() {
    let database = Database::new(Store::Sqlite).await;
    let server = serve(&database).await;
    let path = control_socket(&database);
    let mut halves = Vec::new();
    for _ in 0..6 {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"{\"command\":").await.unwrap();
        halves.push(stream);
    }
    let made = database.command_with(&["create-user", "carl"], PASSWORD.as_bytes());
    made.await.expect_success();
    // The server closes a connection with an incomplete request after a while.
    let mut reply = Vec::new();
    let ended = halves[0].read_to_end(&mut reply);
    patiently("the end of a half request", ended).await.unwrap();
    assert!(reply.is_empty());
    let mut half = UnixStream::connect(&path).await.unwrap();
    half.write_all(b"{\"command\":").await.unwrap();
    let (status, log) = server.stop().await;
    assert!(status.success(), "{log}");
    assert!(!path.exists());
}
