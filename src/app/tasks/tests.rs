//! A server stops when a task ends that it cannot do without.

use super::*;
use crate::{app::App, config::Config};
use clap::Parser;
use std::{future::pending, path::Path};
use tokio::net::TcpListener;

/// A server on a file in this folder.
fn config(folder: &Path) -> Config {
    let url = format!(
        "--database-url=sqlite://{}",
        folder.join("test.db").display()
    );
    Config::parse_from(["messaging-api", "--port=0", &url])
}

/// The tasks that a server starts.
async fn names() -> Result<Vec<&'static str>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let app = App::start(&config(folder.path())).await?;
    Ok(app.tasks.running.iter().map(|(name, _)| *name).collect())
}

/// The sentence with which a server ends where one of its tasks was ended from outside.
async fn end_of(task: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let config = config(folder.path());
    let app = App::start(&config).await?;
    let listener = TcpListener::bind(config.address()).await;
    let listener = listener.map_err(|e| e.to_string())?;
    let ended = app.tasks.running.iter().find(|(name, _)| *name == task);
    let (_, running) = ended.ok_or("no such task")?;
    running.abort();
    app.serve(listener, pending()).await
}

#[tokio::test]
async fn every_task_is_essential() {
    let names = names().await;
    assert!(
        names.as_ref().is_ok_and(|names| names.len() >= 8),
        "{names:?}"
    );
    for task in names.into_iter().flatten() {
        let ended = end_of(task).await;
        let complaint = ended.err().unwrap_or_default();
        assert!(complaint.contains(&format!("ended: {task}")), "{complaint}");
    }
}

#[tokio::test]
async fn a_task_that_panics_has_failed_and_one_that_was_told_to_end_has_not() {
    let (mut tasks, stop) = (Tasks::new(), CancellationToken::new());
    let told = stop.clone();
    tasks.spawn("told", &stop, async move { told.cancelled().await });
    let never = CancellationToken::new();
    tasks.spawn("broken", &never, async { panic!("on purpose") });
    tasks.failure().await;
    assert_eq!(tasks.failed(), Some("broken"));
    stop.cancel();
    tasks.end("told", Duration::from_secs(60)).await;
    assert_eq!(tasks.failed(), Some("broken"));
}
