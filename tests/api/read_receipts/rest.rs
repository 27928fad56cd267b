//! Read positions by REST.

use super::{read, standing};
use serde_json::json;
use testkit::{Room, Store, apply, both_stores, rstest};

#[apply(both_stores)]
async fn a_position_is_put(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let _member = room.enter(room.sigmund).await;
    let (one, two) = (room.say("one").await, room.say("two").await);
    let path = format!("/chat/{}/read", room.chat);
    for message in [&two, &one] {
        let body = json!({ "messageId": message["messageId"], "customerId": room.sigmund });
        let position = room.client.put(&path, body).await.expect(200);
        let expected = json!({ "chatId": room.chat, "messageId": two["messageId"] });
        assert_eq!(position, expected, "it never moves back");
    }
    let expected = read(room.sigmund, room.chat, &two);
    assert_eq!(carl.until("read").await, expected);
    let seen = standing(&room.client, room.sigmund).await;
    assert_eq!(seen, (two["messageId"].clone(), 0));
    room.close().await;
}

#[apply(both_stores)]
async fn what_cannot_be_put_is_refused(store: Store) {
    let room = Room::open(store).await;
    let other = room.client.new_chat("random").await;
    let message = room.say("one").await;
    let elsewhere = room.client.say(room.carl, other, "elsewhere").await;
    let (chat, user, id) = (room.chat, room.carl, &message["messageId"]);
    room.enter(user).await.close().await;
    let in_chat = format!("/chat/{chat}/read");
    for (path, body, status, code) in [
        (
            &in_chat,
            json!({ "customerId": user }),
            400,
            "invalid_field",
        ),
        (&in_chat, json!({ "messageId": id }), 400, "invalid_field"),
        (
            &in_chat,
            json!({ "messageId": "1", "customerId": user }),
            400,
            "invalid_field",
        ),
        (
            &in_chat,
            json!({ "messageId": 0, "customerId": user }),
            400,
            "invalid_field",
        ),
        (
            &in_chat,
            json!({ "messageId": 999_999, "customerId": user }),
            404,
            "message_not_found",
        ),
        (
            &in_chat,
            json!({ "messageId": elsewhere["messageId"], "customerId": user }),
            404,
            "message_not_found",
        ),
        (
            &in_chat,
            json!({ "messageId": id, "customerId": 999_999 }),
            404,
            "user_not_found",
        ),
        (
            &in_chat,
            json!({ "messageId": id, "customerId": room.sigmund }),
            404,
            "member_not_found",
        ),
        (
            &"/chat/999999/read".to_owned(),
            json!({ "messageId": id, "customerId": user }),
            404,
            "chat_not_found",
        ),
        (
            &"/chat/x/read".to_owned(),
            json!({ "messageId": id, "customerId": user }),
            400,
            "invalid_field",
        ),
    ] {
        let reply = room.client.put(path, body).await;
        reply.expect_error(status, code);
    }
    room.close().await;
}
