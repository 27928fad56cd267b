//! A server of which a part has failed is not ready, although its database is.

use super::HealthService;
use crate::{
    database::{HealthRepository, Store, Target},
    delivery::{Standings, Writer},
    error::{Code, Error},
    hub::Hub,
    metrics::Metrics,
    repository::{LogRepository, MemberRepository, PositionRepository, RosterRepository},
    service::read_receipt::ReadService,
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Which part has failed: its task is gone, as after a panic.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failed {
    Nothing,
    Writer,
    Standings,
    Marking,
}

async fn ready(failed: Failed) -> Result<Option<Code>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let store = Store::open(
        &Target::Sqlite(folder.path().join("test.db")),
        2,
        Duration::ZERO,
    )
    .await?;
    let hub = Hub::default();
    let (writer, worker) = Writer::new(
        LogRepository::new(store.clone()),
        RosterRepository::new(store.clone()),
        hub.clone(),
        Metrics::default().writer,
        CancellationToken::new(),
    );
    let (standings, answering) = Standings::new(MemberRepository::new(store.clone()));
    let positions = PositionRepository::new(store.clone());
    let (reads, marking) = ReadService::new(positions, standings.clone(), hub.clone());
    let health = HealthRepository::new(store.clone());
    let health = HealthService::new(health, None, writer, standings, reads);
    // Dropped is what a task that has panicked leaves.
    let worker = (failed != Failed::Writer).then_some(worker);
    let answering = (failed != Failed::Standings).then_some(answering);
    let marking = (failed != Failed::Marking).then_some(marking);
    let ready = health.ready().await;
    drop((worker, answering, marking));
    store.close().await;
    Ok(ready.err().map(|error: Error| error.code()))
}

#[tokio::test]
async fn every_task_is_needed() {
    assert_eq!(Box::pin(ready(Failed::Nothing)).await, Ok(None));
    for failed in [Failed::Writer, Failed::Standings, Failed::Marking] {
        assert_eq!(Box::pin(ready(failed)).await, Ok(Some(Code::Unavailable)));
    }
}
