//! The count of unread messages.

use super::{mark, reads, standing};
use serde_json::{Value, json};
use testkit::{Room, Store, apply, both_stores, rstest};

#[apply(both_stores)]
async fn deleted_messages_do_not_count(store: Store) {
    let room = Room::open(store).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        ids.push(room.say(text).await);
    }
    mark(&mut sigmund, room.chat, &ids[0]).await;
    let path = format!("/message/{}", ids[1]["messageId"]);
    room.client.delete(&path).await.expect(204);
    let seen = standing(&room.client, room.sigmund).await;
    assert_eq!(seen, (ids[0]["messageId"].clone(), 1));
    let body = json!({ "content": "edited" });
    let path = format!("/message/{}", ids[0]["messageId"]);
    room.client.put(&path, body).await.expect(200);
    let seen = standing(&room.client, room.sigmund).await;
    assert_eq!(seen.1, 1, "an edit makes nothing unread again");
    // The deletion of a user turns their messages into tombstones, which are not unread.
    let path = format!("/user/{}", room.carl);
    room.client.delete(&path).await.expect(204);
    let seen = standing(&room.client, room.sigmund).await;
    assert_eq!(seen, (ids[0]["messageId"].clone(), 0));
    room.close().await;
}

#[apply(both_stores)]
async fn a_deleted_message_can_be_marked(store: Store) {
    let room = Room::open(store).await;
    let mut sigmund = room.enter(room.sigmund).await;
    room.say("one").await;
    let two = room.say("two").await;
    let path = format!("/message/{}", two["messageId"]);
    room.client.delete(&path).await.expect(204);
    let ack = mark(&mut sigmund, room.chat, &two).await;
    assert_eq!(ack["messageId"], two["messageId"]);
    let seen = standing(&room.client, room.sigmund).await;
    assert_eq!(seen, (two["messageId"].clone(), 0));
    room.close().await;
}

#[apply(both_stores)]
async fn who_sends_has_read_what_was_there(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let one = room.say("one").await;
    mark(&mut sigmund, room.chat, &one).await;
    room.say("two").await;
    assert_eq!(standing(&room.client, room.sigmund).await.1, 1);
    let own = sigmund.say(room.chat, "my own").await;
    let seen = standing(&room.client, room.sigmund).await;
    assert_eq!(seen, (own["messageId"].clone(), 0));
    // The message itself tells the others; a mark that is behind it moves nothing.
    let ack = mark(&mut sigmund, room.chat, &one).await;
    assert_eq!(ack["messageId"], own["messageId"]);
    let next = room.say("three").await;
    assert_eq!(standing(&room.client, room.sigmund).await.1, 1);
    mark(&mut sigmund, room.chat, &next).await;
    room.say("done").await;
    let told = reads(carl.frames_before("done").await);
    let told: Vec<&Value> = told.iter().map(|frame| &frame["content"]).collect();
    assert_eq!(told, [&one["messageId"], &next["messageId"]]);
    room.close().await;
}

#[apply(both_stores)]
async fn who_leaves_for_good_begins_anew(store: Store) {
    let room = Room::open(store).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let message = room.say("one").await;
    mark(&mut sigmund, room.chat, &message).await;
    let path = format!("/chat/{}/user/{}", room.chat, room.sigmund);
    room.client.delete(&path).await.expect(204);
    room.client.put(&path, json!({})).await.expect(201);
    let seen = standing(&room.client, room.sigmund).await;
    assert_eq!(seen, (Value::Null, 0));
    room.say("two").await;
    assert_eq!(standing(&room.client, room.sigmund).await.1, 1);
    room.close().await;
}
