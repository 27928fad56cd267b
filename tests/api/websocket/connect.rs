//! The frames `connect-chat`, `join`, `leave` and `leave-chat`.

use serde_json::{Value, json};
use testkit::{Room, Store, apply, both_stores, change, rstest};

#[apply(both_stores)]
async fn connecting_is_acked_with_the_chat_its_head_and_who_is_online(store: Store) {
    let room = Room::of_members(store).await;
    let (chat, carl, sigmund) = (room.chat, room.carl, room.sigmund);
    let mut first = room.server.socket().await;
    let ack = first.enter(carl, chat).await;
    let online = json!([{ "customerId": carl, "username": "carl" }]);
    let epoch = ack["epoch"].clone();
    assert!(epoch.as_str().is_some_and(|epoch| !epoch.is_empty()));
    let expected = json!({ "chatId": chat, "seq": 0, "epoch": epoch, "online": online });
    assert_eq!(ack, expected);
    first.say(chat, "one").await;
    first.say(chat, "two").await;
    let ack = room.server.socket().await.enter(sigmund, chat).await;
    let online = json!([
        { "customerId": carl, "username": "carl" },
        { "customerId": sigmund, "username": "sigmund" }
    ]);
    let expected = json!({ "chatId": chat, "seq": 2, "epoch": epoch, "online": online });
    assert_eq!(ack, expected);
    room.close().await;
}

#[apply(both_stores)]
async fn a_join_names_the_user_and_the_chat(store: Store) {
    let room = Room::of_members(store).await;
    let mut carl = room.enter(room.carl).await;
    let _sigmund = room.enter(room.sigmund).await;
    let join = carl.expect("join").await;
    let expected = json!({
        "type": "join", "content": "sigmund", "chatId": room.chat, "customerId": room.sigmund
    });
    assert_eq!(join, expected);
    room.close().await;
}

#[apply(both_stores)]
async fn join_and_leave_carry_the_claimed_name_and_messages_the_stored_one(store: Store) {
    let room = Room::of_members(store).await;
    let mut carl = room.enter(room.carl).await;
    let mut sigmund = room.server.socket().await;
    let content =
        json!({ "customerId": room.sigmund, "chatId": room.chat, "username": "the doctor" });
    let ack = sigmund.enter_with(content).await;
    assert_eq!(ack["online"][1]["username"], "the doctor");
    assert_eq!(carl.expect("join").await["content"], "the doctor");
    let message = sigmund.say(room.chat, "Tell me more.").await;
    assert_eq!(message["username"], "sigmund");
    assert_eq!(carl.expect("send-message").await["content"], message);
    sigmund.close().await;
    assert_eq!(carl.expect("leave").await["content"], "the doctor");
    room.close().await;
}

#[apply(both_stores)]
async fn every_socket_gets_its_own_join(store: Store) {
    let room = Room::open(store).await;
    for _ in 0..3 {
        // `enter` waits for the socket's own join.
        let ack = room.server.socket().await.enter(room.carl, room.chat).await;
        assert_eq!(ack["online"].as_array().map(Vec::len), Some(1));
    }
    room.close().await;
}

#[apply(both_stores)]
async fn others_hear_of_a_users_first_and_last_socket_alone(store: Store) {
    let room = Room::of_members(store).await;
    let mut watcher = room.enter(room.sigmund).await;
    let mut first = room.enter(room.carl).await;
    let second = room.enter(room.carl).await;
    room.say("both are in").await;
    let frames = watcher.frames_before("both are in").await;
    assert_eq!(frames.len(), 1, "{frames:?}");
    assert_eq!(frames[0]["type"], "join");
    first.ask("leave-chat", json!(room.chat)).await;
    room.say("one is in").await;
    let frames = watcher.frames_before("one is in").await;
    assert!(frames.is_empty(), "{frames:?}");
    second.close().await;
    let leave = watcher.next().await;
    let expected = json!({
        "type": "leave", "content": "carl", "chatId": room.chat, "customerId": room.carl
    });
    assert_eq!(leave, expected);
    room.close().await;
}

#[apply(both_stores)]
async fn one_socket_hears_each_of_its_chats_at_once(store: Store) {
    let room = Room::of_members(store).await;
    let mut socket = room.enter(room.carl).await;
    let mut chats = vec![room.chat];
    for name in ["random", "music"] {
        let chat = room.client.new_chat(name).await;
        room.server.database.settle(chat, room.carl).await;
        socket.enter(room.carl, chat).await;
        chats.push(chat);
    }
    for chat in chats {
        let sent = room.client.say(room.sigmund, chat, "Good morning.").await;
        assert_eq!(socket.expect("send-message").await["content"], sent);
        assert_eq!(sent["seq"], 1, "each chat has its own numbers");
    }
    room.close().await;
}

#[apply(both_stores)]
async fn leaving_is_acked_and_told_to_everyone(store: Store) {
    let room = Room::of_members(store).await;
    let mut watcher = room.enter(room.sigmund).await;
    for content in [json!(room.chat), json!({ "chatId": room.chat })] {
        let mut socket = room.enter(room.carl).await;
        watcher.expect("join").await;
        socket
            .send(json!({ "type": "leave-chat", "id": 7, "content": content }))
            .await;
        let mut frames = socket.frames_until(|frame| frame["id"] == 7).await;
        let ack = frames.pop().expect("an ack");
        let expected = json!({ "type": "ack", "id": 7, "content": { "chatId": room.chat } });
        assert_eq!(ack, expected);
        let leave = json!({
            "type": "leave", "content": "carl", "chatId": room.chat, "customerId": room.carl
        });
        assert_eq!(frames, std::slice::from_ref(&leave), "its own leave");
        assert_eq!(watcher.next().await, leave);
    }
    room.close().await;
}

#[apply(both_stores)]
async fn leaving_one_chat_keeps_the_others(store: Store) {
    let room = Room::open(store).await;
    let other = room.client.new_chat("random").await;
    let mut socket = room.enter(room.carl).await;
    socket.enter(room.carl, other).await;
    socket.ask("leave-chat", json!(room.chat)).await;
    room.say("unheard").await;
    let sent = room.client.say(room.carl, other, "still here").await;
    let heard = socket.expect("send-message").await;
    assert_eq!(heard["content"], sent);
    room.close().await;
}

#[apply(both_stores)]
async fn sending_after_leaving_is_not_connected(store: Store) {
    let room = Room::of_members(store).await;
    let mut socket = room.enter(room.carl).await;
    let message = socket.say(room.chat, "Goodbye.").await["messageId"].clone();
    socket.ask("leave-chat", json!(room.chat)).await;
    let content = json!({ "chatId": room.chat, "content": "One more thing" });
    for (kind, content) in [
        ("send-message", content.clone()),
        ("update-message", content),
        ("delete-message", message),
        ("leave-chat", json!(room.chat)),
    ] {
        socket.refused(kind, content, "not_connected").await;
    }
    socket.enter(room.carl, room.chat).await;
    assert_eq!(socket.say(room.chat, "Back again.").await["seq"], 2);
    room.close().await;
}

#[apply(both_stores)]
async fn leaving_keeps_the_membership(store: Store) {
    let room = Room::open(store).await;
    let mut socket = room.enter(room.carl).await;
    socket.ask("leave-chat", json!(room.chat)).await;
    let path = format!("/chat/user/{}/chat/{}/access", room.carl, room.chat);
    let access = room.client.get(&path).await.expect(200);
    assert_eq!(access, json!({ "hasAccess": true }));
    room.close().await;
}

#[apply(both_stores)]
async fn connecting_as_somebody_else_is_forbidden(store: Store) {
    let room = Room::open(store).await;
    let mut socket = room.enter(room.carl).await;
    let content = json!({ "customerId": room.sigmund, "chatId": room.chat });
    socket.refused("connect-chat", content, "forbidden").await;
    let message = socket.say(room.chat, "It is still me.").await;
    assert_eq!(message["customerId"], room.carl);
    room.close().await;
}

#[apply(both_stores)]
async fn connecting_makes_one_a_member(store: Store) {
    let room = Room::open(store).await;
    let path = format!("/chat/user/{}/chat/{}/access", room.carl, room.chat);
    let before = room.client.get(&path).await.expect(200);
    assert_eq!(before, json!({ "hasAccess": false }));
    room.enter(room.carl).await;
    let after = room.client.get(&path).await.expect(200);
    assert_eq!(after, json!({ "hasAccess": true }));
    let members = room
        .client
        .get(&format!("/user/chat/{}", room.chat))
        .await
        .expect(200);
    assert_eq!(members[0]["role"], "participant");
    room.close().await;
}

#[apply(both_stores)]
async fn connecting_again_to_the_same_chat_makes_nobody_leave(store: Store) {
    let room = Room::of_members(store).await;
    let mut watcher = room.enter(room.sigmund).await;
    let mut socket = room.enter(room.carl).await;
    watcher.expect("join").await;
    let ack = socket.enter(room.carl, room.chat).await;
    assert_eq!(ack["online"].as_array().map(Vec::len), Some(2));
    socket.say(room.chat, "here all along").await;
    let frames = watcher.frames_before("here all along").await;
    assert!(frames.is_empty(), "{frames:?}");
    socket.close().await;
    watcher.expect("leave").await;
    room.close().await;
}

#[apply(both_stores)]
async fn connecting_again_to_the_same_chat_loses_no_message(store: Store) {
    let room = Room::of_members(store).await;
    let mut socket = room.enter(room.carl).await;
    for round in 0..10 {
        for n in 0..10 {
            let content = json!({ "chatId": room.chat, "content": format!("{round}.{n}") });
            socket
                .send(json!({ "type": "send-message", "content": content }))
                .await;
        }
        let content = json!({ "customerId": room.carl, "chatId": room.chat });
        socket
            .send(json!({ "type": "connect-chat", "content": content }))
            .await;
    }
    let content = json!({ "chatId": room.chat, "content": "the last" });
    socket
        .send(json!({ "type": "send-message", "content": content }))
        .await;
    let frames = socket.frames_before("the last").await;
    let seen: Vec<i64> = frames.iter().filter_map(change).collect();
    assert_eq!(seen, (1..=100).collect::<Vec<i64>>());
    let errors: Vec<&Value> = frames.iter().filter(|f| f["type"] == "error").collect();
    assert!(errors.is_empty(), "{errors:?}");
    room.close().await;
}
