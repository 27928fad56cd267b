//! One connection of a load.

use super::{
    ledger::Ledger,
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

/// What the kernel keeps for a client that does not read, in bytes: little, so that the rest is
/// the server's to hold.
const STALLED_ROOM: u32 = 8 * 1024;

/// Who a client is.
#[derive(Clone, Copy)]
pub struct Seat {
    /// The chat's id.
    pub chat: u16,
    /// The user's id.
    pub user: usize,
    /// The place in the chat, from 0.
    pub place: u16,
    /// How many of the chat's places send: those from 0.
    pub senders: u16,
    /// How many messages to send in answer to one of one's own that comes back.
    pub echo: bool,
    /// Whether to stop reading once connected.
    pub stalls: bool,
}

/// A connected client.
pub struct Client {
    seat: Seat,
    ledger: Rc<Ledger>,
    writer: OwnedWriteHalf,
    /// What the kernel did not take yet.
    outbox: RefCell<Vec<u8>>,
    /// A message as it is sent, with the place of its content.
    template: RefCell<(Vec<u8>, usize)>,
    /// How many messages were sent.
    sent: Cell<u32>,
    /// The number that each sender of the chat goes on with.
    next: RefCell<Vec<u32>>,
    /// Told when the server has acknowledged the connection to the chat.
    joined: RefCell<Option<oneshot::Sender<()>>>,
}

/// A client and the task that reads for it. Dropping it ends the connection.
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
    /// Connects, and to a chat too if `joins`; waits until the server says that it is so.
    pub async fn connect(
        port: u16,
        seat: Seat,
        joins: bool,
        ledger: Rc<Ledger>,
    ) -> io::Result<Connected> {
        let stream = open(port, seat.stalls.then_some(STALLED_ROOM)).await?;
        let (reader, writer) = stream.into_split();
        let (told, joined) = oneshot::channel();
        let client = Rc::new(Self {
            seat,
            ledger,
            writer,
            outbox: RefCell::default(),
            template: RefCell::new(template(seat.chat)),
            sent: Cell::new(0),
            next: RefCell::new(vec![0; seat.senders.into()]),
            joined: RefCell::new(joins.then_some(told)),
        });
        let reading = spawn_local(Rc::clone(&client).read(reader));
        if joins {
            let Seat { user, chat, .. } = seat;
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

    /// How many messages of its chat it has seen in turn.
    pub fn seen(&self) -> u64 {
        self.next.borrow().iter().map(|n| u64::from(*n)).sum()
    }

    /// Sends so many messages, in one write.
    pub fn send(self: &Rc<Self>, count: u32, at: Instant) {
        let micros = self.ledger.micros(at);
        let mut template = self.template.borrow_mut();
        let (frame, place) = &mut *template;
        for number in self.sent.get()..self.sent.get() + count {
            let marker = Marker {
                chat: self.seat.chat,
                sender: self.seat.place,
                number,
                micros,
            };
            frame[*place..*place + CONTENT].copy_from_slice(&marker.content());
            self.outbox.borrow_mut().extend_from_slice(frame);
        }
        self.sent.set(self.sent.get() + count);
        self.ledger
            .sent
            .set(self.ledger.sent.get() + u64::from(count));
        self.write(&[]);
    }

    fn write(self: &Rc<Self>, bytes: &[u8]) {
        let waits = {
            let mut outbox = self.outbox.borrow_mut();
            outbox.extend_from_slice(bytes);
            // An error shows at the reading end.
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
        // The beginning of a frame whose end has not come.
        let mut rest = Vec::new();
        while self.pull(&mut reader, &mut rest).await {
            let stalls = self.seat.stalls && self.joined.borrow().is_none();
            if stalls {
                std::future::pending::<()>().await;
            }
        }
        self.ledger.ended.set(self.ledger.ended.get() + 1);
        self.joined.take();
    }

    /// Reads once and counts what came; false at the end of the connection.
    async fn pull(self: &Rc<Self>, reader: &mut OwnedReadHalf, rest: &mut Vec<u8>) -> bool {
        let mut own = 0;
        let mut open = true;
        let read = poll_fn(|cx| {
            let mut room = self.ledger.room.borrow_mut();
            let mut room = ReadBuf::new(&mut room);
            Pin::new(&mut *reader)
                .poll_read(cx, &mut room)
                .map_ok(|()| {
                    let now = Instant::now();
                    self.ledger.last.set(now);
                    let micros = self.ledger.micros(now);
                    let whole = room.filled();
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
        if own > 0 && self.seat.echo && self.ledger.going.get() {
            self.send(own, Instant::now());
        }
        read.is_ok() && open
    }

    /// Counts a text; gives 1 if it is a message of one's own.
    fn text(&self, payload: &[u8], now: u32) -> u32 {
        if let Some(marker) = Marker::find(payload) {
            let mut next = self.next.borrow_mut();
            let next = next.get_mut(usize::from(marker.sender));
            self.ledger.count(marker, self.seat.chat, next, now);
            return u32::from(marker.sender == self.seat.place);
        }
        if payload.starts_with(br#"{"type":"ack""#) {
            if let Some(told) = self.joined.take() {
                let _ = told.send(());
            }
        } else if payload.starts_with(br#"{"type":"error""#) {
            let error = String::from_utf8_lossy(payload).into_owned();
            self.ledger.error.borrow_mut().get_or_insert(error);
        }
        0
    }
}

/// A message to this chat as a frame, and where in it the content stands.
fn template(chat: u16) -> (Vec<u8>, usize) {
    let content = Marker::default().content();
    let content = String::from_utf8_lossy(&content);
    let text =
        format!(r#"{{"type":"send-message","content":{{"chatId":{chat},"content":"{content}"}}}}"#);
    let frame = masked(TEXT, text.as_bytes());
    let place = frame.len() - CONTENT - r#""}}"#.len();
    (frame, place)
}
