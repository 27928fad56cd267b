//! Input that somebody made to do harm. Each has its precise answer, and the server goes on serving
//! everybody else.

mod bodies;
mod bulk;
mod crowd;
mod drops;
mod frames;
mod headers;
mod heads;
mod nameless;
mod oracle;
mod pace;
mod passwords;
mod proxies;
mod random;
mod rooms;
mod smuggling;
mod throttle;

use testkit::RawHttp;
use testkit::{Room, Server};

/// Whoever does no harm is served: over REST, and over a socket.
async fn serves_others(room: &Room) {
    let mut socket = room.enter(room.sigmund).await;
    let said = room.say("Is anybody there?").await;
    let heard = socket.expect("send-message").await;
    assert_eq!(heard["content"], said);
    socket.say(room.chat, "We are.").await;
}

/// A bare connection to the server.
async fn plain(server: &Server) -> RawHttp {
    RawHttp::open(server.address).await
}
