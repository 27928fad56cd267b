//! Limits the time of work that waits for the database.

use super::Error;
use futures_util::FutureExt;
use std::{future::Future, time::Duration};
use tokio::time;

/// Runs `work` for at most `limit`. The error is `unavailable` after that, and `work` is dropped.
pub(crate) fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> impl Future<Output = Result<T, Error>> {
    time::timeout(limit, work).map(|done| done.unwrap_or_else(|_| Err(Error::unavailable())))
}
