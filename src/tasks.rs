//! Background tasks. Each has a name and a stage of the shutdown. A task that ends before its stage is stopped,
//! by a panic or otherwise, makes the server unready and stops it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{self, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// When a task is stopped, in the order of the shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The writer: it commits the changes in its queue first.
    Writer,
    /// Periodic work: it ends with the writer.
    Periodic,
    /// The link: it publishes the last commits and ended sessions first.
    Link,
    /// Work for the handles of a service. It ends with the last handle, and is not waited for.
    Loader,
}

/// How long the writer, and all periodic tasks together, may take to end: each change in the writer's queue
/// is answered within 5 s.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// How long the link may take for its last messages.
const LINK_LIMIT: Duration = Duration::from_secs(3);

/// The running tasks, and the first of them that failed.
pub struct Tasks {
    running: Vec<Running>,
    /// Cancelled when the writer, the periodic tasks and the loaders stop.
    writing: CancellationToken,
    /// Cancelled when the link stops.
    linking: CancellationToken,
    /// The first task that failed.
    failed: watch::Sender<Option<&'static str>>,
    /// True once `stop` was called.
    stopping: Arc<AtomicBool>,
    /// Work that a request has started and that goes on after the request.
    detached: TaskTracker,
}

/// A running task.
struct Running {
    name: &'static str,
    stage: Stage,
    task: JoinHandle<()>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            running: Vec::new(),
            writing: CancellationToken::new(),
            linking: CancellationToken::new(),
            failed: watch::Sender::new(None),
            stopping: Arc::default(),
            detached: TaskTracker::new(),
        }
    }
}

impl Tasks {
    /// The token that is cancelled when tasks of this stage must stop.
    #[must_use]
    pub fn stop_token(&self, stage: Stage) -> CancellationToken {
        match stage {
            Stage::Link => self.linking.clone(),
            Stage::Writer | Stage::Periodic | Stage::Loader => self.writing.clone(),
        }
    }

    /// Starts a task. It ends after the token of its stage is cancelled, and not before.
    pub fn spawn(
        &mut self,
        name: &'static str,
        stage: Stage,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let end = EndGuard {
            task: name,
            stop: self.stop_token(stage),
            failed: self.failed.clone(),
        };
        let task = tokio::spawn(async move {
            let _end = end;
            work.await;
        });
        self.running.push(Running { name, stage, task });
    }

    /// Tracks work that a request has started and that goes on after the request. `stop` does not wait for it.
    #[must_use]
    pub fn detached(&self) -> TaskTracker {
        self.detached.clone()
    }

    /// Reports whether all tasks are running.
    #[must_use]
    pub fn health(&self) -> TaskHealth {
        TaskHealth {
            failed: self.failed.subscribe(),
            stopping: Arc::clone(&self.stopping),
        }
    }

    /// Waits for the first task that fails.
    pub async fn failure(&self) {
        // The sender is in `self`: the wait ends with a failure alone.
        let _ = self.failed.subscribe().wait_for(Option::is_some).await;
    }

    /// The first task that failed; `None` if all are well.
    #[must_use]
    pub fn failed(&self) -> Option<&'static str> {
        *self.failed.borrow()
    }

    /// Stops all tasks, stage by stage, each within its limit: the writer commits the changes in its queue, the
    /// periodic tasks end, the link publishes the last commits and ended sessions.
    pub async fn stop(&mut self) {
        self.stopping.store(true, Relaxed);
        self.writing.cancel();
        self.join(Stage::Writer, DRAIN_LIMIT).await;
        self.join(Stage::Periodic, DRAIN_LIMIT).await;
        self.linking.cancel();
        self.join(Stage::Link, LINK_LIMIT).await;
    }

    /// Waits for all tasks of a stage until one deadline.
    async fn join(&mut self, stage: Stage, limit: Duration) {
        let deadline = Instant::now() + limit;
        for running in self.running.iter_mut().filter(|task| task.stage == stage) {
            if time::timeout_at(deadline, &mut running.task).await.is_err() {
                tracing::warn!(task = running.name, "gave up waiting for the end of a task");
            }
        }
    }

    /// The names of the running tasks.
    #[cfg(test)]
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.running.iter().map(|running| running.name).collect()
    }

    /// Aborts a task, as a panic would; false if there is no such task.
    #[cfg(test)]
    pub(crate) fn abort(&self, name: &str) -> bool {
        let named = self.running.iter().find(|running| running.name == name);
        named.inspect(|running| running.task.abort()).is_some()
    }
}

/// The readiness of the background tasks. A clone shares it.
#[derive(Clone)]
pub struct TaskHealth {
    failed: watch::Receiver<Option<&'static str>>,
    stopping: Arc<AtomicBool>,
}

impl TaskHealth {
    /// True while every task is running and none was told to stop.
    #[must_use]
    pub fn all_running(&self) -> bool {
        self.failed.borrow().is_none() && !self.stopping.load(Relaxed)
    }
}

/// Reports the end of its task when it is dropped, unless the stage of the task was stopped before.
struct EndGuard {
    task: &'static str,
    stop: CancellationToken,
    failed: watch::Sender<Option<&'static str>>,
}

impl Drop for EndGuard {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_has_failed_and_one_that_was_stopped_has_not() {
        let mut tasks = Tasks::default();
        let stop = tasks.stop_token(Stage::Periodic);
        tasks.spawn("stopped", Stage::Periodic, async move {
            stop.cancelled().await;
        });
        let health = tasks.health();
        assert!(health.all_running());
        tasks.spawn("broken", Stage::Link, async { panic!("on purpose") });
        tasks.failure().await;
        assert_eq!(tasks.failed(), Some("broken"));
        assert!(!health.all_running());
        tasks.stop().await;
        assert_eq!(tasks.failed(), Some("broken"));
    }

    #[tokio::test]
    async fn a_stopping_server_is_not_healthy() {
        let mut tasks = Tasks::default();
        let health = tasks.health();
        tasks.stop().await;
        assert!(!health.all_running());
        assert_eq!(tasks.failed(), None);
    }
}
