//! The right to change a message.

use super::both;
use serde_json::json;
use testkit::{Room, Store, apply, both_stores, rstest};

#[apply(both_stores)]
async fn only_the_author_edits(store: Store) {
    let room = Room::open(store).await;
    let sent = room.say("carl's own words").await;
    let path = format!("/chat/{}/user/{}", room.chat, room.sigmund);
    let admin = room.client.put(&path, json!({ "role": "admin" })).await;
    admin.expect(201);
    let mut sigmund = room.enter(room.sigmund).await;
    let edit = json!({ "messageId": sent["messageId"], "chatId": room.chat, "content": "others" });
    sigmund.refused("update-message", edit, "forbidden").await;
    assert_eq!(room.history().await, [sent], "not even an admin");
    room.close().await;
}

#[apply(both_stores)]
async fn the_author_and_an_admin_delete_and_nobody_else(store: Store) {
    let room = Room::of_members(store).await;
    let (first, second) = (room.say("one").await, room.say("two").await);
    let (mut carl, mut sigmund) = both(&room).await;
    let id = first["messageId"].clone();
    sigmund
        .refused("delete-message", id.clone(), "forbidden")
        .await;
    carl.ask("delete-message", id).await;
    let path = format!("/chat/{}/user/{}", room.chat, room.sigmund);
    let admin = room.client.put(&path, json!({ "role": "admin" })).await;
    admin.expect(200);
    sigmund
        .ask("delete-message", second["messageId"].clone())
        .await;
    let deleted = carl
        .frames_until(|frame| frame["customerId"] == room.sigmund)
        .await;
    let last = deleted.last().expect("the deletion");
    assert_eq!(last["content"], second["messageId"]);
    room.close().await;
}

#[apply(both_stores)]
async fn a_deleted_message_is_not_edited(store: Store) {
    let room = Room::of_members(store).await;
    let mut carl = room.enter(room.carl).await;
    let id = carl.say(room.chat, "gone").await["messageId"].clone();
    carl.ask("delete-message", id.clone()).await;
    let edit = json!({ "messageId": id, "chatId": room.chat, "content": "back" });
    carl.refused("update-message", edit, "message_not_found")
        .await;
    assert_eq!(carl.say(room.chat, "next").await["seq"], 3);
    room.close().await;
}

#[apply(both_stores)]
async fn a_message_is_deleted_once(store: Store) {
    let room = Room::of_members(store).await;
    let mut carl = room.enter(room.carl).await;
    let id = carl.say(room.chat, "gone").await["messageId"].clone();
    carl.ask("delete-message", id.clone()).await;
    carl.refused("delete-message", id, "message_not_found")
        .await;
    assert_eq!(carl.say(room.chat, "next").await["seq"], 3);
    room.close().await;
}

#[apply(both_stores)]
async fn where_there_is_no_message_none_is_edited(store: Store) {
    let room = Room::open(store).await;
    room.say("carl's").await;
    let mut sigmund = room.enter(room.sigmund).await;
    let edit = json!({ "chatId": room.chat, "content": "x" });
    sigmund
        .refused("update-message", edit, "message_not_found")
        .await;
    let unknown = json!({ "messageId": 999_999, "chatId": room.chat, "content": "x" });
    sigmund
        .refused("update-message", unknown, "message_not_found")
        .await;
    sigmund
        .refused("delete-message", json!(999_999), "message_not_found")
        .await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_message_of_another_chat_is_not_edited_here(store: Store) {
    let room = Room::open(store).await;
    let other = room.client.new_chat("random").await;
    let sent = room.client.say(room.carl, other, "over there").await;
    let mut carl = room.enter(room.carl).await;
    let edit = json!({ "messageId": sent["messageId"], "chatId": room.chat, "content": "here" });
    carl.refused("update-message", edit, "message_not_found")
        .await;
    room.close().await;
}

#[apply(both_stores)]
async fn nobody_speaks_for_another(store: Store) {
    let room = Room::of_members(store).await;
    let (mut carl, mut sigmund) = both(&room).await;
    sigmund.say(room.chat, "my own words").await;
    let content = json!({ "chatId": room.chat, "customerId": room.sigmund, "content": "x" });
    for kind in ["send-message", "update-message"] {
        carl.refused(kind, content.clone(), "forbidden").await;
    }
    assert_eq!(room.history().await.len(), 1);
    room.close().await;
}
