//! The epoch on the wire, and what begins another.

use crate::{epoch, named, refused};
use serde_json::{Value, json};
use testkit::{Database, Room, Server, Store, apply, both_stores, history, rstest};

#[apply(both_stores)]
async fn since_takes_the_epoch_that_the_ack_names(store: Store) {
    let room = Room::of_members(store).await;
    for text in ["one", "two", "three"] {
        room.say(text).await;
    }
    let mut socket = room.server.socket().await;
    let name = named(&socket.enter(room.carl, room.chat).await);
    for since in [
        json!({ "seq": 1, "epoch": name }),
        json!({ "seq": 1 }),
        json!(1),
    ] {
        let content = json!({ "customerId": room.carl, "chatId": room.chat, "since": since });
        socket
            .send(json!({ "type": "connect-chat", "id": 1, "content": content }))
            .await;
        let mut frames = socket.frames_until(|frame| frame["id"] == 1).await;
        let ack = frames.pop().expect("an ack");
        assert_eq!(
            (&ack["type"], &ack["content"]["epoch"]),
            (&json!("ack"), &json!(name))
        );
        frames.retain(|frame| frame["replay"] == true);
        assert_eq!(frames.len(), 2, "{since}");
    }
    for since in [
        json!({ "seq": 1, "epoch": "another" }),
        json!({ "seq": 3, "epoch": "" }),
        json!({ "seq": 4, "epoch": name }),
        json!({ "seq": "1", "epoch": name }),
        json!({ "epoch": name }),
        json!([1, name]),
    ] {
        refused(&mut socket, room.carl, room.chat, since.clone()).await;
        refused(&mut room.server.socket().await, room.carl, room.chat, since).await;
    }
    // A refusal changes nothing for a socket that is connected.
    assert_eq!(socket.say(room.chat, "still here").await["seq"], 4);
    room.close().await;
}

#[apply(both_stores)]
async fn pages_of_changes_name_the_epoch_and_hold_another_against_it(store: Store) {
    let room = Room::open(store).await;
    for text in ["one", "two", "three"] {
        room.say(text).await;
    }
    let name = epoch(&room.server, room.carl, room.chat).await;
    let path = format!("/chat/{}/message?since=0&limit=2", room.chat);
    let page = room.client.get(&path).await;
    assert_eq!(page.headers["log-epoch"], name.as_str());
    let named = room.client.get(&format!("{path}&epoch={name}")).await;
    assert_eq!(named.headers["log-epoch"], name.as_str());
    let link = named.headers["link"].to_str().expect("a link");
    let next = format!("limit=2&since=2&epoch={name}>");
    assert!(link.contains(&next), "{link}");
    let other = room.client.get(&format!("{path}&epoch=another")).await;
    other.expect_error(400, "invalid_field");
    room.close().await;
}

#[apply(both_stores)]
async fn a_restart_keeps_the_epoch(store: Store) {
    let room = Room::open(store).await;
    let before = epoch(&room.server, room.carl, room.chat).await;
    room.say("one").await;
    let mut server = Server::start_on(room.server.stop().await, &[]).await;
    assert_eq!(epoch(&server, room.carl, room.chat).await, before);
    server = Server::start_on(server.stop().await, &[]).await;
    assert_eq!(epoch(&server, room.carl, room.chat).await, before);
    server.stop().await;
}

#[apply(both_stores)]
async fn each_import_begins_another_epoch(store: Store) {
    let room = Room::open(store).await;
    let before = epoch(&room.server, room.carl, room.chat).await;
    room.say("one").await;
    let original = room.server.stop().await;
    let archive = original.export().await;
    let mut seen = vec![before];
    for _ in 0..2 {
        let copy = Database::new(store).await;
        copy.import(&archive).await.expect_success();
        let server = Server::start_on(copy, &[]).await;
        let name = epoch(&server, room.carl, room.chat).await;
        assert!(!seen.contains(&name), "{seen:?}");
        let old = json!({ "seq": 1, "epoch": seen[0] });
        refused(&mut server.socket().await, room.carl, room.chat, old).await;
        // The start after that keeps it.
        let server = Server::start_on(server.stop().await, &[]).await;
        assert_eq!(epoch(&server, room.carl, room.chat).await, name);
        server.stop().await;
        seen.push(name);
    }
}

/// Beside a running server, and beside two where there can be two.
#[apply(both_stores)]
async fn the_command_begins_another_epoch(store: Store) {
    let room = Room::open_with(store, &["--compare-seconds=1"]).await;
    let mut socket = room.server.socket().await;
    let before = named(&socket.enter(room.carl, room.chat).await);
    let second = match store {
        Store::Sqlite => None,
        Store::Postgres => Some(room.server.beside(&["--compare-seconds=1"]).await),
    };
    let there = second.as_ref().unwrap_or(&room.server);
    let mut there = there.socket().await;
    there.enter(room.sigmund, room.chat).await;
    let ended = room.server.database.command(&["new-epoch"]).await;
    ended.expect_success();
    assert_eq!(socket.closed().await, 1012);
    assert_eq!(there.closed().await, 1012);
    let after = epoch(&room.server, room.carl, room.chat).await;
    assert_ne!(after, before);
    if let Some(second) = second {
        second.stop().await;
    }
    // Without a server too.
    let database = room.server.stop().await;
    database.command(&["new-epoch"]).await.expect_success();
    let server = Server::start_on(database, &[]).await;
    assert_ne!(epoch(&server, room.carl, room.chat).await, after);
    server.stop().await;
}

/// Thirteen messages, a backup, three more; a restore, and nine others: a client that saw sixteen.
#[apply(both_stores)]
async fn a_client_takes_over_nothing_from_before_a_restore(store: Store) {
    let room = Room::open(store).await;
    let (carl, chat) = (room.carl, room.chat);
    for n in 1..=13 {
        room.say(&format!("kept {n}")).await;
    }
    let before = epoch(&room.server, carl, chat).await;
    let database = room.server.stop().await;
    let backup = crate::copies::Backup::of(&database).await;
    let server = Server::start_on(database, &[]).await;
    assert_eq!(epoch(&server, carl, chat).await, before);
    for n in 14..=16 {
        server.client().say(carl, chat, &format!("lost {n}")).await;
    }
    let database = server.stop().await;
    backup.restore(&database).await;
    let server = Server::start_on(database, &[]).await;
    for n in 14..=22 {
        server.client().say(carl, chat, &format!("other {n}")).await;
    }
    let mut socket = server.socket().await;
    let since = json!({ "seq": 16, "epoch": before });
    refused(&mut socket, carl, chat, since).await;
    let after = named(&socket.enter(carl, chat).await);
    assert_ne!(after, before);
    let log = history(&server.client(), chat).await;
    let is_lost = |message: &Value| message["content"].to_string().contains("lost");
    assert!(log.len() == 22 && !log.iter().any(is_lost));
    server.stop().await;
}
