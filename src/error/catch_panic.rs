//! A panic in one piece of work of a task costs that piece, not the task.

use super::Error;
use futures_util::FutureExt;
use std::{future::Future, panic::AssertUnwindSafe};

/// The outcome of `work`; `internal` where it panics. Its values are dropped then, which undoes a
/// transaction; `work` must leave nothing else half done.
pub(crate) async fn catch_panic<T>(
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    outcome.unwrap_or_else(|_| Err(Error::internal("a panic, logged before this")))
}
