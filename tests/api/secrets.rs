//! What the log must not tell, at any level.

use crate::harness::{Database, Process, Store, on_both_stores};
use serde_json::json;

on_both_stores!(tokens_passwords_and_texts_stand_nowhere_in_the_log);

const PASSWORD: &str = "Zug um halb neun";
const OTHER: &str = "Kaffee ohne Milch";
const WRONG: &str = "Regen am Dienstag";
const TEXT: &str = "unter vier Augen";

async fn tokens_passwords_and_texts_stand_nowhere_in_the_log(store: Store) {
    let database = Database::new(store).await;
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("AUTH", "required"),
        ("LOG", "trace,tungstenite::protocol=trace"),
        ("LOG_FORMAT", "json"),
    ];
    let process = Process::start(database.folder.path(), &settings).await;
    let client = process.client();
    let body = |password: &str| json!({ "username": "carl", "password": password });
    let carl = client.post("/user", body(PASSWORD)).await.expect(201);
    let carl = carl["customerId"].as_i64().expect("an id");
    client
        .post("/login", body(WRONG))
        .await
        .expect_error(401, "unauthorized");
    let login = client.post("/login", body(PASSWORD)).await.expect(200);
    let first = login["token"].as_str().expect("a token").to_owned();
    let second = client.login("carl", PASSWORD).await["token"].clone();
    let second = second.as_str().expect("a token").to_owned();
    let me = client.with_token(&first);

    let chat = me.new_chat("general").await;
    let path = format!("/chat/{chat}/message");
    let sent = me.post(&path, json!({ "content": TEXT })).await.expect(201);
    let edit = json!({ "content": format!("{TEXT} zwei") });
    me.put(&format!("/message/{}", sent["messageId"]), edit)
        .await
        .expect(200);
    me.get(&format!("{path}?q=vier%20Augen")).await.expect(200);
    let mut socket = process.socket().await;
    socket
        .send(json!({ "type": "connect-chat", "content": TEXT }))
        .await;
    socket.expect_error("invalid_field").await;
    let wrong = json!({ "chatId": chat, "token": &second[1..] });
    socket.refused("connect-chat", wrong, "unauthorized").await;
    let connect = json!({ "chatId": chat, "token": second, "since": 0 });
    socket.ask("connect-chat", connect).await;
    let said = json!({ "chatId": chat, "content": TEXT });
    socket.ask("send-message", said).await;
    client
        .get(&format!("/me?token={first}"))
        .await
        .expect_error(401, "unauthorized");
    me.put(&format!("/user/{carl}"), json!({ "password": OTHER }))
        .await
        .expect(200);
    assert_eq!(socket.closed().await, 4001);
    me.put(
        &format!("/chat/{chat}/user/{carl}"),
        json!({ "role": "admin" }),
    )
    .await
    .expect(200);
    me.delete(&format!("/chat/{chat}/user/{carl}"))
        .await
        .expect_error(403, "forbidden");
    me.post("/logout", json!({})).await.expect(204);

    let (_, log) = process.stop().await;
    for secret in [
        PASSWORD,
        OTHER,
        WRONG,
        TEXT,
        "vier Augen",
        "vier%20Augen",
        "argon2id$",
        &first,
        &second,
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
    let on_socket =
        |line: &str| line.contains("\"refused\"") && line.contains("\"name\":\"socket\"");
    assert!(log.lines().any(on_socket), "refused on a socket");
    // But who did what, and from where.
    for event in [
        "login",
        "login failed",
        "refused",
        "session ended",
        "role changed",
        "password changed",
    ] {
        let message = format!("\"message\":\"{event}\"");
        let line = log.lines().find(|line| line.contains(&message));
        let line = line.unwrap_or_else(|| panic!("{event} is not in the log"));
        assert!(line.contains("\"from\":\"127.0.0.1\""), "{line}");
        let anybody = ["login", "login failed", "refused"].contains(&event);
        assert!(
            anybody || line.contains(&format!("\"user\":{carl}")),
            "{line}"
        );
    }
}
