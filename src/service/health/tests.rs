//! A server of which a part has failed is not ready, although its database is.

use super::HealthService;
use crate::{
    database::{Database, HealthRepository, Target},
    delivery::{MembershipLoader, Writer},
    error::{Code, Error},
    hub::Hub,
    metrics::Metrics,
    repository::{
        LockedChatRepository, MemberRepository, MessageLogRepository, ReadPositionRepository,
    },
    service::read_receipt::ReadReceiptService,
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Which part has failed: its task is gone, as after a panic.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failed {
    Nothing,
    Writer,
    MembershipLoader,
    PendingReceipt,
}

async fn ready(failed: Failed) -> Result<Option<Code>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let store = Database::open(
        &Target::Sqlite(folder.path().join("test.db")),
        2,
        Duration::ZERO,
    )
    .await?;
    let hub = Hub::default();
    let (writer, worker) = Writer::new(
        MessageLogRepository::new(store.clone()),
        LockedChatRepository::new(store.clone()),
        hub.clone(),
        Metrics::default().writer,
        CancellationToken::new(),
    );
    let (standings, answering) = MembershipLoader::new(MemberRepository::new(store.clone()));
    let positions = ReadPositionRepository::new(store.clone());
    let (reads, marking) = ReadReceiptService::new(positions, standings.clone(), hub.clone());
    let health = HealthRepository::new(store.clone());
    let health = HealthService::new(health, None, writer, standings, reads);
    // Dropped is what a task that has panicked leaves.
    let worker = (failed != Failed::Writer).then_some(worker);
    let answering = (failed != Failed::MembershipLoader).then_some(answering);
    let marking = (failed != Failed::PendingReceipt).then_some(marking);
    let ready = health.ready().await;
    drop((worker, answering, marking));
    store.close().await;
    Ok(ready.err().map(|error: Error| error.code()))
}

#[tokio::test]
async fn every_task_is_needed() {
    assert_eq!(Box::pin(ready(Failed::Nothing)).await, Ok(None));
    for failed in [
        Failed::Writer,
        Failed::MembershipLoader,
        Failed::PendingReceipt,
    ] {
        assert_eq!(Box::pin(ready(failed)).await, Ok(Some(Code::Unavailable)));
    }
}
