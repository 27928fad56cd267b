//! A database that goes back while sockets are open.

use crate::{epoch, named, refused};
use serde_json::json;
use testkit::{Room, Store, apply, both_stores, number, patiently, rstest};

/// Takes the last changes of the room's chat out of the database, as a restore does.
async fn go_back(room: &Room, to: i64) {
    let sql = format!(
        "DELETE FROM message WHERE chat_id = {chat} AND seq > {to}; \
         UPDATE chat SET seq = {to} WHERE chat_id = {chat}",
        chat = room.chat
    );
    room.server.database.execute(sql).await;
}

#[apply(both_stores)]
async fn sockets_begin_again_where_the_database_goes_back(store: Store) {
    let room = Room::open(store).await;
    let mut socket = room.server.socket().await;
    let before = named(&socket.enter(room.sigmund, room.chat).await);
    for n in 1..=5 {
        room.say(&format!("message {n}")).await;
    }
    socket.frames_before("message 5").await;
    go_back(&room, 2).await;
    assert_eq!(socket.closed().await, 1012);
    let since = json!({ "seq": 5, "epoch": before });
    let mut socket = room.server.socket().await;
    refused(&mut socket, room.sigmund, room.chat, since).await;
    let ack = socket.enter(room.sigmund, room.chat).await;
    assert_ne!(named(&ack), before);
    assert_eq!(ack["seq"], 2);
    for n in 3..=6 {
        let said = room.say(&format!("another {n}")).await;
        assert_eq!(number(&said, "seq"), n);
        assert_eq!(socket.until("send-message").await["content"], said);
    }
    room.close().await;
}

/// Nothing is compared here: the commit itself shows it, before the head is where it was.
#[apply(both_stores)]
async fn a_writer_that_gives_a_number_twice_ends_the_epoch(store: Store) {
    let room = Room::open_with(store, &["--compare-seconds=3600"]).await;
    let before = epoch(&room.server, room.carl, room.chat).await;
    let mut socket = room.enter(room.sigmund).await;
    for n in 1..=5 {
        room.say(&format!("message {n}")).await;
    }
    socket.frames_before("message 5").await;
    go_back(&room, 2).await;
    for n in 3..=9 {
        room.say(&format!("another {n}")).await;
    }
    assert_eq!(socket.closed().await, 1012);
    let another =
        Box::pin(async { while epoch(&room.server, room.carl, room.chat).await == before {} });
    patiently("another epoch", another).await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_chat_without_sockets_that_goes_back_is_told_by_the_mark(store: Store) {
    let room = Room::open_with(store, &["--compare-seconds=1"]).await;
    let database = &room.server.database;
    let mark = || database.number("SELECT mark FROM log_epoch".to_owned());
    let begun = mark().await;
    let mut socket = room.server.socket().await;
    let before = named(&socket.enter(room.carl, room.chat).await);
    room.say("told").await;
    patiently("the mark to move", async { while mark().await == begun {} }).await;
    let back = format!("UPDATE log_epoch SET mark = {begun}");
    database.execute(back).await;
    assert_eq!(socket.closed().await, 1012);
    assert_ne!(epoch(&room.server, room.carl, room.chat).await, before);
    room.close().await;
}
