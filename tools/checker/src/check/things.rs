//! Checks memberships and chats: the acts of the clients explain each of their changes, acknowledged acts are
//! stored, and the log of a chat equals its messages, its members and the chat itself.

use super::{History, Known};
use crate::{
    acts::{Act, Ending, Request},
    directory::Role,
    record::{ChatId, Membership, OpId, Seq, State, Thing, UserId},
    rest::Log,
    violation::{Violation, ViolationKind},
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The role after a change of a membership, and the user that is named as its author.
type Effect = (Option<Role>, Option<UserId>);

/// Checks the memberships and the chats.
pub fn check(history: &History<'_>, known: &Known, violations: &mut Vec<Violation>) {
    for (&chat, log) in history.rows {
        let mut report = |kind, text: String| {
            violations.push(Violation::new(kind, format!("chat {chat}: {text}")));
        };
        lists(log, &mut report);
        names(history, known, chat, &mut report);
        for subject in subjects(history, known, chat) {
            if let Err((kind, why)) = subject.explain() {
                report(kind, format!("user {}: {why}: {subject:?}", subject.user));
            }
        }
    }
}

/// The maximum number of changes of memberships and of a chat that no frame and no stored row shows.
pub fn unseen(history: &History<'_>, known: &Known, chat: ChatId) -> usize {
    let seen: HashSet<OpId> = renames(history, known, chat).map(|(_, id)| id).collect();
    let acts = history.acts(chat);
    let renames = acts.filter(|act| act.request == Request::Rename && act.is_possible());
    let names = renames.filter(|act| !seen.contains(&act.id)).count();
    let subjects = subjects(history, known, chat);
    names + subjects.iter().map(Subject::unseen).sum::<usize>()
}

/// The known changes of the chat itself since the era began.
fn renames<'a>(
    history: &History<'_>,
    known: &'a Known,
    chat: ChatId,
) -> impl Iterator<Item = (Seq, OpId)> + use<'a> {
    let changes = known.changes.get(&chat).into_iter();
    let changes = changes.flat_map({
        let begin = history.begin(chat);
        move |changes| changes.range(begin + 1..)
    });
    changes.filter_map(|(&seq, change)| match change.state {
        State::Named(id) => Some((seq, id)),
        _ => None,
    })
}

/// Checks that the log has each thing once, in order, and equals the lists of messages and members, and the chat.
fn lists(log: &Log, report: &mut impl FnMut(ViolationKind, String)) {
    let mut things = HashSet::new();
    for entry in &log.entries {
        if !things.insert(entry.thing) {
            report(
                ViolationKind::Doubled,
                format!("its log has a thing twice: {entry:?}"),
            );
        }
    }
    for pair in log.entries.windows(2) {
        if pair[0].seq >= pair[1].seq {
            report(ViolationKind::Order, format!("its log has {pair:?}"));
        }
    }
    let mut messages = HashMap::new();
    let mut members: BTreeMap<UserId, Membership> = BTreeMap::new();
    let mut named = None;
    for entry in &log.entries {
        match (entry.thing, entry.state) {
            (Thing::Message(id), state) => drop(messages.insert(id, (entry.seq, state))),
            (Thing::Member(user), State::Member(state, _)) if state.role.is_some() => {
                members.insert(user, state);
            }
            (Thing::Member(_), _) => {}
            (Thing::Chat, state) => named = Some(state),
        }
    }
    for row in &log.rows {
        let listed = messages.remove(&row.message);
        if listed != Some((row.seq, row.state)) {
            let text = format!("its log has {listed:?}, its messages {row:?}");
            report(ViolationKind::View, text);
        }
    }
    if !messages.is_empty() {
        let text = format!("only its log has the messages {messages:?}");
        report(ViolationKind::View, text);
    }
    if members != log.members {
        let text = format!(
            "its log has the members {members:?}, its list {:?}",
            log.members
        );
        report(ViolationKind::View, text);
    }
    if named != log.named {
        let text = format!("its log says {named:?}, the chat is {:?}", log.named);
        report(ViolationKind::View, text);
    }
}

/// Checks that renames made the changes of the chat itself, each once and in the order of their requests, and that none
/// is lost.
fn names(
    history: &History<'_>,
    known: &Known,
    chat: ChatId,
    report: &mut impl FnMut(ViolationKind, String),
) {
    let acts = history.acts(chat);
    let acts: HashMap<OpId, &Act> = acts
        .filter(|act| act.request == Request::Rename)
        .map(|act| (act.id, act))
        .collect();
    let mut seen: Vec<(Seq, &Act)> = Vec::new();
    for (seq, id) in renames(history, known, chat) {
        match acts.get(&id).filter(|act| act.is_possible()) {
            None => report(
                ViolationKind::Unexplained,
                format!("seq {seq}: no act, or a refused one, gave the name of {id:?}"),
            ),
            Some(act) => {
                if let Some((other, _)) = seen.iter().find(|(_, other)| other.id == id) {
                    let text = format!("{act:?} has the numbers {other} and {seq}");
                    report(ViolationKind::Doubled, text);
                }
                if let Some(later) = seen.iter().find(|(_, other)| other.begun > act.ended) {
                    let text = format!("seq {seq} is {act:?}, after {later:?}");
                    report(ViolationKind::Order, text);
                }
                seen.push((seq, act));
            }
        }
    }
    let last = seen.last().map(|(_, act)| act.ended);
    for act in acts.values().filter(|act| act.is_acked()) {
        if last.is_none_or(|last| act.begun > last) {
            let last = seen.last();
            let text = format!("an acknowledged rename is lost: {act:?}, the last is {last:?}");
            report(ViolationKind::Lost, text);
        }
    }
}

/// A user's membership in a chat: its acts and its known changes.
#[derive(Debug)]
struct Subject<'a> {
    user: UserId,
    /// The acts, in their order. Each but those in doubt ended before the next began.
    acts: Vec<&'a Act>,
    /// The role when the era began.
    first: Option<Role>,
    changes: Vec<(Seq, State)>,
}

/// The memberships of a chat that changed in this era, or for which there are acts.
fn subjects<'a>(history: &History<'a>, known: &Known, chat: ChatId) -> Vec<Subject<'a>> {
    let mut subjects: BTreeMap<UserId, Subject<'a>> = BTreeMap::new();
    let empty = |user| Subject {
        user,
        acts: Vec::new(),
        first: history.first_role(chat, user),
        changes: Vec::new(),
    };
    for act in history.acts(chat) {
        if let Some(user) = act.user() {
            let subject = subjects.entry(user).or_insert_with(|| empty(user));
            subject.acts.push(act);
        }
    }
    let changes = known.changes.get(&chat).into_iter();
    for (&seq, change) in changes.flat_map(|changes| changes.range(history.begin(chat) + 1..)) {
        if let Thing::Member(user) = change.thing {
            let subject = subjects.entry(user).or_insert_with(|| empty(user));
            subject.changes.push((seq, change.state));
        }
    }
    for subject in subjects.values_mut() {
        subject.acts.sort_by_key(|act| act.begun);
    }
    subjects.into_values().collect()
}

impl Subject<'_> {
    /// The maximum number of changes beyond the known ones.
    fn unseen(&self) -> usize {
        let count = |of: fn(&Request) -> bool| {
            let acts = self.acts.iter().filter(|act| act.is_possible());
            acts.filter(|act| of(&act.request)).count()
        };
        let set = count(|request| matches!(request, Request::Set(..)));
        let ended = count(|request| matches!(request, Request::Remove(_) | Request::Delete(_)));
        let joined = count(|request| matches!(request, Request::Join(_)));
        // Only a user without a membership joins.
        let joined = joined.min(ended + usize::from(self.first.is_none()));
        (set + ended + joined).saturating_sub(self.changes.len())
    }

    /// Finds acts that explain the changes, in their order.
    fn explain(&self) -> Result<(), (ViolationKind, &'static str)> {
        let mut effects: Vec<Effect> = Vec::new();
        for (_, state) in &self.changes {
            match state {
                State::Member(state, by) => effects.push((state.role, *by)),
                _ => return Err((ViolationKind::Unexplained, "a state of no membership")),
            }
        }
        let kinds: BTreeSet<_> = self.acts.iter().filter_map(|act| act.effect()).collect();
        let mut search = Search {
            acts: &self.acts,
            effects: &effects,
            kinds: kinds.into_iter().collect(),
            first: self.first,
            tried: HashSet::new(),
            explained: 0,
        };
        let used = vec![0; search.kinds.len()];
        if search.from(0, 0, used) {
            return Ok(());
        }
        let explained = search.explained == effects.len();
        let role = effects.last().map_or(self.first, |(role, _)| *role);
        let mut acked = self.acts.iter().rev().filter(|act| act.is_acked());
        let told = acked.next().and_then(|act| act.effect());
        Err(
            match explained || told.is_some_and(|(told, _)| told != role) {
                true => (ViolationKind::Lost, "an acknowledged act is not stored"),
                false => (
                    ViolationKind::Unexplained,
                    "no acts explain the changes of a membership",
                ),
            },
        )
    }
}

/// The search for acts that explain the changes of a membership. Each change is the effect of a later act that was
/// acknowledged with it, or of an act in doubt: that one may have happened at any time after it was begun.
struct Search<'a> {
    acts: &'a [&'a Act],
    effects: &'a [Effect],
    /// The effects that acts have.
    kinds: Vec<Effect>,
    first: Option<Role>,
    /// The states of the search that lead to nothing.
    tried: HashSet<(usize, usize, Vec<usize>)>,
    /// The most changes that were explained.
    explained: usize,
}

impl Search<'_> {
    /// Explains the changes from `change` on. The acts before `next` have happened, or never will if they are in doubt
    /// and among the `used` ones of their kind.
    fn from(&mut self, change: usize, next: usize, used: Vec<usize>) -> bool {
        self.explained = self.explained.max(change);
        if !self.tried.insert((change, next, used.clone())) {
            return false;
        }
        let Some(&effect) = self.effects.get(change) else {
            return self.is_final(next);
        };
        let has = |act: &Act| act.effect() == Some(effect);
        // A change that no client has seen is replaced in the log by the next one, so that acts may be passed over.
        for acked in next..self.acts.len() {
            let act = self.acts[acked];
            if act.is_acked() && has(act) && self.from(change + 1, acked + 1, used.clone()) {
                return true;
            }
        }
        let Some(kind) = self.kinds.iter().position(|kind| *kind == effect) else {
            return false;
        };
        let mut in_doubt = (0..self.acts.len())
            .filter(|&n| self.acts[n].ending == Ending::InDoubt && has(self.acts[n]));
        match in_doubt.nth(used[kind]) {
            Some(act) => {
                let mut used = used;
                used[kind] += 1;
                self.from(change + 1, next.max(act), used)
            }
            None => false,
        }
    }

    /// True if the acknowledged acts from `next` on have changed nothing after the last change.
    fn is_final(&self, next: usize) -> bool {
        let role = self.effects.last().map_or(self.first, |(role, _)| *role);
        let mut acts = self.acts[next..].iter().filter(|act| act.is_acked());
        acts.all(|act| {
            act.ending == Ending::Done
                && match act.request {
                    Request::Set(_, asked) => asked == role && role.is_some(),
                    Request::Join(_) => role.is_some(),
                    Request::Remove(_) | Request::Delete(_) => role.is_none(),
                    Request::Rename => true,
                }
        })
    }
}
