//! Tests that the server stops if one of its background tasks ends.

use super::App;
use crate::config::Config;
use clap::Parser;
use std::{future::pending, path::Path};
use tokio::net::TcpListener;

/// Returns the settings of a server on a database file in this folder.
fn config(folder: &Path) -> Config {
    let url = format!(
        "--database-url=sqlite://{}",
        folder.join("test.db").display()
    );
    Config::parse_from(["messaging-api", "--port=0", &url])
}

/// Returns the names of the tasks that a server starts.
async fn names() -> Result<Vec<&'static str>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let app = App::start(&config(folder.path())).await?;
    Ok(app.tasks.names())
}

/// Aborts a task of a running server, and returns the result of the server.
async fn end_of(task: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let config = config(folder.path());
    let app = App::start(&config).await?;
    let listener = TcpListener::bind(config.address()).await;
    let listener = listener.map_err(|e| e.to_string())?;
    assert!(app.tasks.abort(task), "no task {task}");
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
