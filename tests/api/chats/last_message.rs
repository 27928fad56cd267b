//! The latest message, which a chat keeps beside its head.

use serde_json::{Value, json};
use testkit::{Client, Room, Server, Store, apply, both_stores, number, rstest};

/// The number of chats that do not keep their latest message.
const STALE: &str = "SELECT count(*) FROM chat c WHERE c.last_message_seq <> c.seq \
    OR c.last_message_id <> coalesce((SELECT max(m.message_id) FROM message m \
        WHERE m.chat_id = c.chat_id), 0)";

/// The chats of a user: id, content of the last message, and unread count.
async fn listed(client: &Client, user: i64) -> Vec<(i64, Value, i64)> {
    let chats = client.list(&format!("/user/{user}/chat")).await;
    let row = |chat: &Value| {
        let content = chat["lastMessage"]["content"].clone();
        (number(chat, "chatId"), content, number(chat, "unread"))
    };
    chats.iter().map(row).collect()
}

async fn join(client: &Client, chat: i64, user: i64) {
    let path = format!("/chat/{chat}/user/{user}");
    client.put(&path, json!({})).await.expect(201);
}

#[apply(both_stores)]
async fn every_change_keeps_the_latest_message_with_the_chat(store: Store) {
    let room = Room::open(store).await;
    let (client, database) = (&room.client, &room.server.database);
    let current = async || assert_eq!(database.number(STALE).await, 0);
    join(client, room.chat, room.carl).await;
    current().await;
    let first = room.say("one").await;
    current().await;
    let mut socket = room.enter(room.sigmund).await;
    let texts: Vec<String> = (0..20).map(|n| format!("text {n}")).collect();
    socket.say_all(room.chat, &texts).await;
    current().await;
    let path = format!("/message/{}", first["messageId"]);
    let edited = client.put(&path, json!({ "content": "edited" })).await;
    edited.expect(200);
    current().await;
    let last = room.say("last").await;
    let path = format!("/message/{}", last["messageId"]);
    client.delete(&path).await.expect(204);
    current().await;
    let path = format!("/chat/{}/message", room.chat);
    let reply =
        json!({ "customerId": room.carl, "content": "reply", "replyTo": first["messageId"] });
    client.post(&path, reply).await.expect(201);
    current().await;
    client
        .delete(&format!("/user/{}", room.sigmund))
        .await
        .expect(204);
    current().await;
    assert_eq!(listed(client, room.carl).await[0].1, "reply");
    room.close().await;
}

/// An older version moves the head of a chat alone, as `fill` does.
#[apply(both_stores)]
async fn a_chat_that_an_older_version_wrote_to_is_listed_by_its_latest_message(store: Store) {
    let room = Room::open(store).await;
    let (client, database, carl) = (&room.client, &room.server.database, room.carl);
    let quiet = client.new_chat("quiet").await;
    join(client, quiet, carl).await;
    join(client, room.chat, carl).await;
    client.say(carl, quiet, "quiet").await;
    let own = room.say("own").await;
    database.fill(quiet, room.sigmund, 3, "older").await;
    let expected = [(quiet, json!("older"), 3), (room.chat, json!("own"), 0)];
    assert_eq!(listed(client, carl).await, expected);
    // A change that sends nothing does not turn the stored message into the latest.
    let messages = client.list(&format!("/chat/{quiet}/message")).await;
    let path = format!("/message/{}", messages[0]["messageId"]);
    client.delete(&path).await.expect(204);
    assert_eq!(listed(client, carl).await, expected);
    // A new member has nothing unread.
    join(client, quiet, room.sigmund).await;
    assert_eq!(listed(client, room.sigmund).await[0].2, 0);
    // The next message makes the chat current again.
    assert_eq!(database.number(STALE).await, 1);
    client.say(carl, quiet, "newer").await;
    assert_eq!(database.number(STALE).await, 0);

    // So does a start.
    database.fill(room.chat, room.sigmund, 2, "older").await;
    assert_eq!(database.number(STALE).await, 1);
    let own = number(&own, "messageId");
    let server = Server::start_on(room.server.stop().await, &[]).await;
    server.database.until(STALE, 0).await;
    let list = server.client().list(&format!("/user/{carl}/chat")).await;
    assert!(number(&list[0]["lastMessage"], "messageId") > own);
    assert_eq!(list[0]["lastMessage"]["content"], "older");
    server.stop().await;
}
