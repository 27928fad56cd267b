//! Read positions when the server stops or the store is busy.

use super::{mark, standing};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use testkit::{Room, Server, Store, apply, both_stores, rstest};

#[apply(both_stores)]
async fn a_position_survives_a_restart(store: Store) {
    let room = Room::open(store).await;
    let (sigmund, chat) = (room.sigmund, room.chat);
    let mut socket = room.enter(sigmund).await;
    let one = room.say("one").await;
    room.say("two").await;
    mark(&mut socket, chat, &one).await;
    let database = room.server.stop().await;
    let server = Server::start_on(database, &[]).await;
    let seen = standing(&server.client(), sigmund).await;
    assert_eq!(seen, (one["messageId"].clone(), 1));
    server.stop().await;
}

#[apply(both_stores)]
async fn a_stopping_server_answers_what_was_handed_in(store: Store) {
    let mut room = Room::open(store).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let (one, two) = (room.say("one").await, room.say("two").await);
    mark(&mut sigmund, room.chat, &one).await;
    let content = json!({ "chatId": room.chat, "messageId": two["messageId"] });
    sigmund
        .send(json!({ "type": "mark-read", "id": "late", "content": content }))
        .await;
    // Frames are processed in order: if this one is answered, the server has accepted the one before.
    let content = json!({ "chatId": room.chat });
    sigmund
        .send(json!({ "type": "start-typing", "id": "after", "content": content }))
        .await;
    let before = sigmund.frames_until(|frame| frame["id"] == "after").await;
    room.server.begin_stop();
    let answered = |frame: &serde_json::Value| frame["id"] == "late";
    let ack = match before.into_iter().find(answered) {
        Some(ack) => ack,
        None => {
            let frames = sigmund.frames_until(answered).await;
            frames.last().expect("the ack").clone()
        }
    };
    assert_eq!(ack["content"]["messageId"], two["messageId"], "{ack}");
    assert_eq!(sigmund.closed().await, 1012);
    room.close().await;
}

/// Runs on Postgres only: no other process can lock a row of the embedded database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_position_that_cannot_be_written_holds_no_message_up() {
    let room = Room::open(Store::Postgres).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let one = room.say("one").await;
    let mut other = PgConnection::connect(&room.server.database.url)
        .await
        .expect("the test's database");
    let hold = "BEGIN; SELECT 1 FROM customer_chat FOR UPDATE";
    other.execute(hold).await.expect("a lock");
    let content = json!({ "chatId": room.chat, "messageId": one["messageId"] });
    sigmund
        .send(json!({ "type": "mark-read", "id": "held", "content": content }))
        .await;
    let content = json!({ "chatId": room.chat, "content": "not held" });
    sigmund
        .send(json!({ "type": "send-message", "id": "said", "content": content }))
        .await;
    // On a busy machine the two acks may come in either order.
    let (mut said, mut held) = (None, None);
    while said.is_none() || held.is_none() {
        let either = |frame: &serde_json::Value| frame["id"] == "said" || frame["id"] == "held";
        let frame = sigmund.frames_until(either).await.pop().expect("a frame");
        match frame["id"] == "said" {
            true => said = Some(frame),
            false => held = Some(frame),
        }
    }
    let (said, held) = (said.expect("an ack"), held.expect("an error"));
    assert_eq!(said["type"], "ack", "{said}");
    assert_eq!(held["content"]["code"], "unavailable", "{held}");
    let message = &said["content"];
    other.execute("ROLLBACK").await.expect("no lock");
    let ack = mark(&mut sigmund, room.chat, message).await;
    assert_eq!(ack["messageId"], message["messageId"]);
    room.close().await;
}
