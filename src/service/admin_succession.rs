//! Keeps an admin in every chat, where everyone signs in: a chat with members has one, and a chat without
//! members goes. What is done by rule leaves it so; older data, and servers that believe their
//! callers, do not.

use super::janitor::Deletions;
use crate::{
    error::Error,
    model::{ChatId, Timestamp},
    repository::{AdminTenure, ChatPurgeRepository, LockedChatRepository},
};
use std::time::Duration;
use tokio::{
    select,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

/// How long a chat may be without members before it is deleted: a database that was moved here may still
/// have to be sorted, and a server in open mode may follow.
const EMPTY_LIMIT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How often all chats are looked at, besides after the deletion of a user.
const PERIOD: Duration = Duration::from_secs(60 * 60);
/// How soon again after a look that failed.
const AGAIN: Duration = Duration::from_secs(10);
/// How long one step may take.
const STEP_LIMIT: Duration = Duration::from_secs(10);
/// A look is followed by a rest of so many times as long.
const REST: u32 = 10;

/// The task that looks after chats.
pub struct AdminSuccession {
    chats: ChatPurgeRepository,
    locked_chats: LockedChatRepository,
    deletions: Deletions,
    /// Whether memberships count; where they do not, nothing is done.
    members_only: bool,
}

impl AdminSuccession {
    /// On these parts.
    #[must_use]
    pub fn new(
        chats: ChatPurgeRepository,
        locked_chats: LockedChatRepository,
        deletions: Deletions,
        members_only: bool,
    ) -> Self {
        Self {
            chats,
            locked_chats,
            deletions,
            members_only,
        }
    }

    /// Works until `stop`. Each step is safe to break off.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.run_every()).await;
    }

    async fn run_every(&self) {
        loop {
            let begun = Instant::now();
            let looked = match self.members_only {
                true => self.look_at_all().await,
                false => within(self.chats.forget_empty()).await,
            };
            let period = match looked {
                Ok(()) => PERIOD,
                Err(error) => {
                    error.log();
                    AGAIN
                }
            };
            time::sleep(begun.elapsed() * REST).await;
            select! {
                () = self.deletions.of_users() => {}
                () = time::sleep(period) => {}
            }
        }
    }

    /// Looks at every chat, some at a time. After each query it rests for as long as that took.
    async fn look_at_all(&self) -> Result<(), Error> {
        let mut after = ChatId(0);
        let mut locked = None;
        loop {
            let begun = Instant::now();
            let tenures = within(self.chats.tenures(after)).await?;
            let Some(last) = tenures.last() else {
                return locked.map_or(Ok(()), Err);
            };
            after = last.chat_id;
            for tenure in &tenures {
                match within(self.settle(tenure)).await {
                    // Another server stands still in the middle of something; the others go on.
                    Err(error) if error.is_locked() => locked = Some(error),
                    settled => settled?,
                }
            }
            time::sleep(begun.elapsed()).await;
        }
    }

    /// Does what there is to do for a chat, most often nothing.
    async fn settle(&self, tenure: &AdminTenure) -> Result<(), Error> {
        let chat = tenure.chat_id;
        match (tenure.inhabited, tenure.governed, tenure.empty_since) {
            (true, true, None) => Ok(()),
            (true, _, _) => self.appoint(chat).await,
            (false, _, since) => self.close_if_long_empty(chat, since).await,
        }
    }

    async fn appoint(&self, chat: ChatId) -> Result<(), Error> {
        let mut locked_chat = self.locked_chats.lock(chat).await?;
        let appointed = locked_chat.appoint_eldest().await?;
        locked_chat.note_empty(None).await?;
        locked_chat.commit().await?;
        if let Some(user) = appointed {
            let user = user.0;
            tracing::info!(user, chat = chat.0, "a chat without an admin has one again");
        }
        Ok(())
    }

    async fn close_if_long_empty(
        &self,
        chat: ChatId,
        since: Option<Timestamp>,
    ) -> Result<(), Error> {
        let now = Timestamp::now();
        let long = since.is_some_and(|since| since < now.before(EMPTY_LIMIT));
        if since.is_some() && !long {
            return Ok(());
        }
        let mut locked_chat = self.locked_chats.lock(chat).await?;
        if !locked_chat.is_empty().await? {
            return Ok(());
        }
        let gone = match long {
            true => locked_chat.delete().await?,
            false => {
                locked_chat.note_empty(Some(now)).await?;
                false
            }
        };
        locked_chat.commit().await?;
        if gone {
            self.deletions.note_chat();
            tracing::info!(chat = chat.0, "a chat without members was deleted");
        }
        Ok(())
    }
}

async fn within<T>(step: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let step = time::timeout(STEP_LIMIT, step).await;
    step.unwrap_or_else(|_| Err(Error::unavailable()))
}
