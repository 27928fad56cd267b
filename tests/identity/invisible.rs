//! Text without a visible character is refused as a name and as a message.

use serde_json::json;
use testkit::{PASSWORD, Room, Store, apply, both_stores, rstest};

/// White space, zero-width characters, fillers, blanks, tags, selectors.
const INVISIBLE: [&str; 9] = [
    " ",
    "\u{3000}\u{a0}",
    "\u{200b}",
    "\u{2060}\u{feff}\u{200d}",
    "\u{115f}\u{1160}",
    "\u{3164}",
    "\u{ffa0}\u{2800}",
    "\u{e0061}\u{e007f}",
    "\u{fe0f}\u{34f}\u{ad}",
];
/// Control characters, line separators, and characters that change the direction of the text after them.
const UNRULY: [&str; 8] = [
    "a\u{7}b",
    "a\nb",
    "a\u{85}b",
    "a\u{2028}b",
    "a\u{202e}b",
    "a\u{2066}b",
    "a\u{200f}b",
    "a\u{61c}b",
];

/// Checks that this name is refused for users and for chats, at creation and at renaming.
async fn refused_as_a_name(room: &Room, name: &str) {
    let (user, chat) = (
        format!("/user/{}", room.carl),
        format!("/chat/{}", room.chat),
    );
    let body = json!({ "username": name, "password": PASSWORD });
    let replies = [
        room.client.post("/user", body).await,
        room.client.put(&user, json!({ "username": name })).await,
        room.client.post("/chat", json!({ "chatName": name })).await,
        room.client.put(&chat, json!({ "chatName": name })).await,
    ];
    for reply in replies {
        reply.expect_error(400, "invalid_field");
    }
    let mut socket = room.server.socket().await;
    let content = json!({ "customerId": room.carl, "chatId": room.chat, "username": name });
    socket
        .refused("connect-chat", content, "invalid_field")
        .await;
}

#[apply(both_stores)]
async fn a_name_has_something_to_see(store: Store) {
    let room = Room::open(store).await;
    for name in INVISIBLE {
        refused_as_a_name(&room, name).await;
    }
    for name in [
        "👨\u{200d}👩\u{200d}👧",
        "می\u{200c}خواهم",
        "❤\u{fe0f}",
        ".",
    ] {
        room.client.new_user(name).await;
    }
    room.close().await;
}

#[apply(both_stores)]
async fn a_name_turns_no_text_around(store: Store) {
    let room = Room::open(store).await;
    for name in UNRULY {
        refused_as_a_name(&room, name).await;
    }
    for name in ["שלום", "مرحبا"] {
        room.client.new_user(name).await;
    }
    room.close().await;
}

#[apply(both_stores)]
async fn a_message_has_something_to_see(store: Store) {
    let room = Room::open(store).await;
    let path = format!("/chat/{}/message", room.chat);
    let mut socket = room.enter(room.carl).await;
    let first = socket.say(room.chat, "e\u{301}\u{200b}").await;
    assert_eq!(
        first["content"], "e\u{301}\u{200b}",
        "stored as it was sent"
    );
    for text in INVISIBLE
        .into_iter()
        .chain(["\n\t", "\u{202e}\u{200f}", "\u{7}\u{1b}"])
    {
        let body = json!({ "customerId": room.carl, "content": text });
        let reply = room.client.post(&path, body).await;
        reply.expect_error(400, "invalid_field");
        let message = format!("/message/{}", first["messageId"]);
        let reply = room.client.put(&message, json!({ "content": text })).await;
        reply.expect_error(400, "invalid_field");
        let content = json!({ "chatId": room.chat, "content": text });
        socket
            .refused("send-message", content.clone(), "invalid_field")
            .await;
        socket
            .refused("update-message", content, "invalid_field")
            .await;
    }
    for text in ["👍", ".", "\u{301}", "שלום", "❤\u{fe0f}"] {
        socket.say(room.chat, text).await;
    }
    room.close().await;
}
