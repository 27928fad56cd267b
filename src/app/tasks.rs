//! The tasks that the server cannot do without. Each has a name; one that ends before it is told to,
//! by a panic or otherwise, stops the server.

#[cfg(test)]
mod tests;

use std::{future::Future, time::Duration};
use tokio::{sync::watch, task::JoinHandle, time};
use tokio_util::sync::CancellationToken;

/// The running tasks, and the first of them that failed.
pub(super) struct Tasks {
    running: Vec<(&'static str, JoinHandle<()>)>,
    failed: watch::Sender<Option<&'static str>>,
}

/// Lives as long as a task, and tells of its end.
struct End {
    task: &'static str,
    stop: CancellationToken,
    failed: watch::Sender<Option<&'static str>>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self {
            running: Vec::new(),
            failed: watch::Sender::new(None),
        }
    }

    /// Starts a task that ends once `stop` is cancelled, and not before.
    pub(super) fn spawn(
        &mut self,
        task: &'static str,
        stop: &CancellationToken,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let end = End {
            task,
            stop: stop.clone(),
            failed: self.failed.clone(),
        };
        let running = tokio::spawn(async move {
            let _end = end;
            work.await;
        });
        self.running.push((task, running));
    }

    /// Waits for the first task that fails.
    pub(super) async fn failure(&self) {
        // The sender is here, so that the wait ends with a failure alone.
        let _ = self.failed.subscribe().wait_for(Option::is_some).await;
    }

    /// The first task that failed.
    pub(super) fn failed(&self) -> Option<&'static str> {
        *self.failed.borrow()
    }

    /// Waits for a task that was told to end, and no longer than `limit`.
    pub(super) async fn end(&mut self, task: &str, limit: Duration) {
        for (name, running) in &mut self.running {
            if *name == task && time::timeout(limit, running).await.is_err() {
                tracing::warn!(task, "gave up waiting for the end of a task");
            }
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.stop.is_cancelled() {
            return;
        }
        tracing::error!(task = self.task, "an essential task has ended");
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert(self.task);
            first
        });
    }
}
