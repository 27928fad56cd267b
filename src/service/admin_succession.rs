//! Upkeep of chat admins in a server with sign-in: a chat with members has an admin, and a chat without
//! members is deleted. The membership rules keep it so, but older data and servers in open mode do not. The
//! task runs in the background and also after a user is deleted.

use super::janitor::Deletions;
use crate::{
    database::Database,
    delivery::{Change, Outcome, Writer},
    error::{Code, Error, within},
    model::{ChatId, Timestamp},
    repository::AdminTenure,
};
use std::time::Duration;
use tokio::{
    select,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

/// The age at which a chat without members is deleted. The long time leaves room to sort a database that
/// was migrated here, and to return to open mode.
const EMPTY_LIMIT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The time between two checks of all chats, besides the checks after a deletion of a user.
const PERIOD: Duration = Duration::from_secs(60 * 60);
/// The time to the next check after a failed check.
const AGAIN: Duration = Duration::from_secs(10);
/// The longest time for one step.
const STEP_LIMIT: Duration = Duration::from_secs(10);
/// The rest after a check, as a multiple of the duration of the check.
const REST: u32 = 10;

/// The task that checks the admins of all chats.
pub struct AdminSuccession {
    database: Database,
    writer: Writer,
    deletions: Deletions,
    /// True if membership is required. If false, no chat is changed but recorded times of emptiness are
    /// forgotten.
    members_only: bool,
}

impl AdminSuccession {
    /// Returns the task.
    #[must_use]
    pub fn new(
        database: Database,
        writer: Writer,
        deletions: Deletions,
        members_only: bool,
    ) -> Self {
        Self {
            database,
            writer,
            deletions,
            members_only,
        }
    }

    /// Runs until `stop`. Each step is safe to interrupt.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.run_every()).await;
    }

    async fn run_every(&self) {
        loop {
            let begun = Instant::now();
            let looked = match self.members_only {
                true => self.look_at_all().await,
                false => within(STEP_LIMIT, self.database.chat_purge().forget_empty()).await,
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

    /// Checks every chat, in pages. After each page the task rests for as long as the page took.
    async fn look_at_all(&self) -> Result<(), Error> {
        let mut after = ChatId(0);
        let mut locked = None;
        loop {
            let begun = Instant::now();
            let tenures = within(STEP_LIMIT, self.database.chat_purge().tenures(after)).await?;
            let Some(last) = tenures.last() else {
                return locked.map_or(Ok(()), Err);
            };
            after = last.chat_id;
            for tenure in &tenures {
                match within(STEP_LIMIT, self.settle(tenure)).await {
                    // Another server may hold the lock, perhaps stalled in a transaction. The remaining chats
                    // are still checked.
                    Err(error) if error.code() == Code::Unavailable => locked = Some(error),
                    settled => settled?,
                }
            }
            time::sleep(begun.elapsed()).await;
        }
    }

    /// Checks one chat, which most often needs no change.
    async fn settle(&self, tenure: &AdminTenure) -> Result<(), Error> {
        let chat = tenure.chat_id;
        match (tenure.inhabited, tenure.governed, tenure.empty_since) {
            (true, true, None) => Ok(()),
            (true, _, _) => self.appoint(chat).await,
            (false, _, since) => self.close_if_long_empty(chat, since).await,
        }
    }

    /// Makes the longest-standing member admin, if the chat has no admin.
    async fn appoint(&self, chat: ChatId) -> Result<(), Error> {
        let mut pending = self.writer.submit(Change::AppointEldest { chat })?;
        if let Outcome::Appointed(Some(user)) = pending.answer().await? {
            let user = user.0;
            tracing::info!(
                user,
                chat = chat.0,
                "a chat without an admin has a new admin"
            );
        }
        Ok(())
    }

    /// Records the time at which the chat was found empty, and deletes the chat once it was empty for
    /// `EMPTY_LIMIT`. Checked again under the lock.
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
        let mut locked_chat = self.database.chats().lock(chat).await?;
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
