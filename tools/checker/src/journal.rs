//! The journal of one client: its operations, its sockets' frames, and its view of each chat.

use crate::{
    acts::Act,
    record::{ChatId, Kind, Op, OpId, Segment, Seq, State, Thing, UserId},
    violation::{Violation, ViolationKind},
    wire,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One client in this many is slow.
const SLOW: u32 = 4;

/// A client's view of a chat.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The latest known change of each thing.
    pub things: HashMap<Thing, (Seq, State)>,
    /// The client knows all changes up to this seq.
    pub seen: Seq,
}

/// The journal of one client.
#[derive(Clone, Debug)]
pub struct Journal {
    pub client: u32,
    pub user: i64,
    pub ops: Vec<Op>,
    /// The number of operations of earlier eras. Each may be stored or not.
    pub past: usize,
    /// The changes of memberships and chats in this era.
    pub acts: Vec<Act>,
    /// The number of acts so far, those of earlier eras included.
    pub acted: u32,
    /// The user with the memberships that this client changes. `None` if it must be made.
    pub guest: Option<UserId>,
    pub segments: Vec<Segment>,
    pub views: BTreeMap<ChatId, View>,
    /// The epoch of each chat's log, from the ack of connect-chat.
    pub epochs: BTreeMap<ChatId, String>,
    /// Epochs of earlier eras.
    former: BTreeSet<String>,
    /// The head of each chat according to the final resume.
    pub finals: BTreeMap<ChatId, Seq>,
    pub violations: Vec<Violation>,
    pub sockets: u32,
}

impl View {
    /// Applies a change, unless a later one of that thing is known.
    pub fn apply(&mut self, thing: Thing, seq: Seq, state: State) {
        let known = self.things.entry(thing).or_insert((seq, state));
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
            acts: Vec::new(),
            acted: 0,
            guest: None,
            segments: Vec::new(),
            views: BTreeMap::new(),
            epochs: BTreeMap::new(),
            former: BTreeSet::new(),
            finals: BTreeMap::new(),
            violations: Vec::new(),
            sockets: 0,
        }
    }

    /// True if this client is slow at times. Only some clients are, so that the slow ones miss changes.
    pub fn is_slow(&self) -> bool {
        self.client.is_multiple_of(SLOW)
    }

    /// Records an operation before it is sent.
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
            in_doubt: false,
            refused: None,
        });
        id
    }

    /// Begins an era after a restore: clears the views, and puts acknowledged operations in doubt,
    /// because the restore may have undone them. Returns the violations so far.
    pub fn begin_era(&mut self) -> Vec<Violation> {
        for op in &mut self.ops {
            op.in_doubt |= !op.acks.is_empty();
            op.acks.clear();
        }
        self.past = self.ops.len();
        self.acts.clear();
        self.guest = None;
        self.sockets = 0;
        self.segments.clear();
        self.views.clear();
        self.finals.clear();
        self.former
            .extend(std::mem::take(&mut self.epochs).into_values());
        std::mem::take(&mut self.violations)
    }

    /// Records the epoch in an ack of connect-chat. It must not change within an era, nor return after
    /// a restore.
    pub fn note_epoch(&mut self, chat: ChatId, epoch: &str) {
        let known = self.epochs.entry(chat).or_insert_with(|| epoch.to_owned());
        if known != epoch {
            let text = format!("chat {chat} is of epoch {epoch}, and was of {known}");
            self.report(ViolationKind::Epoch, text);
        } else if self.former.contains(epoch) {
            let text = format!("chat {chat} is of epoch {epoch} after a restore as before it");
            self.report(ViolationKind::Epoch, text);
        }
    }

    pub fn op(&mut self, id: OpId) -> &mut Op {
        &mut self.ops[id.number as usize]
    }

    /// Records a refusal. The code `internal` is a violation: temporary failures have another code.
    pub fn refuse(&mut self, id: OpId, code: &str, sentence: &str) {
        if code == "internal" {
            self.report(
                ViolationKind::Internal,
                format!("operation {id:?}: {sentence}"),
            );
        }
        let chat = self.op(id).chat;
        if code == "chat_not_found" && !self.was_removed(chat) {
            // The chat exists, and the client is a member of it.
            let text = format!("operation {:?}: {sentence}", self.op(id));
            self.report(ViolationKind::Lost, text);
        }
        let op = self.op(id);
        match wire::leaves_open(code, sentence) {
            true => op.in_doubt = true,
            false => op.refused = Some(code.to_owned()),
        }
    }

    pub fn report(&mut self, kind: ViolationKind, text: String) {
        let client = self.client;
        let text = format!("client {client}: {text}");
        self.violations.push(Violation::new(kind, text));
    }
}
