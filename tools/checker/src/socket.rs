//! One WebSocket of one client. It records every frame as it arrives.

use crate::{
    journal::Journal,
    places::Places,
    record::{ChatId, OpId, Seq},
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
const PATIENCE: Duration = Duration::from_secs(10);
/// The receive buffer of a slow client, in bytes. It is small, so that the server soon notices a client
/// that does not read: by default the kernel buffers megabytes on loopback.
const SLOW_BUFFER: u32 = 8192;
const SLOW_SEGMENT: u32 = 1400;

/// The socket ended, or was given up.
#[derive(Debug)]
pub struct Gone;

/// The subject of a frame that is not answered yet.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Op(OpId),
    Connect(ChatId),
}

/// An open socket.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// The chats that the socket is connected to.
    pub places: Places,
    pending: HashMap<u64, Asked>,
    next_id: u64,
}

impl Socket {
    pub async fn open(address: SocketAddr, journal: &mut Journal) -> Result<Self, Gone> {
        let opening = async {
            let tcp = TcpSocket::new_v4().map_err(|_| Gone)?;
            if journal.is_slow() {
                tcp.set_recv_buffer_size(SLOW_BUFFER).map_err(|_| Gone)?;
                let segment = SockRef::from(&tcp).set_tcp_mss(SLOW_SEGMENT);
                segment.map_err(|_| Gone)?;
            }
            let tcp = tcp.connect(address).await.map_err(|_| Gone)?;
            tcp.set_nodelay(true).map_err(|_| Gone)?;
            let url = format!("ws://{address}/ws");
            client_async(url, tcp).await.map_err(|_| Gone)
        };
        let (stream, _) = time::timeout(PATIENCE, opening).await.map_err(|_| Gone)??;
        journal.sockets += 1;
        Ok(Self {
            stream,
            places: Places::new(journal.sockets),
            pending: HashMap::new(),
            next_id: 0,
        })
    }

    /// Sends connect-chat; the answer comes later.
    pub async fn connect(
        &mut self,
        journal: &mut Journal,
        chat: ChatId,
        since: Option<Seq>,
    ) -> Result<(), Gone> {
        self.places.begin(journal, chat, since);
        let mut content = json!({ "customerId": journal.user, "chatId": chat });
        if let Some(since) = since {
            content["since"] = match journal.epochs.get(&chat) {
                Some(epoch) if self.places.socket.is_multiple_of(2) => {
                    json!({ "seq": since, "epoch": epoch })
                }
                _ => since.into(),
            };
        }
        self.ask("connect-chat", content, Asked::Connect(chat))
            .await
    }

    /// Sends an operation; the answer comes later.
    pub async fn submit(
        &mut self,
        journal: &mut Journal,
        op: OpId,
        kind: &str,
        content: Value,
    ) -> Result<(), Gone> {
        let sent = self.ask(kind, content, Asked::Op(op)).await;
        if sent.is_err() {
            journal.op(op).doubt = true;
        }
        sent
    }

    async fn ask(&mut self, kind: &str, content: Value, asked: Asked) -> Result<(), Gone> {
        self.next_id += 1;
        let frame = json!({ "type": kind, "id": self.next_id, "content": content });
        self.pending.insert(self.next_id, asked);
        let sending = self.stream.send(Message::text(frame.to_string()));
        let sent = time::timeout(PATIENCE, sending).await;
        sent.map_err(|_| Gone)?.map_err(|_| Gone)
    }

    /// Waits for one frame and records it. It is cancellation-safe: dropping the future loses no frame.
    pub async fn step(&mut self, journal: &mut Journal) -> Result<(), Gone> {
        let text = match self.stream.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            _ => return Err(Gone),
        };
        match wire::read(&text) {
            Incoming::Change(chat, frame) => self.places.change(journal, chat, frame),
            Incoming::Answer(id, answer) => return self.answer(journal, id, answer),
            Incoming::Heartbeat(heads) => self.places.heartbeat(journal, heads),
            Incoming::Passing => {}
            Incoming::Strange => journal.violate("protocol", format!("a strange frame: {text}")),
        }
        Ok(())
    }

    fn answer(
        &mut self,
        journal: &mut Journal,
        id: u64,
        answer: Result<Value, (String, String)>,
    ) -> Result<(), Gone> {
        match (self.pending.remove(&id), answer) {
            (None, _) => {
                journal.violate("protocol", format!("frame {id} was answered twice"));
                Ok(())
            }
            (Some(Asked::Connect(chat)), Ok(content)) => {
                self.places.connected(journal, chat, &content)
            }
            (Some(Asked::Connect(chat)), Err((code, sentence))) => {
                if code != "unavailable" {
                    let text = format!("connecting to chat {chat} was refused: {code}: {sentence}");
                    journal.violate("lost", text);
                }
                Err(Gone)
            }
            (Some(Asked::Op(op)), Ok(content)) => {
                match wire::ack(&content) {
                    Some(ack) => journal.op(op).acks.push(ack),
                    None => journal.violate("protocol", format!("a strange ack: {content}")),
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
    pub fn give_up(self, journal: &mut Journal) -> WebSocketStream<TcpStream> {
        for asked in self.pending.into_values() {
            if let Asked::Op(op) = asked {
                journal.op(op).doubt = true;
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
        let _ = time::timeout(PATIENCE, closing).await;
        self.give_up(journal);
    }

    /// Writes the first half of a frame, then drops the connection.
    pub async fn tear(self, journal: &mut Journal, frame: &Value) {
        let payload = frame.to_string();
        // A masked text frame with a two-byte length. A mask of zeros leaves the payload unchanged.
        let length = (payload.len() as u16).to_be_bytes();
        let mut bytes = vec![0x81, 0x80 | 126, length[0], length[1], 0, 0, 0, 0];
        bytes.extend_from_slice(&payload.as_bytes()[..payload.len() / 2]);
        let mut stream = self.give_up(journal);
        let writing = stream.get_mut().write_all(&bytes);
        let _ = time::timeout(PATIENCE, writing).await;
    }
}
