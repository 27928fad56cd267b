//! The frames `send-message`, `update-message` and `delete-message`.

mod authorship;
mod changes;
mod order;

use testkit::{Room, Socket};

/// Carl's and sigmund's sockets, both past the joins.
pub async fn both(room: &Room) -> (Socket, Socket) {
    let mut carl = room.enter(room.carl).await;
    let sigmund = room.enter(room.sigmund).await;
    carl.expect("join").await;
    (carl, sigmund)
}
