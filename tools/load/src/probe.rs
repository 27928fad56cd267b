//! A small chat beside another load: the times until its messages are acknowledged and delivered.

use super::{
    caller::Caller,
    clients::{ARRIVAL_LIMIT, counts_from},
    latencies::Latencies,
    websocket::{CLOSE, PING, PONG, TEXT, frames, masked, open},
};
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncReadExt,
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    task::{JoinHandle, spawn_local},
    time::{sleep, timeout},
};

/// The id of the frames that connect. Messages have their number as id.
const CONNECT: i64 = -1;
/// The interval at which the arrival of awaited frames is checked.
const STEP: Duration = Duration::from_millis(5);
/// The size of a read buffer, in bytes.
const READ_BUFFER: usize = 4 * 1024;

/// A member of the chat.
#[derive(Clone)]
pub struct Member {
    /// The user's id.
    pub user: i64,
    /// The user's address and token.
    pub caller: Caller,
}

/// A chat with all its members connected. Dropping it ends the connections.
pub struct Probe {
    chat: i64,
    members: Vec<Rc<Socket>>,
    tally: Rc<Tally>,
    reading: Vec<JoinHandle<()>>,
}

/// The latencies of a run.
pub struct Measured {
    /// From send to ack.
    pub acks: Latencies,
    /// From send to receipt, of each receiver.
    pub deliveries: Latencies,
}

/// The connection of a member.
struct Socket {
    writer: OwnedWriteHalf,
    /// The seq of the latest message that came.
    seq: Cell<Option<i64>>,
}

/// The results of all members.
#[derive(Default)]
struct Tally {
    connected: Cell<usize>,
    /// The time from which each message counts, by its number.
    sent: RefCell<Vec<Instant>>,
    acks: RefCell<Vec<Duration>>,
    deliveries: RefCell<Vec<Duration>>,
    /// The first fault.
    fault: RefCell<Option<String>>,
}

impl Probe {
    /// Connects the members to the chat.
    pub async fn connect(port: u16, chat: i64, members: &[Member]) -> Result<Self, String> {
        let failed = |e: std::io::Error| format!("a member cannot connect: {e}");
        let mut probe = Self {
            chat,
            members: Vec::new(),
            tally: Rc::default(),
            reading: Vec::new(),
        };
        for Member { user, caller } in members {
            let stream = open(port, caller, None).await.map_err(failed)?;
            let (reader, writer) = stream.into_split();
            let seq = Cell::new(None);
            let socket = Rc::new(Socket { writer, seq });
            let reading = read(reader, Rc::clone(&socket), Rc::clone(&probe.tally));
            probe.reading.push(spawn_local(reading));
            let content = json!({ "customerId": user, "chatId": chat });
            socket.send("connect-chat", CONNECT, &content)?;
            probe.members.push(socket);
        }
        let tally = &probe.tally;
        tally
            .arrival(|| tally.connected.get() == members.len())
            .await?;
        Ok(probe)
    }

    /// Sends `rate` messages per second for `lasts`, each member in turn, and waits until all are
    /// acknowledged and delivered.
    pub async fn run(&self, rate: u32, lasts: Duration) -> Result<Measured, String> {
        let Self { tally, members, .. } = self;
        let total = (f64::from(rate) * lasts.as_secs_f64()) as usize;
        let begin = Instant::now();
        for (number, member) in members.iter().cycle().take(total).enumerate() {
            let due = begin + Duration::from_secs_f64(number as f64 / f64::from(rate));
            sleep(due.saturating_duration_since(Instant::now())).await;
            tally.sent.borrow_mut().push(counts_from(due));
            let content = json!({ "chatId": self.chat, "content": number.to_string() });
            member.send("send-message", number as i64, &content)?;
        }
        let expected = total * members.len();
        let is_complete =
            || tally.acks.borrow().len() >= total && tally.deliveries.borrow().len() >= expected;
        tally.arrival(is_complete).await?;
        tally.sent.take();
        Ok(Measured {
            acks: Latencies::of(&tally.acks.take()),
            deliveries: Latencies::of(&tally.deliveries.take()),
        })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.reading.iter().for_each(JoinHandle::abort);
    }
}

impl Socket {
    fn send(&self, kind: &str, id: i64, content: &Value) -> Result<(), String> {
        let frame = json!({ "type": kind, "id": id, "content": content }).to_string();
        self.write(&masked(TEXT, frame.as_bytes()))
    }

    /// Writes a frame. The kernel takes it at once, because the server reads on.
    fn write(&self, frame: &[u8]) -> Result<(), String> {
        match self.writer.try_write(frame) {
            Ok(written) if written == frame.len() => Ok(()),
            other => Err(format!("a member cannot send: {other:?}")),
        }
    }
}

impl Tally {
    fn fail(&self, fault: String) {
        self.fault.borrow_mut().get_or_insert(fault);
    }

    /// Waits until `is_complete`.
    async fn arrival(&self, is_complete: impl Fn() -> bool) -> Result<(), String> {
        let arrived = timeout(ARRIVAL_LIMIT, async {
            while !is_complete() && self.fault.borrow().is_none() {
                sleep(STEP).await;
            }
        });
        let arrived = arrived.await;
        match (self.fault.take(), arrived) {
            (Some(fault), _) => Err(fault),
            (None, Ok(())) => Ok(()),
            (None, Err(_)) => Err(format!(
                "of {} messages {} are acknowledged, and {} deliveries came",
                self.sent.borrow().len(),
                self.acks.borrow().len(),
                self.deliveries.borrow().len()
            )),
        }
    }

    /// The time since the message with this number was sent.
    fn since(&self, number: i64) -> Option<Duration> {
        let number = usize::try_from(number).ok()?;
        self.sent.borrow().get(number).map(Instant::elapsed)
    }

    /// Counts a frame of the server. `None` if the frame is not understood.
    fn count(&self, frame: &Value, socket: &Socket) -> Option<()> {
        let content = &frame["content"];
        match frame["type"].as_str()? {
            "ack" if frame["id"] == CONNECT => self.connected.set(self.connected.get() + 1),
            "ack" => {
                let latency = self.since(frame["id"].as_i64()?)?;
                self.acks.borrow_mut().push(latency);
            }
            "send-message" => {
                let seq = content["seq"].as_i64()?;
                if socket
                    .seq
                    .replace(Some(seq))
                    .is_some_and(|last| seq != last + 1)
                {
                    self.fail(format!("a message is lost, doubled or reordered: {frame}"));
                }
                let latency = self.since(content["content"].as_str()?.parse().ok()?)?;
                self.deliveries.borrow_mut().push(latency);
            }
            "error" => self.fail(format!("the server sent an error: {frame}")),
            _ => {}
        }
        Some(())
    }
}

/// Reads and counts the frames of a member until the connection ends.
async fn read(mut reader: OwnedReadHalf, socket: Rc<Socket>, tally: Rc<Tally>) {
    let mut bytes = Vec::with_capacity(READ_BUFFER);
    while matches!(reader.read_buf(&mut bytes).await, Ok(1..)) {
        let used = frames(&bytes, |first, payload| match first {
            TEXT => {
                let frame = serde_json::from_slice(payload).unwrap_or_default();
                if tally.count(&frame, &socket).is_none() {
                    tally.fail(format!("a strange frame came: {frame}"));
                }
            }
            PING => {
                let answered = socket.write(&masked(PONG, payload));
                answered.unwrap_or_else(|fault| tally.fail(fault));
            }
            CLOSE => tally.fail("the server closes the connection of a member".to_owned()),
            _ => {}
        });
        bytes.drain(..used);
    }
    tally.fail("the connection of a member ended".to_owned());
}
