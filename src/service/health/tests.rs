//! Readiness with failed tasks: a server with a failed task is not ready, although its database is.

use super::HealthService;
use crate::{
    database::{Database, Target},
    delivery::Writer,
    error::{Code, Error},
    hub::Hub,
    metrics::Metrics,
    tasks::{Stage, Tasks},
};
use std::{future::pending, time::Duration};

/// The answer of readiness after the named tasks have ended.
async fn ready(ended: Option<&str>) -> Result<Option<Code>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let target = Target::Sqlite(folder.path().join("test.db"));
    let database = Database::open(&target, 2, Duration::ZERO).await?;
    let mut tasks = Tasks::default();
    let (writer, worker) = Writer::new(
        database.clone(),
        Hub::default(),
        Metrics::default().writer,
        tasks.stop_token(Stage::Writer),
    );
    tasks.spawn("writer", Stage::Writer, worker.run());
    tasks.spawn("members", Stage::Loader, pending());
    tasks.spawn("receipts", Stage::Loader, pending());
    let health = HealthService::new(database.clone(), None, writer, tasks.health());
    if let Some(name) = ended {
        assert!(tasks.abort(name));
        tasks.failure().await;
    }
    let ready = health.ready().await;
    database.close().await;
    Ok(ready.err().map(|error: Error| error.code()))
}

#[tokio::test]
async fn every_task_is_needed() {
    assert_eq!(Box::pin(ready(None)).await, Ok(None));
    for name in ["writer", "members", "receipts"] {
        let answer = Box::pin(ready(Some(name))).await;
        assert_eq!(answer, Ok(Some(Code::Unavailable)), "{name}");
    }
}
