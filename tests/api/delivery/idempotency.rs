//! One `clientMessageId` stands for one message, for ever.

use serde_json::{Value, json};
use testkit::{Room, Server, Socket, Store, apply, both_stores, change, rstest};

fn named(chat: i64, text: &str, name: &str) -> Value {
    json!({ "chatId": chat, "content": text, "clientMessageId": name })
}

/// The message without the ack's mark of a repeat, which must be there.
fn repeated(mut ack: Value) -> Value {
    let mark = ack.as_object_mut().and_then(|ack| ack.remove("duplicate"));
    assert_eq!(mark, Some(json!(true)), "{ack}");
    ack
}

/// The texts of the messages that a socket was sent up to the one of this text.
async fn heard(socket: &mut Socket, last: &str) -> Vec<Value> {
    let mut frames = socket.frames_before(last).await;
    frames.retain(|frame| change(frame).is_some());
    frames
}

#[apply(both_stores)]
async fn a_repeated_send_is_the_first_message_and_no_broadcast(store: Store) {
    let room = Room::of_members(store).await;
    let mut watcher = room.enter(room.sigmund).await;
    let mut carl = room.enter(room.carl).await;
    let first = carl
        .ask("send-message", named(room.chat, "once", "a"))
        .await;
    assert_eq!(first["clientMessageId"], "a");
    assert_eq!(first.get("duplicate"), None);
    for text in ["once", "another text"] {
        let again = carl.ask("send-message", named(room.chat, text, "a")).await;
        assert_eq!(repeated(again), first);
    }
    assert_eq!(carl.say(room.chat, "the end").await["seq"], 2);
    assert_eq!(heard(&mut watcher, "the end").await.len(), 1);
    room.close().await;
}

#[apply(both_stores)]
async fn a_repeat_over_the_other_road_is_the_same_message(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let path = format!("/chat/{}/message", room.chat);
    let body =
        |name: &str| json!({ "customerId": room.carl, "content": "once", "clientMessageId": name });
    let by_socket = carl
        .ask("send-message", named(room.chat, "once", "a"))
        .await;
    assert_eq!(
        room.client.post(&path, body("a")).await.expect(200),
        by_socket
    );
    let by_rest = room.client.post(&path, body("b")).await.expect(201);
    let again = carl
        .ask("send-message", named(room.chat, "once", "b"))
        .await;
    assert_eq!(repeated(again), by_rest);
    assert_eq!(room.history().await, [by_socket, by_rest]);
    room.close().await;
}

#[apply(both_stores)]
async fn a_repeat_gets_the_present_state(store: Store) {
    let room = Room::of_members(store).await;
    let mut carl = room.enter(room.carl).await;
    let send = named(room.chat, "once", "a");
    let id = carl.ask("send-message", send.clone()).await["messageId"].clone();
    let edit = json!({ "messageId": id, "chatId": room.chat, "content": "edited" });
    let edited = carl.ask("update-message", edit).await;
    assert_eq!(
        repeated(carl.ask("send-message", send.clone()).await),
        edited
    );
    carl.ask("delete-message", id.clone()).await;
    let deleted = repeated(carl.ask("send-message", send).await);
    assert_eq!(
        (&deleted["messageId"], &deleted["content"]),
        (&id, &Value::Null)
    );
    assert_eq!(deleted["seq"], 3);
    room.close().await;
}

#[apply(both_stores)]
async fn a_repeat_after_a_restart_is_the_same_message(store: Store) {
    let Room {
        server, chat, carl, ..
    } = Room::of_members(store).await;
    let mut socket = server.socket().await;
    socket.enter(carl, chat).await;
    let first = socket.ask("send-message", named(chat, "once", "a")).await;
    let server = Server::start_on(server.stop().await, &[]).await;
    let mut socket = server.socket().await;
    let ack = socket.enter(carl, chat).await;
    assert_eq!(ack["seq"], 1);
    let again = socket.ask("send-message", named(chat, "once", "a")).await;
    assert_eq!(repeated(again), first);
    server.stop().await;
}

#[apply(both_stores)]
async fn repeats_in_one_burst_are_one_message(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    for n in 0..20 {
        let content = named(room.chat, "once", "a");
        carl.send(json!({ "type": "send-message", "id": n, "content": content }))
            .await;
    }
    let first = carl.until("ack").await["content"].clone();
    for _ in 1..20 {
        let ack = carl.until("ack").await["content"].clone();
        assert_eq!(repeated(ack), first);
    }
    assert_eq!(room.history().await, [first]);
    room.close().await;
}

#[apply(both_stores)]
async fn another_user_or_chat_has_names_of_its_own(store: Store) {
    let room = Room::open(store).await;
    let other = room.client.new_chat("random").await;
    let mut carl = room.enter(room.carl).await;
    carl.enter(room.carl, other).await;
    let mut sigmund = room.enter(room.sigmund).await;
    for (socket, chat) in [(&mut carl, room.chat), (&mut sigmund, room.chat)] {
        let ack = socket.ask("send-message", named(chat, "mine", "a")).await;
        assert_eq!(ack.get("duplicate"), None, "{ack}");
    }
    let ack = carl.ask("send-message", named(other, "mine", "a")).await;
    assert_eq!(ack.get("duplicate"), None, "{ack}");
    assert_eq!(room.history().await.len(), 2);
    room.close().await;
}

#[apply(both_stores)]
async fn sixty_four_characters_make_a_name(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let name = "ü".repeat(64);
    let ack = carl.ask("send-message", named(room.chat, "x", &name)).await;
    assert_eq!(ack["clientMessageId"], name);
    room.close().await;
}
