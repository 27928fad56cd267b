//! Archives that say what cannot be.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testkit::{Database, Server, Store, apply, both_stores, rstest};

/// A chat of three messages, the second of which is deleted and the third an answer.
async fn archive(store: Store) -> Vec<Value> {
    let server = Server::start(store).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    let path = format!("/chat/{chat}/user/{carl}");
    client.put(&path, json!({})).await.expect(201);
    let first = client.say(carl, chat, "one").await;
    let second = client.say(carl, chat, "two").await;
    let path = format!("/message/{}", second["messageId"]);
    client.delete(&path).await.expect(204);
    let answer = json!({ "customerId": carl, "content": "three", "replyTo": first["messageId"], "clientMessageId": "key" });
    client
        .post(&format!("/chat/{chat}/message"), answer)
        .await
        .expect(201);
    client.login("carl", "correct horse").await;
    let database = server.stop().await;
    let text = String::from_utf8(database.export().await).expect("UTF-8");
    let line = |line: &str| serde_json::from_str(line).expect("JSON");
    text.lines().map(line).collect()
}

/// The lines as an archive, with a last line that is right.
fn whole(lines: &[Value]) -> Vec<u8> {
    let (end, lines) = lines.split_last().expect("a last line");
    let text: String = lines
        .iter()
        .map(|line| format!("{}\n", ordered(line)))
        .collect();
    let sha256: String = Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (counts, last) = (&end["counts"], &end["lastIds"]);
    format!("{text}{{\"kind\":\"end\",\"counts\":{counts},\"lastIds\":{last},\"sha256\":\"{sha256}\"}}\n").into_bytes()
}

/// With `kind` at its beginning.
fn ordered(line: &Value) -> String {
    let mut rest = line.as_object().expect("an object").clone();
    let kind = rest.remove("kind").expect("a kind");
    let rest = Value::Object(rest).to_string();
    format!("{{\"kind\":{kind},{}", &rest[1..])
}

/// Which line, which field, what it says instead, and the words of the refusal.
fn wrongs() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let long = "x".repeat(300);
    let text = "x".repeat(1_048_577);
    vec![
        ("chat", "seq", json!(6), "a chat's head is not the number"),
        ("chat", "seq", json!(3), "a chat's head is not the number"),
        ("chat", "chatName", json!(long), ""),
        (
            "chat",
            "chatName",
            json!(""),
            "chat's name does not have 1 to 255",
        ),
        ("user", "username", json!(long), ""),
        ("user", "password", json!("secret"), "is not an argon2 hash"),
        ("user", "password", json!("plain:secret"), "not hashed"),
        (
            "member",
            "lastReadMessageId",
            json!(99),
            "has read up to a message that is not",
        ),
        ("member", "role", json!(long), ""),
        (
            "message",
            "sentSeq",
            json!(9),
            "the number of a message's sending",
        ),
        (
            "message",
            "sentSeq",
            json!(0),
            "the number of a message's sending",
        ),
        (
            "message",
            "content",
            json!(null),
            "has both a text and a deletion time, or neither",
        ),
        (
            "message",
            "deletedAt",
            json!("2026-01-01T00:00:00Z"),
            "has both a text and a deletion time, or neither",
        ),
        ("message", "content", json!(text), "more than 1 MiB"),
        ("message", "content", json!("a\u{0}b"), ""),
        (
            "message",
            "replyTo",
            json!(99),
            "line 8: the message replies to itself or to a later message",
        ),
        (
            "message",
            "replyTo",
            json!(3),
            "line 8: the message replies to itself or to a later message",
        ),
        (
            "message",
            "messageId",
            json!(2),
            "line 8: the row is not in the order",
        ),
        (
            "chat",
            "chatName",
            json!("x".repeat(8 << 20)),
            "line 3 is longer than 8 MiB",
        ),
        (
            "message",
            "messageId",
            json!(9_007_199_254_740_991_i64),
            "leaves no room for further ids",
        ),
        (
            "message",
            "messageId",
            json!(9_007_199_254_740_992_i64),
            "2^53 - 1",
        ),
        ("message", "seq", json!(9_007_199_254_740_992_i64), ""),
        ("message", "clientMessageId", json!("k".repeat(65)), ""),
        ("session", "userAgent", json!(long), ""),
        (
            "end",
            "lastIds",
            json!({ "user": i64::MAX, "chat": 1, "message": 3, "session": 1 }),
            "2^53 - 2",
        ),
    ]
}

#[apply(both_stores)]
async fn an_archive_of_what_cannot_be_is_refused_and_nothing_is_stored(store: Store) {
    let lines = archive(store).await;
    let copy = Database::new(store).await;
    for (kind, field, value, words) in wrongs() {
        let mut wrong = lines.clone();
        // The last of its kind: of the messages the answer.
        let line = wrong.iter_mut().rfind(|line| line["kind"] == kind);
        line.expect(kind)[field] = value.clone();
        let refused = copy.import(&whole(&wrong)).await;
        refused.expect_failure(&["nothing was imported", words]);
    }
    let right = whole(&lines);
    copy.import(&right).await.expect_success();
    copy.command(&["check"]).await.expect_success();
}

/// Changes by hand, and the words of the check.
const BY_HAND: &[(&str, &str)] = &[
    (
        "UPDATE chat SET seq = seq + 1",
        "a chat's head is not the number",
    ),
    (
        "UPDATE message SET sent_seq = 0",
        "the number of a message's sending",
    ),
    (
        "UPDATE message SET content = NULL",
        "has both a text and a deletion time, or neither",
    ),
    (
        "UPDATE message SET reply_to = 99",
        "replies to a message that is not in its chat",
    ),
    (
        "UPDATE customer SET password = 'secret'",
        "is not an argon2 hash",
    ),
    (
        "UPDATE customer_chat SET last_read_message_id = 99",
        "has read up to a message",
    ),
];

#[apply(both_stores)]
async fn check_finds_what_cannot_be(store: Store) {
    let right = whole(&archive(store).await);
    for (sql, words) in BY_HAND {
        let database = Database::new(store).await;
        database.import(&right).await.expect_success();
        database.run(sql).await;
        database.command(&["check"]).await.expect_failure(&[words]);
    }
    let database = Database::new(store).await;
    database.import(&right).await.expect_success();
    let (sql, words) = match store {
        Store::Sqlite => (
            "UPDATE message SET content = x'00' WHERE content IS NOT NULL",
            "holds something of another type",
        ),
        Store::Postgres => (
            "SELECT setval(pg_get_serial_sequence('message', 'message_id'), 1)",
            "a sequence is behind the ids",
        ),
    };
    database.execute(sql.to_owned()).await;
    database.command(&["check"]).await.expect_failure(&[words]);
}
