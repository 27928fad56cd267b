//! Typing notifications: broadcast to the chat, at a bounded rate, never stored.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::{Room, Socket, Store, apply, both_stores, rstest};

/// The shortest time between two typing notifications of one user in one chat.
const PAUSE: Duration = Duration::from_secs(3);

fn typing(user: i64, chat: i64, name: &str) -> Value {
    json!({ "type": "start-typing", "content": name, "chatId": chat, "customerId": user })
}

/// Returns the number of typing notifications among the frames.
fn told(frames: &[Value]) -> usize {
    let told = frames
        .iter()
        .filter(|frame| frame["type"] == "start-typing");
    told.count()
}

async fn type_in(socket: &mut Socket, chat: i64) -> Value {
    socket.ask("start-typing", json!({ "chatId": chat })).await
}

#[apply(both_stores)]
async fn everyone_in_the_chat_is_told_who_types(store: Store) {
    let room = Room::open(store).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let mut carl = room.server.socket().await;
    let content = json!({ "customerId": room.carl, "chatId": room.chat, "username": "Charlie" });
    carl.enter_with(content).await;
    let content = json!({ "chatId": room.chat, "customerId": room.carl });
    carl.send(json!({ "type": "start-typing", "content": content }))
        .await;
    let expected = typing(room.carl, room.chat, "Charlie");
    assert_eq!(sigmund.until("start-typing").await, expected);
    assert_eq!(carl.expect("start-typing").await, expected);
    room.close().await;
}

#[apply(both_stores)]
async fn with_an_id_it_is_acked_too(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    for _ in 0..2 {
        let ack = type_in(&mut carl, room.chat).await;
        assert_eq!(ack, json!({ "chatId": room.chat }));
    }
    room.close().await;
}

#[apply(both_stores)]
async fn many_in_a_row_are_told_once(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let begin = Instant::now();
    for _ in 0..200 {
        type_in(&mut carl, room.chat).await;
    }
    let content = json!({ "chatId": room.chat });
    sigmund
        .send(json!({ "type": "start-typing", "id": "own", "content": content }))
        .await;
    let mut frames = sigmund.frames_until(|frame| frame["id"] == "own").await;
    room.say("enough").await;
    frames.extend(sigmund.frames_before("enough").await);
    let carls = typing(room.carl, room.chat, "carl");
    let of_carl = frames.iter().filter(|frame| **frame == carls).count();
    let most = 1 + begin.elapsed().as_secs() as usize / PAUSE.as_secs() as usize;
    assert!((1..=most).contains(&of_carl), "{of_carl} of at most {most}");
    let sigmunds = typing(room.sigmund, room.chat, "sigmund");
    assert!(
        frames.contains(&sigmunds),
        "others have a pause of their own"
    );
    room.close().await;
}

#[apply(both_stores)]
async fn sockets_of_one_user_share_the_pause_and_other_chats_do_not(store: Store) {
    let room = Room::open(store).await;
    let other = room.client.new_chat("random").await;
    let mut first = room.enter(room.carl).await;
    let mut second = room.enter(room.carl).await;
    second.enter(room.carl, other).await;
    let begin = Instant::now();
    type_in(&mut first, room.chat).await;
    type_in(&mut second, room.chat).await;
    type_in(&mut second, other).await;
    let in_the_other = typing(room.carl, other, "carl");
    let frames = second.frames_until(|frame| *frame == in_the_other).await;
    // Chats are delivered independently, so the frames of the first chat are awaited as well.
    room.say("enough").await;
    let rest = first.frames_before("enough").await;
    let most = 1 + begin.elapsed().as_secs() as usize / PAUSE.as_secs() as usize;
    assert!((1..=most).contains(&told(&rest)), "{rest:?} {frames:?}");
    room.close().await;
}

#[apply(both_stores)]
async fn after_a_pause_it_is_told_again(store: Store) {
    let room = Room::open_with(store, &["--ping-seconds=1"]).await;
    let mut carl = room.enter(room.carl).await;
    let begin = Instant::now();
    type_in(&mut carl, room.chat).await;
    carl.until("start-typing").await;
    // Sends one typing frame per heartbeat (one second) until one is broadcast.
    let mut sent = 0;
    loop {
        let frame = carl.next().await;
        match frame["type"].as_str() {
            Some("heartbeat") => {
                let content = json!({ "chatId": room.chat });
                carl.send(json!({ "type": "start-typing", "content": content }))
                    .await;
                sent += 1;
            }
            Some("start-typing") => break,
            other => panic!("{other:?} came"),
        }
    }
    assert!(begin.elapsed() >= PAUSE, "{:?}", begin.elapsed());
    assert!(sent > 1, "the first came too early to be told");
    room.close().await;
}

#[apply(both_stores)]
async fn it_leaves_nothing_behind(store: Store) {
    let room = Room::of_members(store).await;
    let message = room.say("the only one").await;
    let mut carl = room.enter(room.carl).await;
    type_in(&mut carl, room.chat).await;
    assert_eq!(room.history().await, [message]);
    let (_socket, frames, ack) = room.resume(room.sigmund, 0).await;
    assert_eq!((frames.len(), &ack["seq"]), (1, &json!(1)), "{frames:?}");
    let message = carl.say(room.chat, "the next").await;
    assert_eq!(message["seq"], 2, "it takes no number");
    room.close().await;
}

#[apply(both_stores)]
async fn only_who_is_connected_types(store: Store) {
    let room = Room::open(store).await;
    let other = room.client.new_chat("random").await;
    let mut carl = room.enter(room.carl).await;
    for chat in [other, 999_999] {
        let content = json!({ "chatId": chat });
        carl.refused("start-typing", content, "not_connected").await;
    }
    let mut sigmund = room.enter(room.sigmund).await;
    let path = format!("/chat/{}/user/{}", room.chat, room.sigmund);
    room.client.delete(&path).await.expect(204);
    sigmund.until("leave-chat").await;
    let content = json!({ "chatId": room.chat });
    sigmund
        .refused("start-typing", content, "not_connected")
        .await;
    room.say("done").await;
    assert_eq!(told(&carl.frames_before("done").await), 0);
    room.close().await;
}

#[apply(both_stores)]
async fn nobody_types_for_another(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let content = json!({ "chatId": room.chat, "customerId": room.sigmund });
    carl.refused("start-typing", content, "forbidden").await;
    room.say("done").await;
    assert_eq!(told(&carl.frames_before("done").await), 0);
    room.close().await;
}
