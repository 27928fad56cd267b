//! The records that clients make while they work: operations, their answers, and frames.

use crate::directory::Role;

pub type ChatId = i64;
pub type MessageId = i64;
pub type UserId = i64;
pub type Seq = i64;

/// A thing in the log of a chat. Each has the seq of its latest change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Thing {
    Message(MessageId),
    /// The membership of this user.
    Member(UserId),
    /// The chat itself.
    Chat,
}

/// The id of an operation, unique among all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// The number of the client.
    pub client: u32,
    /// The number of the operation among those of its client, from 0.
    pub number: u32,
}

/// The state of a thing. Every operation on a message has a unique text, and every rename of a chat a unique name,
/// which identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The exact text of this operation.
    Text(OpId),
    /// The message is deleted.
    Deleted,
    /// A membership, and the user who changed it; `None` for an unnamed caller.
    Member(Membership, Option<UserId>),
    /// The chat has the name, the topic and the data of this act.
    Named(OpId),
    /// A text or a name of no operation, or a state that no change can have.
    Foreign,
}

/// A membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Membership {
    /// `None` if the user is no member.
    pub role: Option<Role>,
    /// A hash of the user's name and the time of the join; 0 if the user is no member.
    pub rest: u64,
}

/// A thing as the log of a chat lists it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub thing: Thing,
    pub seq: Seq,
    pub state: State,
}

/// The request of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Send a message.
    Send,
    /// Edit a message; `None` is the author's latest message.
    Edit(Option<MessageId>),
    /// Delete a message.
    Delete(MessageId),
}

/// One ack of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// The id of the message.
    pub message: MessageId,
    /// The seq of the change. `None` if the answer has no seq.
    pub seq: Option<Seq>,
    /// The content of the message. `None` if the answer has no content.
    pub state: Option<State>,
    /// True if the ack repeats an earlier one: its seq and content are then those of the current
    /// message.
    pub duplicate: bool,
}

/// An operation and everything known about its outcome.
#[derive(Clone, Debug)]
pub struct Op {
    pub id: OpId,
    pub user: i64,
    pub chat: ChatId,
    pub kind: Kind,
    /// The acks; several if the operation was retried.
    pub acks: Vec<Ack>,
    /// True if an attempt got no clear answer.
    pub in_doubt: bool,
    /// The error code of a clear refusal.
    pub refused: Option<String>,
}

/// The outcome of an operation over all its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Acked,
    InDoubt,
    Refused,
}

/// The type of a frame that reports a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    Sent,
    Edited,
    Deleted,
    Member,
    Chat,
}

/// A frame that reports a change.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub replay: bool,
    pub kind: FrameKind,
    pub thing: Thing,
    pub seq: Seq,
    pub state: State,
}

/// A frame about one chat that a socket received.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    Frame(Frame),
    /// The ack of connect-chat.
    Connected {
        seq: Seq,
        truncated: bool,
    },
    /// The chat's head in a heartbeat.
    Heartbeat(Seq),
    /// The ack of the first change that an original socket made in the chat. The socket was in the chat before.
    Entered(Seq),
}

/// One chat on one socket, from its connect-chat onwards.
#[derive(Clone, Debug)]
pub struct Segment {
    pub client: u32,
    /// The number of the socket among the sockets of its client.
    pub socket: u32,
    pub chat: ChatId,
    pub since: Option<Seq>,
    /// True for a client of the original API, which is sent frames about messages alone, and no ack of connect-chat.
    pub original: bool,
    pub events: Vec<Event>,
}

impl OpId {
    /// The clientMessageId of a send.
    pub fn key(self) -> String {
        format!("{}.{}", self.client, self.number)
    }

    /// Parses the output of `key`.
    pub fn from_key(key: &str) -> Option<Self> {
        let (client, number) = key.split_once('.')?;
        let (client, number) = (client.parse().ok()?, number.parse().ok()?);
        Some(Self { client, number })
    }

    /// The operation's text: 500 to 6,000 bytes of padding for one operation in eight, under 60 bytes
    /// for others.
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
    /// Parses a message's content. `None` is a deleted message.
    pub fn of(content: Option<&str>) -> Self {
        let Some(content) = content else {
            return Self::Deleted;
        };
        let key = content.split_once(' ').map(|(key, _)| key);
        match key.and_then(OpId::from_key) {
            Some(op) if op.text() == content => Self::Text(op),
            _ => Self::Foreign,
        }
    }
}

impl Op {
    pub fn outcome(&self) -> Outcome {
        if !self.acks.is_empty() {
            Outcome::Acked
        } else if self.in_doubt || self.refused.is_none() {
            Outcome::InDoubt
        } else {
            Outcome::Refused
        }
    }

    /// The seq of the operation's own change. `None` if no ack has it.
    pub fn seq(&self) -> Option<Seq> {
        let own = self.acks.iter().find(|ack| !ack.duplicate);
        own.and_then(|ack| ack.seq)
    }
}
