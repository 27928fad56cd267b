//! Batches that could not be committed: their changes are retried one by one, or refused.

use super::{Answers, Change, batch::LockWait, writer::Worker};
use crate::{
    error::{Code, Error},
    repository::CommitError,
};
use std::time::{Duration, Instant};

/// How long the changes of a failed batch are retried one by one before the rest is refused. With the wait
/// for the batch and the last retry, every sender is still answered within 5 s.
const ONE_BY_ONE_LIMIT: Duration = Duration::from_millis(500);

impl Worker {
    /// The answers to the changes of a failed transaction. An internal error may be caused by a single change,
    /// so each change is then retried on its own and cannot fail for another.
    pub(super) async fn retry_or_refuse(
        &mut self,
        changes: &[Change],
        error: CommitError,
    ) -> Answers {
        match error {
            CommitError::NotCommitted(error) if error.code() == Code::Internal => {
                self.one_by_one(changes, error).await
            }
            CommitError::NotCommitted(error) => {
                // A lock that another node holds does not mean that the database is unavailable.
                if !error.is_locked() {
                    self.outcome.note(false);
                }
                refuse_all(changes, &error, Error::unavailable)
            }
            CommitError::InDoubt(error) => {
                self.outcome.note(false);
                refuse_all(changes, &error, Error::in_doubt)
            }
        }
    }

    /// Retries each change in a transaction of its own, for at most `ONE_BY_ONE_LIMIT`; refuses the rest. A
    /// batch of one is not retried: its error is the answer.
    async fn one_by_one(&mut self, changes: &[Change], error: Error) -> Answers {
        if changes.len() == 1 {
            return vec![Err(error)];
        }
        error.log();
        let mut answers = Vec::with_capacity(changes.len());
        let until = Instant::now() + ONE_BY_ONE_LIMIT;
        for change in changes {
            if Instant::now() > until {
                answers.push(Err(Error::unavailable()));
                continue;
            }
            let alone = std::slice::from_ref(change);
            match self.commit(alone, LockWait::Default).await {
                Ok(one) => answers.extend(one),
                Err(error) => answers.push(Err(refusal(error))),
            }
        }
        answers
    }
}

/// The answer to a change that failed in a transaction of its own. Logs the error, unless it is the answer.
fn refusal(error: CommitError) -> Error {
    match error {
        CommitError::NotCommitted(error) if error.code() == Code::Internal => error,
        CommitError::NotCommitted(error) => {
            error.log();
            Error::unavailable()
        }
        CommitError::InDoubt(error) => {
            error.log();
            Error::in_doubt()
        }
    }
}

/// Logs the error once, and answers every change with an error made by `refusal`.
pub(super) fn refuse_all(
    changes: &[Change],
    error: &Error,
    refusal: impl Fn() -> Error,
) -> Answers {
    tracing::warn!(changes = changes.len(), "a batch was not stored");
    error.log();
    changes.iter().map(|_| Err(refusal())).collect()
}
