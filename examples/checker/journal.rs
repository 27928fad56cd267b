//! All that one client wrote down, and what it knows of each chat.

use crate::record::{ChatId, Kind, MessageId, Op, OpId, Segment, Seq, State, Violation};
use std::collections::{BTreeMap, HashMap};

/// One in so many clients is slow at times.
const SLOW: u32 = 4;

/// What a client knows of a chat.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Each message's latest known change.
    pub messages: HashMap<MessageId, (Seq, State)>,
    /// All changes up to this one are known.
    pub seen: Seq,
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

    /// Writes down a refusal: `unavailable` leaves it open whether it happened, unless it says that
    /// it did not.
    pub fn refuse(&mut self, id: OpId, code: &str, sentence: &str) {
        let op = self.op(id);
        match code {
            "unavailable" if !sentence.contains("nothing was stored") => op.doubt = true,
            code => op.refused = Some(code.to_owned()),
        }
    }

    pub fn violate(&mut self, kind: &'static str, text: String) {
        let client = self.client;
        let text = format!("client {client}: {text}");
        self.violations.push(Violation::new(kind, text));
    }
}
