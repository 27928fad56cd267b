//! A standby that takes over: with everything that was acknowledged it is the same log, without it
//! another.

use crate::{epoch, named, refused};
use serde_json::json;
use testkit::{Database, Loss, PostgresPair, Server, patiently};

/// A server on the two, behind the address that moves.
async fn serve(cluster: &PostgresPair) -> Server {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = cluster.url();
    Server::start_on(Database { url, folder }, &[]).await
}

/// Says something, as soon as the server can store it.
async fn say_in_time(server: &Server, user: i64, chat: i64, text: &str) {
    let path = format!("/chat/{chat}/message");
    let body = json!({ "customerId": user, "content": text, "clientMessageId": text });
    patiently("a message to be stored", async {
        while server.client().post(&path, body.clone()).await.status >= 500 {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_standby_with_all_commits_is_the_same_log() {
    let mut cluster = PostgresPair::start().await.expect("two servers");
    let server = serve(&cluster).await;
    let client = server.client();
    let (carl, chat) = (
        client.new_user("carl").await,
        client.new_chat("general").await,
    );
    server.database.settle(chat, carl).await;
    let before = epoch(&server, carl, chat).await;
    client.say(carl, chat, "one").await;
    cluster.fail_over(Loss::Crash).await.expect("a failover");
    say_in_time(&server, carl, chat, "two").await;
    let content =
        json!({ "customerId": carl, "chatId": chat, "since": { "seq": 1, "epoch": before } });
    let ack = server.socket().await.ask("connect-chat", content).await;
    assert_eq!((named(&ack), &ack["seq"]), (before.clone(), &json!(2)));
    let server = Server::start_on(server.stop().await, &[]).await;
    assert_eq!(epoch(&server, carl, chat).await, before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_standby_without_the_last_commits_is_another_log() {
    let mut cluster = PostgresPair::start().await.expect("two servers");
    let server = serve(&cluster).await;
    let client = server.client();
    let (carl, chat) = (
        client.new_user("carl").await,
        client.new_chat("general").await,
    );
    let mut socket = server.socket().await;
    let before = named(&socket.enter(carl, chat).await);
    client.say(carl, chat, "kept").await;
    cluster.detach().await.expect("a standby that falls behind");
    for text in ["lost", "lost too", "lost as well"] {
        client.say(carl, chat, text).await;
    }
    cluster.fail_over(Loss::Crash).await.expect("a failover");
    assert_eq!(socket.closed().await, 1012);
    say_in_time(&server, carl, chat, "another").await;
    let mut socket = server.socket().await;
    let since = json!({ "seq": 2, "epoch": before });
    refused(&mut socket, carl, chat, since).await;
    assert_ne!(epoch(&server, carl, chat).await, before);
    server.stop().await;
}
