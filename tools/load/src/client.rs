//! One connection of a load.

use super::{
    caller::Caller,
    counters::Counters,
    marker::{CONTENT, Marker},
    websocket::{CLOSE, PING, PONG, TEXT, frames, masked, open},
};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    time::Instant,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::oneshot,
    task::{JoinHandle, spawn_local},
};

/// The receive buffer of a client that does not read, in bytes. It is small, so that the server holds
/// the rest.
const STALLED_BUFFER: u32 = 8 * 1024;

/// The identity and behaviour of a client.
#[derive(Clone, Copy)]
pub struct ClientSettings {
    /// The chat's id.
    pub chat: u16,
    /// The user's id.
    pub user: usize,
    /// The client's position in the chat, from 0.
    pub position: u16,
    /// The number of senders in the chat: the clients at positions below it.
    pub senders: u16,
    /// True if the client sends another message each time that one of its own comes back.
    pub echo: bool,
    /// True if the client stops reading once it is connected.
    pub stalls: bool,
}

/// A connected client.
pub struct Client {
    settings: ClientSettings,
    counters: Rc<Counters>,
    writer: OwnedWriteHalf,
    /// Bytes that the kernel has not accepted yet.
    outbox: RefCell<Vec<u8>>,
    /// The frame of a message, and the offset of its content.
    template: RefCell<(Vec<u8>, usize)>,
    /// The number of messages sent.
    sent: Cell<u32>,
    /// The next expected message number of each sender of the chat.
    next: RefCell<Vec<u32>>,
    /// Notified when the server acknowledges the connection to the chat.
    joined: RefCell<Option<oneshot::Sender<()>>>,
}

/// A client and its reading task. Dropping it ends the connection.
pub struct Connected {
    /// The client.
    pub client: Rc<Client>,
    reading: JoinHandle<()>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Client {
    /// Opens a connection. If `joins`, it also connects to a chat and waits for the ack.
    pub async fn connect(
        port: u16,
        settings: ClientSettings,
        joins: bool,
        counters: Rc<Counters>,
    ) -> io::Result<Connected> {
        let stream = open(
            port,
            &Caller::LOCAL,
            settings.stalls.then_some(STALLED_BUFFER),
        )
        .await?;
        let (reader, writer) = stream.into_split();
        let (told, joined) = oneshot::channel();
        let client = Rc::new(Self {
            settings,
            counters,
            writer,
            outbox: RefCell::default(),
            template: RefCell::new(template(settings.chat)),
            sent: Cell::new(0),
            next: RefCell::new(vec![0; settings.senders.into()]),
            joined: RefCell::new(joins.then_some(told)),
        });
        let reading = spawn_local(Rc::clone(&client).read(reader));
        if joins {
            let ClientSettings { user, chat, .. } = settings;
            let join = format!(
                r#"{{"type":"connect-chat","id":1,"content":{{"customerId":{user},"chatId":{chat}}}}}"#
            );
            client.write(&masked(TEXT, join.as_bytes()));
            joined
                .await
                .map_err(|_| io::Error::other("the connection ended before it was in a chat"))?;
        }
        Ok(Connected { client, reading })
    }

    /// The number of messages of its chat that the client received in order.
    pub fn seen(&self) -> u64 {
        self.next.borrow().iter().map(|n| u64::from(*n)).sum()
    }

    /// Sends `count` messages in one write.
    pub fn send(self: &Rc<Self>, count: u32, at: Instant) {
        let micros = self.counters.micros(at);
        let mut template = self.template.borrow_mut();
        let (frame, offset) = &mut *template;
        for number in self.sent.get()..self.sent.get() + count {
            let marker = Marker {
                chat: self.settings.chat,
                sender: self.settings.position,
                number,
                micros,
            };
            frame[*offset..*offset + CONTENT].copy_from_slice(&marker.content());
            self.outbox.borrow_mut().extend_from_slice(frame);
        }
        self.sent.set(self.sent.get() + count);
        self.counters
            .sent
            .set(self.counters.sent.get() + u64::from(count));
        self.write(&[]);
    }

    fn write(self: &Rc<Self>, bytes: &[u8]) {
        let waits = {
            let mut outbox = self.outbox.borrow_mut();
            outbox.extend_from_slice(bytes);
            // The reading task notices an error.
            let taken = self.writer.try_write(&outbox).unwrap_or(0);
            outbox.drain(..taken);
            !outbox.is_empty()
        };
        if waits {
            let client = Rc::clone(self);
            spawn_local(async move {
                if client.writer.writable().await.is_ok() {
                    client.write(&[]);
                }
            });
        }
    }

    async fn read(self: Rc<Self>, mut reader: OwnedReadHalf) {
        // The beginning of an incomplete frame.
        let mut rest = Vec::new();
        while self.pull(&mut reader, &mut rest).await {
            let stalls = self.settings.stalls && self.joined.borrow().is_none();
            if stalls {
                std::future::pending::<()>().await;
            }
        }
        self.counters.ended.set(self.counters.ended.get() + 1);
        self.joined.take();
    }

    /// Reads once and counts the frames. Returns false at the end of the connection.
    async fn pull(self: &Rc<Self>, reader: &mut OwnedReadHalf, rest: &mut Vec<u8>) -> bool {
        let mut own = 0;
        let mut open = true;
        let read = poll_fn(|cx| {
            let mut read_buffer = self.counters.read_buffer.borrow_mut();
            let mut read_buffer = ReadBuf::new(&mut read_buffer);
            Pin::new(&mut *reader)
                .poll_read(cx, &mut read_buffer)
                .map_ok(|()| {
                    let now = Instant::now();
                    self.counters.last.set(now);
                    let micros = self.counters.micros(now);
                    let whole = read_buffer.filled();
                    open = !whole.is_empty();
                    let each = |first, payload: &[u8]| match first {
                        TEXT => own += self.text(payload, micros),
                        PING => self.write(&masked(PONG, payload)),
                        CLOSE => open = false,
                        _ => {}
                    };
                    if rest.is_empty() {
                        let used = frames(whole, each);
                        rest.extend_from_slice(&whole[used..]);
                    } else {
                        rest.extend_from_slice(whole);
                        let used = frames(rest, each);
                        rest.drain(..used);
                    }
                })
        });
        let read = read.await;
        if own > 0 && self.settings.echo && self.counters.going.get() {
            self.send(own, Instant::now());
        }
        read.is_ok() && open
    }

    /// Counts a text frame. Returns 1 if it is the client's own message.
    fn text(&self, payload: &[u8], now: u32) -> u32 {
        if let Some(marker) = Marker::find(payload) {
            let mut next = self.next.borrow_mut();
            let next = next.get_mut(usize::from(marker.sender));
            self.counters.count(marker, self.settings.chat, next, now);
            return u32::from(marker.sender == self.settings.position);
        }
        if payload.starts_with(br#"{"type":"ack""#) {
            if let Some(told) = self.joined.take() {
                let _ = told.send(());
            }
        } else if payload.starts_with(br#"{"type":"error""#) {
            let error = String::from_utf8_lossy(payload).into_owned();
            self.counters.error.borrow_mut().get_or_insert(error);
        }
        0
    }
}

/// The frame of a message to this chat, and the offset of its content.
fn template(chat: u16) -> (Vec<u8>, usize) {
    let content = Marker::default().content();
    let content = String::from_utf8_lossy(&content);
    let text =
        format!(r#"{{"type":"send-message","content":{{"chatId":{chat},"content":"{content}"}}}}"#);
    let frame = masked(TEXT, text.as_bytes());
    let offset = frame.len() - CONTENT - r#""}}"#.len();
    (frame, offset)
}
