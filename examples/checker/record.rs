//! What is written down while the clients work: what they asked, what they were told, what they saw.

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

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// In one word.
    pub kind: &'static str,
    /// Precisely.
    pub text: String,
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
