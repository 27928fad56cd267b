//! Use of a database after the takeover.

use super::{connect, original};
use serde_json::json;
use testkit::{Server, field};

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn ids_have_64_bits() {
    let server = Server::start_on(original().await, &[]).await;
    let mut db = connect(&server.database).await;
    const COLUMNS: &str = "SELECT count(*) FROM information_schema.columns
        WHERE table_schema = 'public' AND column_name IN ('customer_id', 'chat_id', 'message_id')
        AND table_name <> '_sqlx_migrations' AND data_type = $1";
    for (kind, expected) in [("bigint", 15_i64), ("integer", 0)] {
        let query = sqlx::query_scalar(COLUMNS).bind(kind);
        let columns: i64 = query.fetch_one(&mut db).await.expect("columns");
        assert_eq!(columns, expected, "{kind}");
    }
    const SEQUENCES: &str =
        "SELECT count(*) FROM information_schema.sequences WHERE data_type = 'bigint'";
    let sequences: i64 = sqlx::query_scalar(SEQUENCES)
        .fetch_one(&mut db)
        .await
        .expect("sequences");
    assert_eq!(sequences, 3);
    // Where 32 bits end, these go on.
    let push = "SELECT setval(pg_get_serial_sequence('message', 'message_id'), 2147483647)";
    sqlx::query(push)
        .execute(&mut db)
        .await
        .expect("a sequence");
    let message = server.client().say(1, 1, "One more.").await;
    assert_eq!(message["messageId"], 2_147_483_648_i64);
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn new_ids_follow_the_old_ones() {
    let server = Server::start_on(original().await, &[]).await;
    let client = server.client();
    // Users 6 and 7 existed once; the last message was loaded as 1207.
    assert_eq!(client.new_user("new").await, 7);
    assert_eq!(client.new_chat("new").await, 5);
    assert_eq!(client.say(1, 1, "New.").await["messageId"], 1208);
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn old_messages_are_edited_answered_and_deleted_like_new_ones() {
    let server = Server::start_on(original().await, &[]).await;
    let client = server.client();
    // The second: in chat 1, by user 4.
    let old = client.get("/message/13").await.expect(200);
    assert_eq!(
        (&old["chatId"], &old["customerId"], &old["seq"]),
        (&json!(1), &json!(4), &json!(1))
    );
    assert_eq!(old["sentAt"], "2021-12-31T23:57:59.980Z");
    let edited = client
        .put("/message/13", json!({ "content": "Better." }))
        .await
        .expect(200);
    assert_eq!(
        (&edited["seq"], &edited["sentAt"]),
        (&json!(201), &old["sentAt"])
    );
    let answer = json!({ "customerId": 1, "content": "Indeed.", "replyTo": 13 });
    let answer = client.post("/chat/1/message", answer).await.expect(201);
    assert_eq!(answer["seq"], 202);
    client.delete("/message/13?customerId=1").await.expect(204);
    let mut socket = server.socket().await;
    let ack = socket.ask(
        "connect-chat",
        json!({ "customerId": 1, "chatId": 1, "since": 202 }),
    );
    assert_eq!(ack.await["seq"], 203);
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn deleting_an_old_user_keeps_the_log_whole() {
    let server = Server::start_on(original().await, &[]).await;
    let client = server.client();
    client.delete("/user/3").await.expect(204);
    let changes = client.list("/chat/1/message?since=0&limit=1000").await;
    assert_eq!(changes.len(), 200);
    let buried: Vec<_> = changes
        .iter()
        .filter(|m| m["customerId"].is_null())
        .cloned()
        .collect();
    let numbers: Vec<usize> = (201..201 + buried.len()).collect();
    assert!(buried.len() > 60, "user 3 wrote every third message");
    assert_eq!(field(&buried, "seq"), numbers);
}
