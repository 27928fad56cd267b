//! Which sockets are whose, so that they end with their user.

use super::Hub;
use crate::model::UserId;
use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Every signed-in user's sockets.
#[derive(Default)]
pub(super) struct Sockets(Mutex<HashMap<UserId, Entry>>);

/// One user's sockets: how many, and the token that closes them all.
#[derive(Default)]
struct Entry {
    sockets: usize,
    end: CancellationToken,
}

impl Sockets {
    /// Closes a user's sockets. One that registers later is a new one.
    pub(super) fn end(&self, user: UserId) {
        if let Some(entry) = self.lock().get_mut(&user) {
            mem::take(&mut entry.end).cancel();
        }
    }

    pub(super) fn users(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket's entry under its user. Dropping it removes it.
pub struct Registration {
    hub: Hub,
    user: UserId,
    end: CancellationToken,
}

impl Registration {
    pub(super) fn new(hub: Hub, user: UserId) -> Self {
        let end = {
            let mut sockets = hub.0.sockets.lock();
            let entry = sockets.entry(user).or_default();
            entry.sockets += 1;
            entry.end.clone()
        };
        Self { hub, user, end }
    }

    /// Done when the user's sockets must close.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.end.clone()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut sockets = self.hub.0.sockets.lock();
        if let Some(entry) = sockets.get_mut(&self.user) {
            entry.sockets -= 1;
            if entry.sockets == 0 {
                sockets.remove(&self.user);
            }
        }
    }
}
