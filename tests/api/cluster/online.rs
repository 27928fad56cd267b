//! The list of online users counts the users of all nodes.

use serde_json::json;
use std::time::{Duration, Instant};
use testkit::{Client, Cluster, Process, Socket, change, passing, patiently, until_link};

/// Queries a node until exactly these users are online. `asking` is one of them.
async fn until_online(cluster: &Cluster, node: usize, asking: i64, mut users: Vec<i64>) {
    users.sort_unstable();
    patiently(&format!("{users:?} to be online"), async {
        while Box::pin(cluster.online(node, asking)).await != users {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Waits for this ephemeral frame. Skips other frames.
async fn until_passing(socket: &mut Socket, kind: &str, name: &str, user: i64, chat: i64) {
    let expected = passing(kind, name, user, chat);
    socket.frames_until(|frame| *frame == expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn online_counts_the_users_of_all_nodes() {
    let cluster = Cluster::open(3).await;
    let dora = cluster.client(0).new_user("dora").await;
    let carl = cluster.enter(0, cluster.carl).await;
    let _sigmund = cluster.enter(1, cluster.sigmund).await;
    let all = vec![cluster.carl, cluster.sigmund, dora];
    until_online(&cluster, 2, dora, all.clone()).await;
    until_online(&cluster, 0, dora, all).await;
    carl.close().await;
    until_online(&cluster, 2, dora, vec![cluster.sigmund, dora]).await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_user_joins_with_the_first_socket_and_leaves_with_the_last_on_any_node() {
    let cluster = Cluster::open(2).await;
    let (chat, carl) = (cluster.chat, cluster.carl);
    let mut watchers = [
        cluster.enter(0, cluster.sigmund).await,
        cluster.enter(1, cluster.sigmund).await,
    ];
    cluster.until_heard(0, &mut watchers[1]).await;
    cluster.until_heard(1, &mut watchers[0]).await;
    let first = cluster.enter(0, carl).await;
    for watcher in &mut watchers {
        until_passing(watcher, "join", "carl", carl, chat).await;
    }
    let second = cluster.enter(1, carl).await;
    first.close().await;
    let third = cluster.enter(0, carl).await;
    second.close().await;
    third.close().await;
    cluster.say(0, "the end").await;
    for watcher in &mut watchers {
        let frames = watcher.frames_until(|frame| frame["type"] == "leave").await;
        let joins = frames.iter().filter(|frame| frame["type"] == "join");
        assert_eq!(joins.count(), 0, "{frames:?}");
        let left = passing("leave", "carl", carl, chat);
        assert_eq!(frames.last(), Some(&left));
    }
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_killed_nodes_users_are_gone_within_15_s() {
    let cluster = Cluster::open(2).await;
    let server = &cluster.nodes[0].database;
    let url = cluster.nats.url();
    let settings = [("DATABASE_URL", server.url.as_str()), ("NATS_URL", &url)];
    let process = Process::start(server.folder.path(), &settings).await;
    until_link(&process.client(), "up").await;
    let mut watcher = cluster.enter(1, cluster.sigmund).await;
    let mut doomed = process.socket().await;
    doomed.enter(cluster.carl, cluster.chat).await;
    until_passing(&mut watcher, "join", "carl", cluster.carl, cluster.chat).await;
    process.kill().await;
    let killed = Instant::now();
    until_passing(&mut watcher, "leave", "carl", cluster.carl, cluster.chat).await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_frozen_nodes_users_are_gone_within_15_s_and_come_back_and_nobody_else_moves() {
    let cluster = Cluster::open(2).await;
    let (carl, chat) = (cluster.carl, cluster.chat);
    let database = &cluster.nodes[0].database;
    let url = cluster.nats.url();
    let settings = [("DATABASE_URL", database.url.as_str()), ("NATS_URL", &url)];
    let process = Process::start(database.folder.path(), &settings).await;
    until_link(&process.client(), "up").await;
    let dora = cluster.client(0).new_user("dora").await;
    let mut watchers = [
        cluster.enter(0, cluster.sigmund).await,
        cluster.enter(1, dora).await,
    ];
    let mut frozen = process.socket().await;
    frozen.enter(carl, chat).await;
    for watcher in &mut watchers {
        until_passing(watcher, "join", "carl", carl, chat).await;
    }
    let everyone = vec![carl, cluster.sigmund, dora];
    until_online(&cluster, 0, dora, everyone.clone()).await;
    until_online(&cluster, 1, cluster.sigmund, everyone).await;
    let before = cluster.say(0, "before").await;
    for socket in watchers.iter_mut().chain([&mut frozen]) {
        let is_it = |frame: &serde_json::Value| frame["content"] == before;
        socket.frames_until(is_it).await;
    }
    for (kind, act) in [("leave", true), ("join", false)] {
        match act {
            true => process.freeze().await,
            false => process.thaw().await,
        }
        let begun = Instant::now();
        for watcher in &mut watchers {
            let moved =
                |frame: &serde_json::Value| frame["type"] == "leave" || frame["type"] == "join";
            let frames = watcher.frames_until(moved).await;
            assert_eq!(frames.last(), Some(&passing(kind, "carl", carl, chat)));
            let took = begun.elapsed();
            assert!(took < Duration::from_secs(15), "{kind}: {took:?}");
        }
    }
    let after = cluster.say(0, "after").await;
    for socket in watchers.iter_mut().chain([&mut frozen]) {
        let frames = socket.frames_until(|frame| frame["content"] == after).await;
        let others = frames.iter().filter(|frame| change(frame).is_none());
        let moves = others.filter(|frame| frame.get("customerId").is_some());
        assert_eq!(moves.count(), 0, "{frames:?}");
    }
    process.kill().await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn who_came_and_went_without_the_link_is_known_with_it() {
    let mut cluster = Cluster::open(2).await;
    let client: Client = cluster.client(0);
    let dora = client.new_user("dora").await;
    let carl = cluster.enter(0, cluster.carl).await;
    let mut watcher = cluster.enter(1, cluster.sigmund).await;
    until_online(
        &cluster,
        1,
        cluster.sigmund,
        vec![cluster.carl, cluster.sigmund],
    )
    .await;
    cluster.nats.kill().await;
    cluster.until_link("down").await;
    carl.close().await;
    let _dora = cluster.enter(0, dora).await;
    cluster.nats.restart().await;
    cluster.until_link("up").await;
    until_passing(&mut watcher, "join", "dora", dora, cluster.chat).await;
    until_online(&cluster, 1, cluster.sigmund, vec![cluster.sigmund, dora]).await;
    until_online(&cluster, 0, dora, vec![cluster.sigmund, dora]).await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn typing_is_seen_on_every_node() {
    let cluster = Cluster::open(2).await;
    let mut watcher = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard(0, &mut watcher).await;
    let mut carl = cluster.enter(0, cluster.carl).await;
    let content = json!({ "chatId": cluster.chat });
    carl.send(json!({ "type": "start-typing", "content": content }))
        .await;
    let typing = watcher.until("start-typing").await;
    assert_eq!(typing["customerId"], cluster.carl);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_new_name_is_seen_on_every_node() {
    let cluster = Cluster::open(2).await;
    let (chat, carl) = (cluster.chat, cluster.carl);
    let mut watcher = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard(0, &mut watcher).await;
    let mut socket = cluster.enter(0, carl).await;
    until_passing(&mut watcher, "join", "carl", carl, chat).await;
    // The rename goes to the node where carl is not connected.
    let renamed = json!({ "username": "karl" });
    let path = format!("/user/{carl}");
    cluster.client(1).put(&path, renamed).await.expect(200);
    // Both nodes have the new name once the link has carried it.
    let online = json!({ "customerId": carl, "username": "karl" });
    for node in [0, 1] {
        let seen = Box::pin(async {
            loop {
                let mut asking = cluster.nodes[node].socket().await;
                let ack = asking.enter(cluster.sigmund, chat).await;
                if ack["online"]
                    .as_array()
                    .is_some_and(|all| all.contains(&online))
                {
                    return;
                }
            }
        });
        patiently("the new name", seen).await;
    }
    socket
        .send(json!({ "type": "start-typing", "content": { "chatId": chat } }))
        .await;
    until_passing(&mut watcher, "start-typing", "karl", carl, chat).await;
    socket.close().await;
    until_passing(&mut watcher, "leave", "karl", carl, chat).await;
    cluster.close().await;
}
