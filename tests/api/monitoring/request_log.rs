//! The log of requests and sockets: one line each.

use crate::cli::serve;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Database, Store, apply, both_stores, rstest};

/// The lines that say this, with the fields of their span beside their own.
fn lines(log: &str, message: &str) -> Vec<Value> {
    let parsed = log.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).expect("a line of JSON");
        let span = line["span"].take();
        for (name, value) in span.as_object().into_iter().flatten() {
            line[name] = value.clone();
        }
        line
    });
    parsed.filter(|line| line["message"] == message).collect()
}

#[apply(both_stores)]
async fn each_request_has_one_line(store: Store) {
    let database = Database::new(store).await;
    let server = serve(&database, &[("AUTH", "required")]).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let login = client.login("carl", testkit::PASSWORD).await;
    let me = client.with_token(login["token"].as_str().expect("a token"));
    let asked = me.request(Method::GET, &format!("/user/{carl}"));
    let asked = asked.header("x-request-id", "mine-1");
    let user = me.send(asked).await.expect(200).to_string();
    let nobody = client.request(Method::GET, "/chat");
    let nobody = client.send(nobody.header("x-request-id", "mine-2")).await;
    nobody.expect_error(401, "unauthorized");
    let (_, log) = server.stop().await;

    let answered = lines(&log, "answered");
    let of = |id: &str| {
        let mut found = answered.iter().filter(|line| line["id"] == id);
        let line = found.next().expect("a line of that id").clone();
        assert!(found.next().is_none(), "two lines of {id}");
        line
    };
    let line = of("mine-1");
    for (field, value) in [
        ("method", json!("GET")),
        ("route", json!("/user/{id}")),
        ("from", json!("127.0.0.1")),
        ("user", json!(carl)),
        ("status", json!(200)),
        ("bytes", json!(user.len())),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    assert!(line["micros"].as_u64().is_some_and(|n| n > 0), "{line}");
    let line = of("mine-2");
    assert_eq!(
        (&line["status"], &line["user"]),
        (&json!(401), &Value::Null)
    );
}

#[apply(both_stores)]
async fn each_socket_has_one_line_when_it_closes(store: Store) {
    let database = Database::new(store).await;
    let settings = [("HANDSHAKE_SECONDS", "1")];
    let server = serve(&database, &settings).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    let mut silent = server.socket().await;
    assert_eq!(silent.closed().await, 1008);
    let mut socket = server.socket().await;
    let connect = json!({ "customerId": carl, "chatId": chat });
    let connect = json!({ "type": "connect-chat", "content": connect }).to_string();
    socket.send_text(&connect).await;
    let join = socket.until("join").await.to_string();
    let (_, log) = server.stop().await;
    assert_eq!(socket.closed().await, 1012);

    let closed = lines(&log, "socket closed");
    let [silent, connected] = closed.as_slice() else {
        panic!("two sockets: {closed:#?}");
    };
    for (line, expected) in [
        (silent, json!([1008, null, 0, 0])),
        (connected, json!([1012, carl, connect.len(), join.len()])),
    ] {
        let told = ["code", "user", "received", "sent"].map(|field| line[field].clone());
        assert_eq!(json!(told), expected, "{line}");
        assert_eq!(line["from"], "127.0.0.1", "{line}");
        assert!(line["micros"].as_u64().is_some_and(|n| n > 0), "{line}");
        // Its request's line has the same id, and the route.
        let answered = lines(&log, "answered");
        let upgrades = answered.iter().filter(|other| other["id"] == line["id"]);
        let upgrades: Vec<&Value> = upgrades.map(|line| &line["route"]).collect();
        assert_eq!(upgrades, [&json!("/ws")], "{line}");
    }
}
