//! Claims that the database must confirm: ends that another node tells of, chats with missing changes,
//! and signs that the database went back.

use super::{Hub, room::BatchOutcome};
use crate::model::{ChatId, Seq, SessionId, UserId};
use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};
use tokio::sync::Notify;

/// Chats of which the latest commit is remembered until it was looked at: more than are written to in
/// one period of the comparison. Of the others nothing is known, as after a restart.
const RECENT: usize = 10_000;
/// Claims of each kind that wait for the database. The regular comparison finds the rest.
const CLAIMS: usize = 10_000;

/// Claims and signs that wait for the database.
#[derive(Default)]
pub(super) struct UnverifiedClaims {
    /// A std lock, never held across an await.
    claims: Mutex<Claims>,
    claimed: Notify,
    /// How far chats were committed by this node since the last comparison.
    recent: Mutex<HashMap<ChatId, Seq>>,
    /// Whether sockets were told something that the database does not have.
    contradicted: AtomicBool,
    went_back: Notify,
    /// Counts resets: knowledge of an earlier generation is void.
    generation: AtomicU64,
}

/// Claims of other nodes.
#[derive(Default)]
pub struct Claims {
    /// Chats of which something is missing, or which are said to be deleted.
    pub chats: HashSet<ChatId>,
    /// Users who are said to be deleted.
    pub users: HashSet<UserId>,
    /// Sessions that are said to have ended.
    pub sessions: HashSet<SessionId>,
}

impl Claims {
    fn is_empty(&self) -> bool {
        self.chats.is_empty() && self.users.is_empty() && self.sessions.is_empty()
    }
}

impl UnverifiedClaims {
    /// The heads of these chats, as far as they were committed here lately.
    pub(super) fn recent(&self, chats: &[ChatId]) -> HashMap<ChatId, Seq> {
        let recent = lock(&self.recent);
        let known = chats
            .iter()
            .filter_map(|chat| Some((*chat, *recent.get(chat)?)));
        known.collect()
    }

    /// Forgets the log as it was.
    pub(super) fn begin_again(&self) {
        self.generation.fetch_add(1, Relaxed);
        lock(&self.recent).clear();
        self.contradicted.store(false, Relaxed);
    }

    fn claim(&self, add: impl FnOnce(&mut Claims)) {
        add(&mut lock(&self.claims));
        self.claimed.notify_one();
    }
}

impl Hub {
    /// Notes how far a chat was committed by this node.
    pub fn committed(&self, chat: ChatId, seq: Seq) {
        let mut recent = lock(&self.0.doubtful.recent);
        if recent.len() < RECENT || recent.contains_key(&chat) {
            let known = recent.entry(chat).or_insert(seq);
            *known = seq.max(*known);
        }
    }

    /// How far chats were committed by this node since this was asked last.
    #[must_use]
    pub fn take_recent(&self) -> HashMap<ChatId, Seq> {
        mem::take(&mut lock(&self.0.doubtful.recent))
    }

    /// Counts how often every socket had to begin again.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.doubtful.generation.load(Relaxed)
    }

    /// Tells that the database does not have a change that was known in this generation.
    pub fn contradict(&self, generation: u64) {
        if generation == self.generation() {
            self.0.doubtful.contradicted.store(true, Relaxed);
            self.0.doubtful.went_back.notify_one();
        }
    }

    /// Waits until that is said.
    pub async fn contradiction(&self) {
        while !self.0.doubtful.contradicted.swap(false, Relaxed) {
            self.0.doubtful.went_back.notified().await;
        }
    }

    /// Waits for claims of other nodes, and gives them.
    pub async fn claims(&self) -> Claims {
        loop {
            let claims = mem::take(&mut *lock(&self.0.doubtful.claims));
            if !claims.is_empty() {
                return claims;
            }
            self.0.doubtful.claimed.notified().await;
        }
    }

    pub(super) fn claim_chat(&self, chat: ChatId) {
        self.0
            .doubtful
            .claim(|claims| note(&mut claims.chats, chat));
    }

    pub(super) fn claim_user(&self, user: UserId) {
        self.0
            .doubtful
            .claim(|claims| note(&mut claims.users, user));
    }

    pub(super) fn claim_session(&self, session: SessionId) {
        let add = |claims: &mut Claims| note(&mut claims.sessions, session);
        self.0.doubtful.claim(add);
    }

    /// Follows up the turn of some changes.
    pub(super) fn settle(&self, chat: ChatId, turn: BatchOutcome) {
        match turn {
            BatchOutcome::Delivered | BatchOutcome::Buffered => {}
            BatchOutcome::DeliveredWithGap => self.count_healed(),
            BatchOutcome::Missing => self.claim_chat(chat),
            BatchOutcome::Contradicted => self.contradict(self.generation()),
        }
    }
}

fn note<T: std::hash::Hash + Eq>(claims: &mut HashSet<T>, claimed: T) {
    if claims.len() < CLAIMS {
        claims.insert(claimed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
