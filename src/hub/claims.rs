//! Claims that the database must confirm: reported ends of chats, users and sessions, chats with missing
//! changes, and signs that the database went back to an older state. The reconciler takes the claims from
//! here.

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

/// The most chats for which the latest commit is remembered until the reconciler reads it: more than are
/// written to in one reconciliation period. Further chats are unknown, like after a restart.
const RECENT: usize = 10_000;
/// The most claims of each kind waiting for the database. The regular reconciliation finds dropped claims.
const CLAIM_LIMIT: usize = 10_000;

/// Claims and signs waiting for the database.
#[derive(Default)]
pub(super) struct UnverifiedClaims {
    /// A std lock, never held across an await.
    claims: Mutex<Claims>,
    /// Notified when a claim is added.
    claimed: Notify,
    /// The last change of each chat committed by this node since the last reconciliation.
    recent: Mutex<HashMap<ChatId, Seq>>,
    /// True if sockets were sent a change that the database does not have.
    contradicted: AtomicBool,
    /// Notified when a contradiction is signalled.
    went_back: Notify,
    /// The number of resets. Knowledge from an earlier generation is void.
    generation: AtomicU64,
}

/// Claims waiting for confirmation by the database.
#[derive(Default)]
pub struct Claims {
    /// Chats with missing changes, and chats reported as deleted.
    pub chats: HashSet<ChatId>,
    /// Users reported as deleted.
    pub users: HashSet<UserId>,
    /// Sessions reported as ended.
    pub sessions: HashSet<SessionId>,
}

impl Claims {
    fn is_empty(&self) -> bool {
        self.chats.is_empty() && self.users.is_empty() && self.sessions.is_empty()
    }
}

impl UnverifiedClaims {
    /// The last change of each chat that this node committed recently. An unknown chat is absent.
    pub(super) fn recent(&self, chats: &[ChatId]) -> HashMap<ChatId, Seq> {
        let recent = lock(&self.recent);
        let known = chats
            .iter()
            .filter_map(|chat| Some((*chat, *recent.get(chat)?)));
        known.collect()
    }

    /// Forgets the recent commits and any contradiction, after the log was replaced. Begins the next
    /// generation.
    pub(super) fn reset(&self) {
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
    /// Records that this node committed a change, for the reconciler and for the search index. Chats over the
    /// bound `RECENT` are ignored by the reconciler.
    pub fn committed(&self, chat: ChatId, seq: Seq) {
        self.0.changed.note(chat);
        let mut recent = lock(&self.0.claims.recent);
        if recent.len() < RECENT || recent.contains_key(&chat) {
            let known = recent.entry(chat).or_insert(seq);
            *known = seq.max(*known);
        }
    }

    /// Takes the last change of each chat that this node committed since the previous call.
    #[must_use]
    pub fn take_recent(&self) -> HashMap<ChatId, Seq> {
        mem::take(&mut lock(&self.0.claims.recent))
    }

    /// The number of resets so far.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.claims.generation.load(Relaxed)
    }

    /// Signals that the database contradicts a change known in `generation`. Ignored if a reset has begun a
    /// later generation.
    pub fn contradict(&self, generation: u64) {
        if generation == self.generation() {
            self.0.claims.contradicted.store(true, Relaxed);
            self.0.claims.went_back.notify_one();
        }
    }

    /// Waits until a contradiction is signalled, and clears it.
    pub async fn contradiction(&self) {
        while !self.0.claims.contradicted.swap(false, Relaxed) {
            self.0.claims.went_back.notified().await;
        }
    }

    /// Waits for claims, and takes all claims that are present.
    pub async fn claims(&self) -> Claims {
        loop {
            let claims = mem::take(&mut *lock(&self.0.claims.claims));
            if !claims.is_empty() {
                return claims;
            }
            self.0.claims.claimed.notified().await;
        }
    }

    pub(super) fn claim_chat(&self, chat: ChatId) {
        self.0
            .claims
            .claim(|claims| insert_bounded(&mut claims.chats, chat));
    }

    pub(super) fn claim_user(&self, user: UserId) {
        self.0
            .claims
            .claim(|claims| insert_bounded(&mut claims.users, user));
    }

    pub(super) fn claim_session(&self, session: SessionId) {
        let add = |claims: &mut Claims| insert_bounded(&mut claims.sessions, session);
        self.0.claims.claim(add);
    }

    /// Acts on the outcome of delivering a batch: counts a gap, claims a chat with missing changes, or
    /// signals a contradiction.
    pub(super) fn settle(&self, chat: ChatId, outcome: BatchOutcome) {
        match outcome {
            BatchOutcome::Delivered | BatchOutcome::Buffered => {}
            BatchOutcome::DeliveredWithGap => self.count_healed(),
            BatchOutcome::Missing => self.claim_chat(chat),
            BatchOutcome::Contradicted => self.contradict(self.generation()),
        }
    }
}

fn insert_bounded<T: std::hash::Hash + Eq>(claims: &mut HashSet<T>, claimed: T) {
    if claims.len() < CLAIM_LIMIT {
        claims.insert(claimed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
