//! Read positions by frames.

use serde_json::{Value, json};
use testkit::{Client, Room, Socket, Store, apply, both_stores, number, rstest};

/// Marks a message as read and gives the ack's content.
pub(super) async fn mark(socket: &mut Socket, chat: i64, message: &Value) -> Value {
    let content = json!({ "chatId": chat, "messageId": message["messageId"] });
    socket.ask("mark-read", content).await
}

pub(super) fn read(user: i64, chat: i64, message: &Value) -> Value {
    let id = &message["messageId"];
    json!({ "type": "read", "content": id, "chatId": chat, "customerId": user })
}

/// What a user's list says of their one chat: how far they have read, and how much they have not.
pub(super) async fn standing(client: &Client, user: i64) -> (Value, i64) {
    let list = client.list(&format!("/user/{user}/chat")).await;
    assert_eq!(list.len(), 1, "{list:?}");
    (
        list[0]["lastReadMessageId"].clone(),
        number(&list[0], "unread"),
    )
}

/// The frames that tell of positions.
pub(super) fn reads(frames: Vec<Value>) -> Vec<Value> {
    let reads = frames.into_iter().filter(|frame| frame["type"] == "read");
    reads.collect()
}

#[apply(both_stores)]
async fn a_position_moves_and_everyone_is_told(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let mut messages = Vec::new();
    for text in ["one", "two", "three"] {
        messages.push(room.say(text).await);
    }
    assert_eq!(standing(&room.client, room.sigmund).await, (Value::Null, 3));
    for (message, unread) in [(&messages[1], 1), (&messages[2], 0)] {
        let id = &message["messageId"];
        let ack = mark(&mut sigmund, room.chat, message).await;
        assert_eq!(ack, json!({ "chatId": room.chat, "messageId": id }));
        let expected = read(room.sigmund, room.chat, message);
        assert_eq!(carl.until("read").await, expected);
        let seen = standing(&room.client, room.sigmund).await;
        assert_eq!(seen, (id.clone(), unread));
    }
    room.close().await;
}

#[apply(both_stores)]
async fn a_position_never_moves_back(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let (one, two) = (room.say("one").await, room.say("two").await);
    for message in [&two, &one, &two] {
        let ack = mark(&mut sigmund, room.chat, message).await;
        assert_eq!(ack["messageId"], two["messageId"]);
    }
    room.say("done").await;
    let told = reads(carl.frames_before("done").await);
    assert_eq!(told, [read(room.sigmund, room.chat, &two)]);
    room.close().await;
}

#[apply(both_stores)]
async fn without_an_id_the_broadcast_is_the_answer(store: Store) {
    let room = Room::open(store).await;
    let message = room.say("one").await;
    let mut sigmund = room.enter(room.sigmund).await;
    let content = json!({ "chatId": room.chat, "messageId": message["messageId"],
        "customerId": room.sigmund });
    sigmund
        .send(json!({ "type": "mark-read", "content": content }))
        .await;
    let expected = read(room.sigmund, room.chat, &message);
    assert_eq!(sigmund.next().await, expected);
    let content = json!({ "chatId": room.chat, "messageId": 999_999 });
    sigmund
        .send(json!({ "type": "mark-read", "content": content }))
        .await;
    let error = sigmund.expect_error("message_not_found").await;
    assert_eq!(error.get("id"), None, "{error}");
    room.close().await;
}

#[apply(both_stores)]
async fn what_cannot_be_marked_is_refused(store: Store) {
    let room = Room::open(store).await;
    let other = room.client.new_chat("random").await;
    let message = room.say("one").await;
    let elsewhere = room.client.say(room.carl, other, "elsewhere").await;
    let mut sigmund = room.enter(room.sigmund).await;
    let id = &message["messageId"];
    for (content, code) in [
        (
            json!({ "chatId": room.chat, "messageId": elsewhere["messageId"] }),
            "message_not_found",
        ),
        (
            json!({ "chatId": room.chat, "messageId": i64::MAX }),
            "message_not_found",
        ),
        (
            json!({ "chatId": other, "messageId": elsewhere["messageId"] }),
            "not_connected",
        ),
        (
            json!({ "chatId": 999_999, "messageId": id }),
            "not_connected",
        ),
        (
            json!({ "chatId": room.chat, "messageId": id, "customerId": room.carl }),
            "forbidden",
        ),
    ] {
        sigmund.refused("mark-read", content, code).await;
    }
    let seen = standing(&room.client, room.sigmund).await;
    assert_eq!(seen, (Value::Null, 0));
    let path = format!("/chat/{}/user/{}", room.chat, room.sigmund);
    room.client.delete(&path).await.expect(204);
    sigmund.until("leave-chat").await;
    let content = json!({ "chatId": room.chat, "messageId": id });
    sigmund.refused("mark-read", content, "not_connected").await;
    room.close().await;
}

#[apply(both_stores)]
async fn many_marks_in_a_row_are_all_answered(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let mut messages = Vec::new();
    for n in 0..100 {
        messages.push(room.say(&n.to_string()).await);
    }
    for (n, message) in messages.iter().enumerate() {
        let content = json!({ "chatId": room.chat, "messageId": message["messageId"] });
        sigmund
            .send(json!({ "type": "mark-read", "id": n, "content": content }))
            .await;
    }
    for (n, message) in messages.iter().enumerate() {
        let ack = sigmund.until("ack").await;
        assert_eq!(ack["id"], n, "acks come in the order of the frames");
        // Those that were written together have come further already.
        assert!(number(&ack["content"], "messageId") >= number(message, "messageId"));
    }
    room.say("done").await;
    let told = reads(carl.frames_before("done").await);
    let last = messages.last().expect("messages");
    assert_eq!(told.last(), Some(&read(room.sigmund, room.chat, last)));
    assert!(told.len() < 50, "written together: {}", told.len());
    assert!(told.is_sorted_by_key(|frame| number(frame, "content")));
    room.close().await;
}

#[apply(both_stores)]
async fn marks_do_not_hold_messages_up(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let one = room.say("one").await;
    mark(&mut carl, room.chat, &one).await;
    // From here on marks wait for their turn; messages that are sent after them do not.
    let marking = json!({ "chatId": room.chat, "messageId": one["messageId"] });
    let sending = json!({ "chatId": room.chat, "content": "quick" });
    let mut overtaken = 0;
    for n in 0..20 {
        carl.send(json!({ "type": "mark-read", "id": n, "content": marking }))
            .await;
        carl.send(json!({ "type": "send-message", "id": "quick", "content": sending }))
            .await;
        let frames = carl.frames_until(|frame| frame["id"] == "quick").await;
        overtaken += usize::from(frames.iter().all(|frame| frame["id"] != n));
    }
    assert!(overtaken > 0, "each mark held a message up");
    room.close().await;
}

#[apply(both_stores)]
async fn it_leaves_no_trace_in_the_log(store: Store) {
    let room = Room::of_members(store).await;
    let message = room.say("the only one").await;
    let mut sigmund = room.enter(room.sigmund).await;
    mark(&mut sigmund, room.chat, &message).await;
    assert_eq!(room.history().await, std::slice::from_ref(&message));
    let (_socket, frames, ack) = room.resume(room.carl, 0).await;
    assert_eq!((frames.len(), &ack["seq"]), (1, &json!(1)), "{frames:?}");
    room.close().await;
}
