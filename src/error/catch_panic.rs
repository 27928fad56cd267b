//! Turns a panic in one unit of work into an error, so that a long-running task survives it.

use super::Error;
use futures_util::FutureExt;
use std::{future::Future, panic::AssertUnwindSafe};

/// Runs `work` and returns its outcome, or an `internal` error if `work` panics.
///
/// A panic drops the values that `work` owns, which rolls back an open transaction. `work` must leave
/// nothing outside its transaction half done.
pub(crate) async fn catch_panic<T>(
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    outcome.unwrap_or_else(|_| Err(Error::internal("a panic, logged before this")))
}
