//! All that one client wrote down, and what it knows of each chat.

use crate::{
    record::{ChatId, Kind, MessageId, Op, OpId, Segment, Seq, State, Violation},
    wire,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    /// How many of them are of earlier eras: each of these may be stored or not.
    pub past: usize,
    pub segments: Vec<Segment>,
    pub views: BTreeMap<ChatId, View>,
    /// The epoch of each chat's log, as connect-chat told it.
    pub epochs: BTreeMap<ChatId, String>,
    /// Those of earlier eras.
    former: BTreeSet<String>,
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
            past: 0,
            segments: Vec::new(),
            views: BTreeMap::new(),
            epochs: BTreeMap::new(),
            former: BTreeSet::new(),
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

    /// Another epoch has begun: what was seen is forgotten, what was acknowledged may be gone. Gives
    /// the violations of the return.
    pub fn begin_era(&mut self) -> Vec<Violation> {
        for op in &mut self.ops {
            op.doubt |= !op.acks.is_empty();
            op.acks.clear();
        }
        self.past = self.ops.len();
        self.sockets = 0;
        self.segments.clear();
        self.views.clear();
        self.finals.clear();
        self.former
            .extend(std::mem::take(&mut self.epochs).into_values());
        std::mem::take(&mut self.violations)
    }

    /// Takes note of the epoch that connect-chat told: one for as long as the era lasts.
    pub fn note_epoch(&mut self, chat: ChatId, epoch: &str) {
        let known = self.epochs.entry(chat).or_insert_with(|| epoch.to_owned());
        if known != epoch {
            let text = format!("chat {chat} is of epoch {epoch}, and was of {known}");
            self.violate("epoch", text);
        } else if self.former.contains(epoch) {
            let text = format!("chat {chat} is of epoch {epoch} after a restore as before it");
            self.violate("epoch", text);
        }
    }

    pub fn op(&mut self, id: OpId) -> &mut Op {
        &mut self.ops[id.number as usize]
    }

    /// Writes down a refusal. `internal` is a fault of the server: what passes by itself has another
    /// code.
    pub fn refuse(&mut self, id: OpId, code: &str, sentence: &str) {
        if code == "internal" {
            self.violate("internal", format!("operation {id:?}: {sentence}"));
        }
        let op = self.op(id);
        match wire::leaves_open(code, sentence) {
            true => op.doubt = true,
            false => op.refused = Some(code.to_owned()),
        }
    }

    pub fn violate(&mut self, kind: &'static str, text: String) {
        let client = self.client;
        let text = format!("client {client}: {text}");
        self.violations.push(Violation::new(kind, text));
    }
}
