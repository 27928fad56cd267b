//! Deletions of users, in steps through the writer. The deletion of a user with very many messages is stored and
//! goes on in the background, also on another server if this one stops.

use super::janitor::Deletions;
use crate::{
    auth::Caller,
    database::Database,
    delivery::{Change, Outcome, Writer},
    error::{Code, Error, within},
    model::{Timestamp, UserId},
    repository::{DeletionCursor, LargeDeletion},
};
use std::time::Duration;
use tokio::{
    select,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

/// The time between two looks for deletions that another server left behind.
const PERIOD: Duration = Duration::from_secs(60);
/// The time without a step after which a deletion counts as left behind.
const STALE: Duration = Duration::from_secs(60);
/// The time between two notes that a deletion goes on.
const TOUCH: Duration = Duration::from_secs(10);
/// The longest time for one query.
const QUERY_LIMIT: Duration = Duration::from_secs(10);

/// The size of the steps of a deletion, and the rest after each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The maximum number of messages in a step.
    messages: u16,
    /// The rest as a multiple of the duration of the step.
    rest: f64,
    /// The longest rest.
    longest: Duration,
}

impl Pace {
    /// A request waits for the end, so the steps are large and follow each other closely.
    pub(super) const PROMPT: Self = Self {
        messages: 1000,
        rest: 0.1,
        longest: Duration::from_millis(50),
    };
    /// The latencies of other changes stay as they are, because hardly any of them meets a step.
    const GENTLE: Self = Self {
        messages: 100,
        rest: 20.0,
        longest: Duration::from_secs(2),
    };
}

/// A deletion that goes on step by step.
pub(super) struct Deletion<'a> {
    writer: &'a Writer,
    caller: Caller,
    user: UserId,
    pace: Pace,
    /// The place where the last step has ended.
    after: DeletionCursor,
}

impl<'a> Deletion<'a> {
    /// Returns the deletion before its first step.
    pub(super) fn new(writer: &'a Writer, caller: Caller, user: UserId, pace: Pace) -> Self {
        Self {
            writer,
            caller,
            user,
            pace,
            after: DeletionCursor::start(pace.messages),
        }
    }

    /// Runs all steps. Other changes run between the steps.
    ///
    /// # Errors
    /// `user_not_found`; `unavailable`.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        let mut more = self.step().await?;
        while more {
            // Earlier steps are stored already, so an unavailable writer leaves the deletion in doubt.
            more = self.step().await.map_err(|error| match error.code() {
                Code::Unavailable => Error::in_doubt(),
                _ => error,
            })?;
        }
        Ok(())
    }

    /// Runs one step, and rests if there are more. Returns true if there are more.
    async fn step(&mut self) -> Result<bool, Error> {
        let begun = Instant::now();
        let change = Change::DeleteUser {
            caller: self.caller,
            user: self.user,
            after: self.after,
        };
        match self.writer.submit(change)?.answer().await? {
            Outcome::Incomplete(after) => {
                self.after = after;
                let rest = begun.elapsed().mul_f64(self.pace.rest);
                time::sleep(rest.min(self.pace.longest)).await;
                Ok(true)
            }
            _ => {
                tracing::info!(user = self.user.0, "user deleted");
                Ok(false)
            }
        }
    }
}

/// The task that deletes users with very many messages.
pub struct LargeDeletions {
    database: Database,
    writer: Writer,
    deletions: Deletions,
}

impl LargeDeletions {
    /// Returns the task, woken by `deletions`.
    #[must_use]
    pub fn new(database: Database, writer: Writer, deletions: Deletions) -> Self {
        Self {
            database,
            writer,
            deletions,
        }
    }

    /// Runs until `stop`. Another server, or the next one to start, goes on with the rest.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            match stop.run_until_cancelled(self.sweep()).await {
                None => return,
                Some(Err(error)) => error.log(),
                Some(Ok(())) => {}
            }
            select! {
                () = stop.cancelled() => return,
                () = self.deletions.of_large_users() => {}
                () = time::sleep(PERIOD) => {}
            }
        }
    }

    /// Deletes users until no deletion is left.
    async fn sweep(&self) -> Result<(), Error> {
        loop {
            let now = Timestamp::now();
            let large = self.database.large_deletions();
            let claimed = within(QUERY_LIMIT, large.claim(now.before(STALE), now)).await?;
            let Some(deletion) = claimed else {
                return Ok(());
            };
            self.delete(deletion).await?;
            self.deletions.note_user();
        }
    }

    /// Deletes a user, and notes every `TOUCH` that the deletion goes on.
    async fn delete(&self, deletion: LargeDeletion) -> Result<(), Error> {
        let LargeDeletion {
            customer_id: user,
            empty_chats_go,
        } = deletion;
        let caller = match empty_chats_go {
            true => Caller::User(user),
            false => Caller::Open,
        };
        let mut deletion = Deletion::new(&self.writer, caller, user, Pace::GENTLE);
        let mut touched = Instant::now();
        loop {
            match deletion.step().await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // Another server was faster.
                Err(error) if error.code() == Code::UserNotFound => return Ok(()),
                Err(error) => return Err(error),
            }
            if touched.elapsed() >= TOUCH {
                touched = Instant::now();
                let large = self.database.large_deletions();
                within(QUERY_LIMIT, large.touch_deletion(user, Timestamp::now())).await?;
            }
        }
    }
}
