//! The registry of this node's sockets by user and session, so that a socket closes when its user or
//! session ends.

use super::Hub;
use crate::model::{SessionId, UserId};
use std::{
    collections::HashMap,
    hash::Hash,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// The sockets of this node, by user and by session.
#[derive(Default)]
pub(super) struct ConnectionRegistry(Mutex<SocketTables>);

#[derive(Default)]
struct SocketTables {
    users: HashMap<UserId, Entry>,
    /// Sockets that were opened by a signed-in user. The token of a session is a child of the token of its
    /// user.
    sessions: HashMap<SessionId, Entry>,
}

/// Sockets with a common end: their number, and the token that closes them.
#[derive(Default)]
struct Entry {
    sockets: usize,
    end: CancellationToken,
}

impl ConnectionRegistry {
    /// Closes the sockets of a user. A socket that registers later gets a fresh token.
    pub(super) fn end_user(&self, user: UserId) {
        if let Some(entry) = self.lock().users.get_mut(&user) {
            mem::take(&mut entry.end).cancel();
        }
    }

    /// Closes the sockets of a session.
    pub(super) fn end_session(&self, session: SessionId) {
        // The session token is no parent of the user's remaining sockets, so only the session's own sockets
        // close.
        if let Some(entry) = self.lock().sessions.get(&session) {
            entry.end.cancel();
        }
    }

    pub(super) fn user_count(&self) -> usize {
        self.lock().users.len()
    }

    pub(super) fn users(&self) -> Vec<UserId> {
        self.lock().users.keys().copied().collect()
    }

    pub(super) fn sessions(&self) -> Vec<SessionId> {
        self.lock().sessions.keys().copied().collect()
    }

    pub(super) fn has_session(&self, session: SessionId) -> bool {
        self.lock().sessions.contains_key(&session)
    }

    fn lock(&self) -> MutexGuard<'_, SocketTables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket's entry under its user and session. Dropping the registration removes the entry.
pub struct Registration {
    hub: Hub,
    user: UserId,
    session: Option<SessionId>,
    end: CancellationToken,
}

impl Registration {
    pub(super) fn new(hub: Hub, user: UserId, session: Option<SessionId>) -> Self {
        let end = {
            let mut tables = hub.0.sockets.lock();
            let of_user = tables.users.entry(user).or_default();
            of_user.sockets += 1;
            let of_user = of_user.end.clone();
            match session {
                None => of_user,
                Some(session) => {
                    let entry = tables.sessions.entry(session).or_insert_with(|| Entry {
                        sockets: 0,
                        end: of_user.child_token(),
                    });
                    entry.sockets += 1;
                    entry.end.clone()
                }
            }
        };
        Self {
            hub,
            user,
            session,
            end,
        }
    }

    /// Returns the token that is cancelled when the user's or the session's sockets must close.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.end.clone()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut tables = self.hub.0.sockets.lock();
        release(&mut tables.users, &self.user);
        if let Some(session) = &self.session {
            release(&mut tables.sessions, session);
        }
    }
}

fn release<K: Eq + Hash>(entries: &mut HashMap<K, Entry>, key: &K) {
    if let Some(entry) = entries.get_mut(key) {
        entry.sockets -= 1;
        if entry.sockets == 0 {
            entries.remove(key);
        }
    }
}
