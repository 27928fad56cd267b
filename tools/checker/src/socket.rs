//! One WebSocket of one client. It records every frame as it arrives.

use crate::{
    acts::{Ending, Request},
    journal::Journal,
    record::{ChatId, OpId, Seq},
    subscriptions::Subscriptions,
    violation::ViolationKind,
    wire::{self, Incoming},
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use socket2::SockRef;
use std::{collections::HashMap, net::SocketAddr, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

/// Time limit to open a socket or to write to it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The receive buffer of a slow client, in bytes. It is small, so that the server soon notices a client
/// that does not read: by default the kernel buffers megabytes on loopback.
const SLOW_BUFFER: u32 = 8192;
const SLOW_SEGMENT: u32 = 1400;

/// The socket ended, or was given up.
#[derive(Debug)]
pub struct Disconnected;

/// The subject of a frame that is not answered yet.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Op(OpId),
    /// The chat, and the act that makes the user a member.
    Connect(ChatId, OpId),
}

/// An open socket.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// The chats that the socket is connected to.
    pub subscriptions: Subscriptions,
    pending: HashMap<u64, Asked>,
    next_id: u64,
}

impl Socket {
    /// Opens a socket. `original` makes it one of the original API: it sends no id and no cursor with connect-chat.
    pub async fn open(
        address: SocketAddr,
        journal: &mut Journal,
        original: bool,
    ) -> Result<Self, Disconnected> {
        let opening = async {
            let tcp = TcpSocket::new_v4().map_err(|_| Disconnected)?;
            if journal.is_slow() {
                tcp.set_recv_buffer_size(SLOW_BUFFER)
                    .map_err(|_| Disconnected)?;
                let segment = SockRef::from(&tcp).set_tcp_mss(SLOW_SEGMENT);
                segment.map_err(|_| Disconnected)?;
            }
            let tcp = tcp.connect(address).await.map_err(|_| Disconnected)?;
            tcp.set_nodelay(true).map_err(|_| Disconnected)?;
            let url = format!("ws://{address}/ws");
            client_async(url, tcp).await.map_err(|_| Disconnected)
        };
        let (stream, _) = time::timeout(TIMEOUT, opening)
            .await
            .map_err(|_| Disconnected)??;
        journal.sockets += 1;
        Ok(Self {
            stream,
            subscriptions: Subscriptions::new(journal.sockets, original),
            pending: HashMap::new(),
            next_id: 0,
        })
    }

    /// Sends connect-chat; the answer comes later. An original socket gets none, unless the server refuses.
    pub async fn connect(
        &mut self,
        journal: &mut Journal,
        chat: ChatId,
        since: Option<Seq>,
    ) -> Result<(), Disconnected> {
        self.subscriptions.begin(journal, chat, since);
        let act = journal.begin_act(chat, Request::Join(journal.user));
        let mut content = json!({ "customerId": journal.user, "chatId": chat });
        if self.subscriptions.original {
            return self
                .write(&json!({ "type": "connect-chat", "content": content }))
                .await;
        }
        if let Some(since) = since {
            content["since"] = match journal.epochs.get(&chat) {
                Some(epoch) if self.subscriptions.socket.is_multiple_of(2) => {
                    json!({ "seq": since, "epoch": epoch })
                }
                _ => since.into(),
            };
        }
        self.ask("connect-chat", content, Asked::Connect(chat, act))
            .await
    }

    /// Sends an operation; the answer comes later.
    pub async fn submit(
        &mut self,
        journal: &mut Journal,
        op: OpId,
        kind: &str,
        content: Value,
    ) -> Result<(), Disconnected> {
        let sent = self.ask(kind, content, Asked::Op(op)).await;
        if sent.is_err() {
            journal.op(op).in_doubt = true;
        }
        sent
    }

    async fn ask(&mut self, kind: &str, content: Value, asked: Asked) -> Result<(), Disconnected> {
        self.next_id += 1;
        let frame = json!({ "type": kind, "id": self.next_id, "content": content });
        self.pending.insert(self.next_id, asked);
        self.write(&frame).await
    }

    async fn write(&mut self, frame: &Value) -> Result<(), Disconnected> {
        let sending = self.stream.send(Message::text(frame.to_string()));
        let sent = time::timeout(TIMEOUT, sending).await;
        sent.map_err(|_| Disconnected)?.map_err(|_| Disconnected)
    }

    /// Waits for one frame and records it. It is cancellation-safe: dropping the future loses no frame.
    pub async fn step(&mut self, journal: &mut Journal) -> Result<(), Disconnected> {
        let text = match self.stream.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            _ => return Err(Disconnected),
        };
        match wire::read(&text) {
            Incoming::Change(chat, frame) => self.subscriptions.change(journal, chat, frame),
            Incoming::Answer(id, answer) => return self.answer(journal, id, answer),
            Incoming::Heartbeat(heads) => self.subscriptions.heartbeat(journal, heads),
            Incoming::Removed(chat) => self.subscriptions.removed(journal, chat),
            Incoming::Refused(code, sentence) if self.subscriptions.original => {
                if code != "unavailable" && !journal.may_be_removed(None) {
                    let text = format!("connecting was refused: {code}: {sentence}");
                    journal.report(ViolationKind::Lost, text);
                }
                return Err(Disconnected);
            }
            Incoming::New if self.subscriptions.original => {
                let text = format!("an original socket got {text}");
                journal.report(ViolationKind::Protocol, text);
            }
            Incoming::Ignored | Incoming::New => {}
            Incoming::Refused(..) | Incoming::Invalid => {
                journal.report(ViolationKind::Protocol, format!("an invalid frame: {text}"))
            }
        }
        Ok(())
    }

    fn answer(
        &mut self,
        journal: &mut Journal,
        id: u64,
        answer: Result<Value, (String, String)>,
    ) -> Result<(), Disconnected> {
        match (self.pending.remove(&id), answer) {
            (None, _) => {
                journal.report(
                    ViolationKind::Protocol,
                    format!("frame {id} was answered twice"),
                );
                Ok(())
            }
            (Some(Asked::Connect(chat, act)), Ok(content)) => {
                journal.end_act(act, Ending::Done);
                self.subscriptions.connected(journal, chat, &content)
            }
            (Some(Asked::Connect(chat, _)), Err((code, sentence))) => {
                // The user may be removed again before the socket is in the chat.
                let gone = ["member_not_found", "chat_not_found"].contains(&code.as_str())
                    && journal.may_be_removed(Some(chat));
                if code != "unavailable" && !gone {
                    let text = format!("connecting to chat {chat} was refused: {code}: {sentence}");
                    journal.report(ViolationKind::Lost, text);
                }
                Err(Disconnected)
            }
            (Some(Asked::Op(op)), Ok(content)) => {
                match wire::ack(&content) {
                    Some(ack) => {
                        journal.op(op).acks.push(ack);
                        let chat = journal.op(op).chat;
                        self.subscriptions.acked(journal, chat, &ack);
                    }
                    None => journal.report(
                        ViolationKind::Protocol,
                        format!("an invalid ack: {content}"),
                    ),
                }
                Ok(())
            }
            (Some(Asked::Op(op)), Err((code, sentence))) => {
                journal.refuse(op, &code, &sentence);
                Ok(())
            }
        }
    }

    /// True if no answer is pending.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// Gives the socket up. Operations without an answer stay in doubt.
    pub fn abandon(self, journal: &mut Journal) -> WebSocketStream<TcpStream> {
        for asked in self.pending.into_values() {
            if let Asked::Op(op) = asked {
                journal.op(op).in_doubt = true;
            }
        }
        self.stream
    }

    /// Sends a close frame and reads until the server has closed the socket too.
    pub async fn close(mut self, journal: &mut Journal) {
        let closing = async {
            let _ = self.stream.close(None).await;
            while self.step(journal).await.is_ok() {}
        };
        let _ = time::timeout(TIMEOUT, closing).await;
        self.abandon(journal);
    }

    /// Writes the first half of a frame, then drops the connection.
    pub async fn cut_in_frame(self, journal: &mut Journal, frame: &Value) {
        let payload = frame.to_string();
        // A masked text frame with a two-byte length. A mask of zeros leaves the payload unchanged.
        let length = (payload.len() as u16).to_be_bytes();
        let mut bytes = vec![0x81, 0x80 | 126, length[0], length[1], 0, 0, 0, 0];
        bytes.extend_from_slice(&payload.as_bytes()[..payload.len() / 2]);
        let mut stream = self.abandon(journal);
        let writing = stream.get_mut().write_all(&bytes);
        let _ = time::timeout(TIMEOUT, writing).await;
    }
}
