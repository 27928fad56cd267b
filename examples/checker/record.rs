//! What is written down while the clients work: what they asked, what they were told, what they saw.

use std::collections::{BTreeMap, HashMap};

/// One in so many clients is slow at times.
const SLOW: u32 = 4;

pub type ChatId = i64;
pub type MessageId = i64;
pub type Seq = i64;

/// An operation, of whichever client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// Whose.
    pub client: u32,
    /// Which of theirs.
    pub number: u32,
}

/// What a message says. Every operation has a text of its own, so that a text tells who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The text of this operation, to the letter.
    Text(OpId),
    /// It is deleted.
    Deleted,
    /// A text that no operation has.
    Strange,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Send a message.
    Send,
    /// Edit a message; without one, the author's latest.
    Edit(Option<MessageId>),
    /// Delete a message.
    Delete(MessageId),
}

/// One ack of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// Which message it was about.
    pub message: MessageId,
    /// The number, where the answer has one.
    pub seq: Option<Seq>,
    /// What the message said, where the answer tells.
    pub state: Option<State>,
    /// Whether it repeats an earlier one: then number and text are of the present state.
    pub duplicate: bool,
}

/// An operation, and all that is known of how it ended.
#[derive(Clone, Debug)]
pub struct Op {
    pub id: OpId,
    pub user: i64,
    pub chat: ChatId,
    pub kind: Kind,
    /// The acks; several where it was tried again.
    pub acks: Vec<Ack>,
    /// Whether an attempt went without a clear answer.
    pub doubt: bool,
    /// The code of a clear refusal.
    pub refused: Option<String>,
}

/// What became of an operation, all attempts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Acked,
    Doubt,
    Refused,
}

/// The type of a frame about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    Sent,
    Edited,
    Deleted,
}

/// A frame about a message.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub replay: bool,
    pub kind: FrameKind,
    pub message: MessageId,
    pub seq: Seq,
    pub state: State,
}

/// What came on a socket about one chat.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    Frame(Frame),
    /// The ack of connect-chat.
    Connected {
        seq: Seq,
        truncated: bool,
    },
    /// The chat's head, as a heartbeat told it.
    Heartbeat(Seq),
}

/// One chat on one socket, from its connect-chat on.
#[derive(Clone, Debug)]
pub struct Segment {
    pub client: u32,
    /// Which of the client's sockets.
    pub socket: u32,
    pub chat: ChatId,
    pub since: Option<Seq>,
    pub events: Vec<Event>,
}

/// What a client knows of a chat.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Each message's latest known change.
    pub messages: HashMap<MessageId, (Seq, State)>,
    /// All changes up to this one are known.
    pub seen: Seq,
}

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// In one word.
    pub kind: &'static str,
    /// Precisely.
    pub text: String,
}

/// All that one client wrote down.
#[derive(Clone, Debug)]
pub struct Journal {
    pub client: u32,
    pub user: i64,
    pub ops: Vec<Op>,
    pub segments: Vec<Segment>,
    pub views: BTreeMap<ChatId, View>,
    /// What each final resume said is the head.
    pub finals: BTreeMap<ChatId, Seq>,
    pub violations: Vec<Violation>,
    pub sockets: u32,
}

impl Violation {
    pub fn new(kind: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }
}

impl OpId {
    /// The clientMessageId of a send.
    pub fn key(self) -> String {
        format!("{}.{}", self.client, self.number)
    }

    /// Reads what `key` wrote.
    pub fn from_key(key: &str) -> Option<Self> {
        let (client, number) = key.split_once('.')?;
        let (client, number) = (client.parse().ok()?, number.parse().ok()?);
        Some(Self { client, number })
    }

    /// The operation's text: short for most, some kilobytes for some.
    pub fn text(self) -> String {
        let mut rng =
            fastrand::Rng::with_seed(u64::from(self.client) << 32 | u64::from(self.number));
        let length = match rng.u32(0..8) {
            0 => rng.usize(500..6000),
            _ => rng.usize(0..60),
        };
        format!("{} {}", self.key(), "né".repeat(length / 3))
    }
}

impl State {
    /// What a message's content says.
    pub fn of(content: Option<&str>) -> Self {
        let Some(content) = content else {
            return Self::Deleted;
        };
        let key = content.split_once(' ').map(|(key, _)| key);
        match key.and_then(OpId::from_key) {
            Some(op) if op.text() == content => Self::Text(op),
            _ => Self::Strange,
        }
    }
}

impl Op {
    pub fn outcome(&self) -> Outcome {
        if !self.acks.is_empty() {
            Outcome::Acked
        } else if self.doubt || self.refused.is_none() {
            Outcome::Doubt
        } else {
            Outcome::Refused
        }
    }

    /// The number of its own change, where an ack told it.
    pub fn seq(&self) -> Option<Seq> {
        let own = self.acks.iter().find(|ack| !ack.duplicate);
        own.and_then(|ack| ack.seq)
    }
}

impl View {
    /// Takes a change into account.
    pub fn apply(&mut self, message: MessageId, seq: Seq, state: State) {
        let known = self.messages.entry(message).or_insert((seq, state));
        if seq >= known.0 {
            *known = (seq, state);
        }
    }
}

impl Journal {
    pub fn new(client: u32, user: i64) -> Self {
        Self {
            client,
            user,
            ops: Vec::new(),
            segments: Vec::new(),
            views: BTreeMap::new(),
            finals: BTreeMap::new(),
            violations: Vec::new(),
            sockets: 0,
        }
    }

    /// Whether this client is slow at times: few are, so that there is something to miss.
    pub fn is_slow(&self) -> bool {
        self.client.is_multiple_of(SLOW)
    }

    /// Writes down that something is about to be asked.
    pub fn begin(&mut self, chat: ChatId, kind: Kind) -> OpId {
        let number = self.ops.len() as u32;
        let id = OpId {
            client: self.client,
            number,
        };
        self.ops.push(Op {
            id,
            user: self.user,
            chat,
            kind,
            acks: Vec::new(),
            doubt: false,
            refused: None,
        });
        id
    }

    pub fn op(&mut self, id: OpId) -> &mut Op {
        &mut self.ops[id.number as usize]
    }

    /// Writes down a refusal: `unavailable` leaves it open whether it happened.
    pub fn refuse(&mut self, id: OpId, code: &str) {
        let op = self.op(id);
        match code {
            "unavailable" => op.doubt = true,
            code => op.refused = Some(code.to_owned()),
        }
    }

    pub fn violate(&mut self, kind: &'static str, text: String) {
        let client = self.client;
        let text = format!("client {client}: {text}");
        self.violations.push(Violation::new(kind, text));
    }
}
