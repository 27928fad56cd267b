//! Who is online, held against the sockets that are open: the same on every server.

use crate::record::{ChatId, Violation};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};
use tokio::{
    net::TcpStream,
    time::{self, Instant},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// How long it may take until every server knows who is there and who is gone: a server that died
/// takes its own away within 15 s.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a socket may take to be connected.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A socket that stays open.
pub type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// When nobody else is connected any more: connects each of the users to the chats through one
/// server or another, and demands that every server names those, and nobody else, to whoever asks.
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

/// Asks one server until it names those; what it says instead by then is a violation.
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
            return Some(Violation::new("presence", text));
        }
        time::sleep(Duration::from_millis(100)).await;
    }
}

fn unanswered(address: SocketAddr) -> Violation {
    let text = format!("connecting through {address} was not answered in peace");
    Violation::new("unanswered", text)
}

/// A socket of a user in a chat, and who is online there by its ack.
async fn enter(address: SocketAddr, user: i64, chat: ChatId) -> Option<(Stream, BTreeSet<i64>)> {
    let content = json!({ "customerId": user, "chatId": chat });
    let Some(Knock::In(stream, ack)) = knock(address, content).await else {
        return None;
    };
    let online = ack["online"].as_array()?.iter();
    let online = online.filter_map(|who| who["customerId"].as_i64());
    Some((*stream, online.collect()))
}

/// How a connect-chat was answered.
pub enum Knock {
    /// With an ack: its content, and the socket.
    In(Box<Stream>, Value),
    Refused {
        code: String,
    },
}

/// Opens a socket and sends connect-chat; none where no answer comes.
pub async fn knock(address: SocketAddr, content: Value) -> Option<Knock> {
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
                "ack" => return Some(Knock::In(Box::new(stream), frame["content"].clone())),
                "error" => {
                    let code = frame["content"]["code"].as_str()?.to_owned();
                    return Some(Knock::Refused { code });
                }
                _ => {}
            }
        }
        None
    };
    time::timeout(CONNECT_LIMIT, entering).await.ok().flatten()
}
