//! A primary that is lost under load, and its standby.

use crate::load::Load;
use std::time::{Duration, Instant};
use testkit::{Client, Database, Loss, PostgresPair, Server, patiently};

/// How long senders are refused at most, from when the standby has the primary's address.
const BACK_WITHIN: Duration = Duration::from_secs(10);

async fn server_on(cluster: &PostgresPair) -> Server {
    let database = Database {
        url: cluster.url(),
        folder: tempfile::tempdir().expect("a temporary folder"),
    };
    Server::start_on(database, &[]).await
}

async fn until_ready(client: &Client) {
    let asking = async { while client.get("/health/ready").await.status != 200 {} };
    patiently("the server to be ready", asking).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_standby_takes_over_and_no_acknowledged_message_is_lost() {
    let mut cluster = PostgresPair::start().await.unwrap();
    let (one, two) = (server_on(&cluster).await, server_on(&cluster).await);
    let (first, second) = (one.client(), two.client());
    let carl = first.new_user("carl").await;
    let losses = [Loss::Crash, Loss::Silence, Loss::Stop];
    for (n, loss) in losses.into_iter().enumerate() {
        if n > 0 {
            cluster.rejoin().await.unwrap();
        }
        let chat = first.new_chat("general").await;
        let clients = [first.clone(), first.clone(), second.clone(), second.clone()];
        let mut load = Load::start(&clients, carl, chat);
        load.goes_on(20).await;
        cluster.fail_over(loss).await.unwrap();
        let moved = Instant::now();
        load.goes_on(2).await;
        let took = moved.elapsed();
        assert!(took < BACK_WITHIN, "{loss:?}: {took:?}");
        for client in [&first, &second] {
            until_ready(client).await;
        }
        load.goes_on(20).await;
        load.stop(&first, chat).await;
    }
    one.stop().await;
    two.stop().await;
}
