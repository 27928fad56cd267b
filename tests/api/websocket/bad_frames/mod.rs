//! Wrong frames. Each is answered by an error with its id, the socket stays usable, and nothing of
//! the frame is stored.

mod contents;
mod envelope;

use serde_json::Value;
use testkit::{Room, Socket, Store};

/// A connected socket of carl's in a chat with one message.
async fn prepared(store: Store) -> (Room, Socket, Value) {
    let room = Room::of_members(store).await;
    let message = room.say("the only one").await;
    let socket = room.enter(room.carl).await;
    (room, socket, message)
}

/// The socket works, and the chat is as it was.
async fn unharmed(room: Room, mut socket: Socket, message: Value) {
    assert_eq!(room.history().await, [message]);
    let next = socket.say(room.chat, "All is well.").await;
    assert_eq!(next["seq"], 2);
    room.close().await;
}
