//! A deletion, removal or logout on one node takes effect on every node: at once over the link, and
//! without the link within a bound, by the comparison with the database.

use serde_json::json;
use std::{
    future::Future,
    time::{Duration, Instant},
};
use testkit::{Cluster, until_link};
use testkit::{Nats, Server, Store};

/// Prevents comparisons with the database after the start, so that every effect comes over the link.
const UNCOMPARED: &str = "--compare-seconds=3600";
/// The longest time until an effect on the other node without the link.
const BOUND: Duration = Duration::from_secs(5);

/// Waits for an effect. Without the link, checks that it comes within `BOUND`.
async fn in_time<T>(linked: bool, happens: impl Future<Output = T>) -> T {
    let done = Instant::now();
    let happened = happens.await;
    let took = done.elapsed();
    assert!(linked || took < BOUND, "{took:?}");
    happened
}

/// Starts two nodes. With `linked` their link works and they never compare themselves with the database.
/// Without it the link is down and they compare.
async fn cluster(linked: bool) -> Cluster {
    if linked {
        return Cluster::open_with(2, &[UNCOMPARED]).await;
    }
    let mut cluster = Cluster::open(2).await;
    cluster.nats.kill().await;
    cluster.until_link("down").await;
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_chat_deleted_on_another_node_closes() {
    deleted_chat(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_chat_deleted_on_another_node_closes_without_the_link() {
    deleted_chat(false).await;
}

async fn deleted_chat(linked: bool) {
    let cluster = cluster(linked).await;
    let mut sigmund = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard_if(linked, &mut sigmund).await;
    let path = format!("/chat/{}", cluster.chat);
    cluster.client(0).delete(&path).await.expect(204);
    let closed = in_time(linked, sigmund.until("delete-chat")).await;
    assert_eq!(closed["content"], cluster.chat);
    let text = json!({ "chatId": cluster.chat, "content": "anybody?" });
    sigmund.refused("send-message", text, "not_connected").await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_member_removed_on_another_node_hears_so_and_then_nothing() {
    let cluster = cluster(true).await;
    let mut sigmund = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard(0, &mut sigmund).await;
    remove_sigmund(&cluster).await;
    cluster.say(0, "between us").await;
    let expected = json!({ "type": "leave-chat", "content": cluster.chat });
    assert_eq!(sigmund.next().await, expected);
    let text = json!({ "chatId": cluster.chat, "content": "me too" });
    sigmund
        .send(json!({ "type": "send-message", "id": 1, "content": text }))
        .await;
    let answer = sigmund.expect_error("not_connected").await;
    assert_eq!(answer["id"], 1, "nothing comes before the answer");
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_member_removed_on_another_node_hears_so_without_the_link() {
    let cluster = cluster(false).await;
    let mut sigmund = cluster.enter(1, cluster.sigmund).await;
    let mut carl = cluster.enter(1, cluster.carl).await;
    remove_sigmund(&cluster).await;
    let left = in_time(false, sigmund.until("leave-chat")).await;
    assert_eq!(left["content"], cluster.chat);
    // The other users stay connected.
    assert!(carl.say(cluster.chat, "still here").await["seq"].is_i64());
    cluster.close().await;
}

async fn remove_sigmund(cluster: &Cluster) {
    let path = format!("/chat/{}/user/{}", cluster.chat, cluster.sigmund);
    cluster.client(0).delete(&path).await.expect(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_user_deleted_on_another_node_is_cut_off() {
    deleted_user(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_user_deleted_on_another_node_is_cut_off_without_the_link() {
    deleted_user(false).await;
}

async fn deleted_user(linked: bool) {
    let cluster = cluster(linked).await;
    let mut carl = cluster.enter(1, cluster.carl).await;
    let mut sigmund = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard_if(linked, &mut carl).await;
    let message = sigmund.say(cluster.chat, "my last").await;
    let path = format!("/user/{}", cluster.sigmund);
    cluster.client(0).delete(&path).await.expect(204);
    let ended = async { tokio::join!(sigmund.closed(), carl.until("delete-message")) };
    let (code, buried) = in_time(linked, ended).await;
    assert_eq!(code, 4001);
    assert_eq!(buried["content"], message["messageId"]);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_session_ended_on_another_node_is_cut_off() {
    ended_session(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_session_ended_on_another_node_is_cut_off_without_the_link() {
    ended_session(false).await;
}

/// Starts two nodes in required mode and their NATS, which is stopped unless `linked`.
async fn signed_in_nodes(linked: bool) -> (Nats, Server, Server) {
    let mut nats = Nats::start().await;
    let link = format!("--nats-url={}", nats.url());
    let mut flags = vec!["--auth=required", &link];
    flags.extend(linked.then_some(UNCOMPARED));
    let here = Server::start_with(Store::Postgres, &flags).await;
    let there = here.beside(&flags).await;
    until_link(&there.client(), "up").await;
    if !linked {
        nats.kill().await;
        until_link(&there.client(), "down").await;
    }
    (nats, here, there)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_new_password_on_another_node_cuts_the_other_sessions_off() {
    new_password(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_new_password_on_another_node_cuts_the_other_sessions_off_without_the_link() {
    new_password(false).await;
}

async fn new_password(linked: bool) {
    let (_nats, here, there) = signed_in_nodes(linked).await;
    let carl = here.person("carl").await;
    let chat = carl.chat("general").await;
    let again = carl.again().await;
    let mut staying = carl.enter(&there, chat).await;
    let mut ending = again.enter(&there, chat).await;
    let change = json!({ "password": "battery staple" });
    let path = format!("/user/{}", carl.id);
    carl.client.put(&path, change).await.expect(200);
    assert_eq!(ending.closed().await, 4001);
    let content = json!({ "chatId": chat, "content": "it was me" });
    assert_eq!(staying.ask("send-message", content).await["seq"], 1);
    here.stop().await;
    there.stop().await;
}

async fn ended_session(linked: bool) {
    let (_nats, here, there) = signed_in_nodes(linked).await;
    let carl = here.person("carl").await;
    let chat = carl.chat("general").await;
    let again = carl.again().await;
    let mut ending = carl.enter(&there, chat).await;
    let mut staying = again.enter(&there, chat).await;
    carl.client.post("/logout", json!({})).await.expect(204);
    assert_eq!(in_time(linked, ending.closed()).await, 4001);
    let content = json!({ "chatId": chat, "content": "my other session goes on" });
    assert_eq!(staying.ask("send-message", content).await["seq"], 1);
    here.stop().await;
    there.stop().await;
}
