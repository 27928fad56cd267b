//! The identity of the log: what a restore, a rollback under open sockets and a false word over the link
//! do to clients.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod copies;
mod epoch;
mod failover;
mod rollback;
mod words;

use serde_json::{Value, json};
use testkit::{Server, Socket};

/// The epoch that the server names in the ack of a new socket.
async fn epoch(server: &Server, user: i64, chat: i64) -> String {
    let mut socket = server.socket().await;
    let ack = socket.enter(user, chat).await;
    socket.close().await;
    named(&ack)
}

/// The epoch that an ack names.
fn named(ack: &Value) -> String {
    ack["epoch"].as_str().expect("an epoch").to_owned()
}

/// Connects with this `since`, which must be refused as one of another log.
async fn refused(socket: &mut Socket, user: i64, chat: i64, since: Value) {
    let content = json!({ "customerId": user, "chatId": chat, "since": since });
    socket
        .refused("connect-chat", content, "invalid_field")
        .await;
}
