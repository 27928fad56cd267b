//! A failed link is made up for by the database: within 5 s, in order, nothing twice.

use std::time::{Duration, Instant};
use testkit::{Cluster, until_link};
use testkit::{Nats, Proxy, Socket, Way, change};

/// What a message takes at most, with or without the link.
const BOUND: Duration = Duration::from_secs(5);

/// Two nodes, the second of which is linked through a proxy; and a socket there that hears the
/// first.
async fn behind_a_proxy() -> (Cluster, Proxy, Socket) {
    let nats = Nats::start().await;
    let proxy = Proxy::to(nats.port).await.expect("a proxy");
    let (straight, round) = (nats.url(), format!("nats://{}", proxy.address));
    let cluster = Cluster::linked_by(nats, &[&straight, &round]).await;
    let mut socket = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard(0, &mut socket).await;
    (cluster, proxy, socket)
}

/// Sends one message through a node into a quiet chat, and demands it on the socket in time, after
/// all before it and once.
async fn must_come(cluster: &Cluster, from: usize, socket: &mut Socket) {
    let said = cluster.say(from, "is anybody there?").await;
    let sent = Instant::now();
    let seq = said["seq"].as_i64();
    let frames = socket.frames_until(|frame| change(frame) == seq).await;
    let took = sent.elapsed();
    assert!(took < BOUND, "{took:?}");
    let changes: Vec<i64> = frames.iter().filter_map(change).collect();
    assert_eq!(changes, [seq.expect("a number")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn the_last_message_before_a_cut_comes_within_5_s() {
    let mut cluster = Cluster::open(2).await;
    let mut socket = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard(0, &mut socket).await;
    cluster.nats.kill().await;
    must_come(&cluster, 0, &mut socket).await;
    must_come(&cluster, 0, &mut socket).await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_message_through_a_node_that_cannot_be_heard_comes_within_5_s() {
    let (cluster, proxy, _socket) = behind_a_proxy().await;
    let mut far = cluster.enter(0, cluster.sigmund).await;
    cluster.until_heard(1, &mut far).await;
    proxy.stall(Way::There);
    must_come(&cluster, 1, &mut far).await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_message_to_a_node_that_cannot_hear_comes_within_5_s() {
    let (cluster, proxy, mut socket) = behind_a_proxy().await;
    proxy.stall(Way::Back);
    must_come(&cluster, 0, &mut socket).await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_node_that_cannot_be_heard_notices() {
    let (cluster, proxy, mut socket) = behind_a_proxy().await;
    proxy.stall(Way::There);
    until_link(&cluster.client(1), "down").await;
    proxy.mend();
    until_link(&cluster.client(1), "up").await;
    cluster.until_heard(0, &mut socket).await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_link_that_is_stalled_both_ways_heals_and_what_comes_late_comes_once() {
    let (cluster, proxy, mut socket) = behind_a_proxy().await;
    proxy.stall(Way::There);
    proxy.stall(Way::Back);
    must_come(&cluster, 0, &mut socket).await;
    proxy.mend();
    // What was stalled comes now, and was there before.
    must_come(&cluster, 0, &mut socket).await;
    until_link(&cluster.client(1), "up").await;
    must_come(&cluster, 0, &mut socket).await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_link_that_was_cut_is_made_again() {
    let (cluster, proxy, mut socket) = behind_a_proxy().await;
    proxy.cut();
    until_link(&cluster.client(1), "down").await;
    must_come(&cluster, 0, &mut socket).await;
    proxy.mend();
    until_link(&cluster.client(1), "up").await;
    cluster.until_heard(0, &mut socket).await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn nats_that_was_killed_and_started_again_is_used_again() {
    let mut cluster = Cluster::open(2).await;
    let mut socket = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard(0, &mut socket).await;
    cluster.nats.kill().await;
    cluster.until_link("down").await;
    cluster.say(0, "meanwhile").await;
    cluster.nats.restart().await;
    cluster.until_link("up").await;
    cluster.until_heard(0, &mut socket).await;
    cluster.close().await;
}
