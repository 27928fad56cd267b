//! A server that falls behind the link, and sockets that fall behind together.

use crate::monitoring::metrics::{scrape, value};
use std::time::Instant;
use testkit::Cluster;
use testkit::{Server, change, patiently};

async fn measured(server: &Server, series: &str) -> f64 {
    value(&scrape(&server.client()).await, series)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn who_cannot_keep_up_misses_nothing_and_does_not_ask_for_each_loss() {
    const BURST: usize = 400;
    let mut cluster = Cluster::open(1).await;
    let url = format!("--nats-url={}", cluster.nats.url());
    let flags = [url.as_str(), "--nats-subscription=1"];
    let slow = cluster.nodes[0].beside(&flags).await;
    cluster.nodes.push(slow);
    cluster.until_link("up").await;
    let mut carl = cluster.enter(0, cluster.carl).await;
    let mut watcher = cluster.enter(1, cluster.sigmund).await;
    let texts: Vec<String> = (0..BURST).map(|n| n.to_string()).collect();
    let begun = Instant::now();
    let before = measured(&cluster.nodes[1], "link_published_total").await;
    let mut seen = 0;
    patiently("a burst that was too much", async {
        while measured(&cluster.nodes[1], "link_healed_total").await < 1.0 {
            let last = seen + BURST as i64;
            let listening = watcher.frames_until(|frame| change(frame) == Some(last));
            let (_, frames) = tokio::join!(carl.say_all(cluster.chat, &texts), listening);
            let heard: Vec<i64> = frames.iter().filter_map(change).collect();
            assert_eq!(heard, (seen + 1..=last).collect::<Vec<i64>>());
            seen = last;
        }
    })
    .await;
    // A beat, a question, a few answers: with each beat of its own and of the other.
    let published = measured(&cluster.nodes[1], "link_published_total").await - before;
    let beats = begun.elapsed().as_secs_f64() / 3.0 + 2.0;
    assert!(published <= beats * 6.0, "{published} in {beats} beats");
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn sockets_that_are_behind_together_read_together() {
    const SOCKETS: usize = 60;
    let mut cluster = Cluster::open(2).await;
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(cluster.enter(1, cluster.sigmund).await);
    }
    cluster.nats.kill().await;
    cluster.until_link("down").await;
    let before = measured(&cluster.nodes[1], "feed_reads_total").await;
    let said = cluster.say(0, "not over the link").await;
    for socket in &mut sockets {
        let frames = socket.frames_until(|frame| change(frame).is_some()).await;
        let last = frames.last().expect("a frame");
        assert_eq!((&last["content"], &last["replay"]), (&said, &true.into()));
    }
    let reads = measured(&cluster.nodes[1], "feed_reads_total").await - before;
    assert!(
        reads >= 1.0 && reads <= SOCKETS as f64 / 4.0,
        "{reads} reads"
    );
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_linked_server_measures_its_link() {
    let cluster = Cluster::open(3).await;
    let mut watcher = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard(0, &mut watcher).await;
    patiently("both others to be heard", async {
        while measured(&cluster.nodes[1], "link_nodes").await < 2.0 {}
    })
    .await;
    let text = scrape(&cluster.client(1)).await;
    for series in ["link_configured", "link_up"] {
        assert_eq!(value(&text, series), 1.0, "{series}");
    }
    let received = value(&text, "link_received_total");
    assert!(received >= 3.0, "two beats and a message: {received}");
    let lags = value(&text, "link_lag_seconds_count");
    assert!(lags >= 3.0, "{lags}");
    let lag = value(&text, "link_lag_seconds_sum") / lags;
    assert!(lag < 5.0, "{lag} s on one machine");
    assert!(value(&text, "link_published_total") >= 1.0);
    assert_eq!(value(&text, "link_reconnects_total"), 0.0);
    cluster.close().await;
}
