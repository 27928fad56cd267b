//! One message, sent and read.

use serde_json::{Value, json};
use testkit::{Client, Server, Store, apply, assert_keys, assert_now, both_stores, rstest};

const MESSAGE: [&str; 11] = [
    "messageId",
    "chatId",
    "customerId",
    "username",
    "content",
    "seq",
    "sentAt",
    "editedAt",
    "deletedAt",
    "replyTo",
    "clientMessageId",
];

/// A server with two users in one chat.
pub struct World {
    _server: Server,
    pub client: Client,
    pub carl: i64,
    pub sigmund: i64,
    pub chat: i64,
}

impl World {
    pub async fn new(store: Store) -> Self {
        let server = Server::start(store).await;
        let client = server.client();
        // Makes the ids differ, so that a mix-up of two ids is noticed.
        client.new_chat("the first").await;
        client.new_chat("the second").await;
        Self {
            carl: client.new_user("carl").await,
            sigmund: client.new_user("sigmund").await,
            chat: client.new_chat("general").await,
            _server: server,
            client,
        }
    }

    /// Carl's message, and its path.
    pub async fn message(&self) -> (Value, String) {
        let message = self.client.say(self.carl, self.chat, "Hi world.").await;
        let path = format!("/message/{}", message["messageId"]);
        (message, path)
    }
}

#[apply(both_stores)]
async fn a_message_sent_is_answered_whole_and_found_at_its_location(store: Store) {
    let world = World::new(store).await;
    let body =
        json!({ "customerId": world.carl, "content": "Hi world.", "clientMessageId": "a-1" });
    let path = format!("/chat/{}/message", world.chat);
    let reply = world.client.post(&path, body).await;
    let location = reply.header("location").to_owned();
    let message = reply.expect(201);
    assert_keys(&message, &MESSAGE);
    assert_eq!(location, format!("/message/{}", message["messageId"]));
    assert_now(&message["sentAt"]);
    let expected = json!({
        "messageId": message["messageId"], "chatId": world.chat, "customerId": world.carl,
        "username": "carl", "content": "Hi world.", "seq": 1, "sentAt": message["sentAt"],
        "editedAt": null, "deletedAt": null, "replyTo": null, "clientMessageId": "a-1",
    });
    assert_eq!(message, expected);
    assert_eq!(world.client.get(&location).await.expect(200), expected);
}

#[apply(both_stores)]
async fn changes_are_numbered_without_a_gap_in_each_chat(store: Store) {
    let world = World::new(store).await;
    let client = &world.client;
    let (first, path) = world.message().await;
    assert_eq!(first["seq"], 1);
    assert_eq!(client.say(world.sigmund, world.chat, "Hi.").await["seq"], 2);
    let edited = client
        .put(&path, json!({ "content": "Hello." }))
        .await
        .expect(200);
    assert_eq!(edited["seq"], 3);
    client.delete(&path).await.expect(204);
    assert_eq!(client.get(&path).await.expect(200)["seq"], 4);
    // A refused change takes no `seq`, and another chat counts on its own.
    client
        .delete(&path)
        .await
        .expect_error(404, "message_not_found");
    assert_eq!(client.say(world.carl, world.chat, "Hi.").await["seq"], 5);
    assert_eq!(client.say(world.carl, 1, "Hi.").await["seq"], 1);
}

#[apply(both_stores)]
async fn content_is_kept_as_it_was_sent(store: Store) {
    let world = World::new(store).await;
    let long = "ü".repeat(8 * 1024);
    for content in [
        " two\nlines\t",
        "'\"\\%_;--",
        "42",
        "null",
        "😀é\u{202e}",
        &long,
    ] {
        let message = world.client.say(world.carl, world.chat, content).await;
        assert_eq!(message["content"], content);
        let read = world
            .client
            .get(&format!("/message/{}", message["messageId"]))
            .await;
        assert_eq!(read.expect(200), message);
    }
}

#[apply(both_stores)]
async fn a_message_may_answer_another_of_its_chat(store: Store) {
    let world = World::new(store).await;
    let (message, _) = world.message().await;
    let id = &message["messageId"];
    let body = json!({ "customerId": world.sigmund, "content": "Hi carl.", "replyTo": id });
    let post = async |chat: i64| {
        let path = format!("/chat/{chat}/message");
        world.client.post(&path, body.clone()).await
    };
    assert_eq!(&post(world.chat).await.expect(201)["replyTo"], id);
    let elsewhere = post(1).await.expect_error(400, "invalid_field");
    assert!(
        elsewhere["error"]
            .as_str()
            .is_some_and(|text| text.contains("replyTo"))
    );
}

#[apply(both_stores)]
async fn the_original_spelling_of_the_sender_is_understood(store: Store) {
    let world = World::new(store).await;
    let body = json!({ "customerd": world.carl, "content": "Hi world." });
    let sent = world
        .client
        .post(&format!("/chat/{}/message", world.chat), body)
        .await;
    let message = sent.expect(201);
    assert_eq!(message["customerId"], world.carl);
    let path = format!("/message/{}", message["messageId"]);
    let not_his = json!({ "customerd": world.sigmund, "content": "Mine." });
    world
        .client
        .put(&path, not_his)
        .await
        .expect_error(403, "forbidden");
    let not_his = world
        .client
        .delete(&format!("{path}?customer_id={}", world.sigmund))
        .await;
    not_his.expect_error(403, "forbidden");
    world
        .client
        .delete(&format!("{path}?customerId={}", world.carl))
        .await
        .expect(204);
}

#[apply(both_stores)]
async fn a_slash_at_the_end_is_ignored(store: Store) {
    let world = World::new(store).await;
    let body = json!({ "customerId": world.carl, "content": "Hi world." });
    let chat = format!("/chat/{}/message/", world.chat);
    let message = world.client.post(&chat, body).await.expect(201);
    let path = format!("/message/{}/", message["messageId"]);
    assert_eq!(world.client.get(&path).await.expect(200), message);
    assert_eq!(world.client.list(&chat).await, [message]);
}
