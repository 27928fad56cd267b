//! Compares the online lists of all servers with the sockets that are open.

use crate::{
    record::ChatId,
    violation::{Violation, ViolationKind},
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};
use tokio::{
    net::TcpStream,
    time::{self, Instant},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// Time limit for every server to list exactly the connected users. The users of a server that died are
/// evicted within 15 s.
const LIMIT: Duration = Duration::from_secs(30);
/// Time limit to open a socket and connect it to a chat.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A socket that stays open.
pub type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects each user to one chat through one of the servers, then asks every server for the users who
/// are online. Each server must list exactly the connected users. All other sockets must be closed
/// before.
pub async fn check(
    addresses: &[SocketAddr],
    chats: &[ChatId],
    users: &[i64],
    asking: i64,
) -> Vec<Violation> {
    let (mut open, mut violations) = (Vec::new(), Vec::new());
    for (n, &user) in users.iter().enumerate() {
        let (address, chat) = (addresses[n % addresses.len()], chats[n % chats.len()]);
        match enter(address, user, chat).await {
            Some((stream, _)) => open.push((stream, user, chat)),
            None => violations.push(unanswered(address)),
        }
    }
    let until = Instant::now() + LIMIT;
    for &chat in chats {
        let there = open.iter().filter(|(_, _, of)| *of == chat);
        let mut expected: BTreeSet<i64> = there.map(|(_, user, _)| *user).collect();
        expected.insert(asking);
        for &address in addresses {
            violations.extend(agree(address, (asking, chat), &expected, until).await);
        }
    }
    violations
}

/// Asks one server until its list equals `expected`. A different list at `until` is a violation.
async fn agree(
    address: SocketAddr,
    (asking, chat): (i64, ChatId),
    expected: &BTreeSet<i64>,
    until: Instant,
) -> Option<Violation> {
    loop {
        let Some((mut stream, online)) = enter(address, asking, chat).await else {
            return Some(unanswered(address));
        };
        let _ = stream.close(None).await;
        if online == *expected {
            return None;
        }
        if Instant::now() > until {
            let text = format!("{address} says of chat {chat}: {online:?}, not {expected:?}");
            return Some(Violation::new(ViolationKind::Presence, text));
        }
        time::sleep(Duration::from_millis(100)).await;
    }
}

fn unanswered(address: SocketAddr) -> Violation {
    let text = format!("connecting through {address} was not answered in peace");
    Violation::new(ViolationKind::Unanswered, text)
}

/// Connects a user to a chat. Returns the socket and the users who are online according to the ack.
async fn enter(address: SocketAddr, user: i64, chat: ChatId) -> Option<(Stream, BTreeSet<i64>)> {
    let content = json!({ "customerId": user, "chatId": chat });
    let Some(ConnectAnswer::Accepted(stream, ack)) = connect_chat(address, content).await else {
        return None;
    };
    let online = ack["online"].as_array()?.iter();
    let online = online.filter_map(|who| who["customerId"].as_i64());
    Some((*stream, online.collect()))
}

/// The answer to a connect-chat.
pub enum ConnectAnswer {
    /// An ack: the socket, and the content of the ack.
    Accepted(Box<Stream>, Value),
    Refused {
        code: String,
    },
}

/// Opens a socket and sends connect-chat. Returns `None` if no answer comes.
pub async fn connect_chat(address: SocketAddr, content: Value) -> Option<ConnectAnswer> {
    let entering = async {
        let (mut stream, _) = connect_async(format!("ws://{address}/ws")).await.ok()?;
        let frame = json!({ "type": "connect-chat", "id": 1, "content": content });
        stream.send(Message::text(frame.to_string())).await.ok()?;
        while let Some(Ok(message)) = stream.next().await {
            let frame: Value = match &message {
                Message::Text(text) => serde_json::from_str(text).ok()?,
                _ => continue,
            };
            match frame["type"].as_str()? {
                "ack" => {
                    return Some(ConnectAnswer::Accepted(
                        Box::new(stream),
                        frame["content"].clone(),
                    ));
                }
                "error" => {
                    let code = frame["content"]["code"].as_str()?.to_owned();
                    return Some(ConnectAnswer::Refused { code });
                }
                _ => {}
            }
        }
        None
    };
    time::timeout(CONNECT_LIMIT, entering).await.ok().flatten()
}
