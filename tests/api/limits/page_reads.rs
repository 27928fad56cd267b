//! Reads of pages: one user takes neither all connections to the database nor all turns to search.

use futures_util::future::join_all;
use sqlx::Executor;
use testkit::{Client, Person, Reply, Server, Store, apply, both_stores, patiently, rstest};
use tokio::task::JoinHandle;

/// Far more searches than the server runs at once.
const SEARCHES: usize = 100;
/// The messages of a long chat: as many as one search reads.
const LONG: i64 = 20_000;
/// A query that counts the searches that wait for a lock.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock' \
                       AND query LIKE 'SELECT message_id, content FROM message%'";

/// A server that limits each user, and rates as little as it can.
async fn start(store: Store) -> Server {
    let flags = [
        "--auth=required",
        "--rate-limit=on",
        "--requests-per-second=100000",
        "--messages-per-second=1000",
    ];
    Server::start_with(store, &flags).await
}

fn search(client: &Client, chat: i64) -> JoinHandle<Reply> {
    let (client, path) = (client.clone(), format!("/chat/{chat}/message?q=needle"));
    tokio::spawn(async move { client.get(&path).await })
}

/// Waits for the answers to searches: each is found or refused.
async fn until_answered(searches: Vec<JoinHandle<Reply>>) {
    let answers = patiently("the answers", join_all(searches)).await;
    for answer in answers {
        let reply = answer.expect("an answer");
        match reply.status {
            200 => {}
            _ => {
                assert!(!reply.header("retry-after").is_empty());
                reply.expect_error(503, "unavailable");
            }
        }
    }
}

#[apply(both_stores)]
async fn the_searches_of_one_user_leave_connections_to_others(store: Store) {
    let server = start(store).await;
    let (carl, sigmund) = (server.person("carl").await, server.person("sigmund").await);
    let long = carl.chat("long").await;
    server.database.fill(long, carl.id, LONG, "hay").await;
    let quiet = sigmund.chat("quiet").await;
    sigmund.say(quiet, "a needle").await;

    let searches = (0..SEARCHES).map(|_| search(&carl.client, long)).collect();
    for _ in 0..10 {
        for path in [
            "/chat".to_owned(),
            format!("/chat/{quiet}/message"),
            format!("/chat/{quiet}/message?q=needle"),
            format!("/user/{}/chat", sigmund.id),
        ] {
            sigmund.client.get(&path).await.expect(200);
        }
        server.client().get("/health/ready").await.expect(200);
    }
    sigmund.again().await;
    until_answered(searches).await;
    server.stop().await;
}

/// On Postgres alone: a reader of the embedded database waits for no lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_user_searches_twice_at_once_and_others_search_beside() {
    let server = start(Store::Postgres).await;
    let (carl, sigmund) = (server.person("carl").await, server.person("sigmund").await);
    let chat = carl.chat("general").await;
    carl.add(chat, &sigmund, "participant").await;
    let database = &server.database;
    let mut locker = database.postgres().await;
    let lock = "BEGIN; LOCK TABLE message IN ACCESS EXCLUSIVE MODE";
    locker.execute(lock).await.expect("a lock");

    let searching = |person: &Person| search(&person.client, chat);
    let mut searches: Vec<_> = (0..SEARCHES).map(|_| searching(&carl)).collect();
    database.until(WAITING, 2).await;
    // The third connection for searches is free for other users, and the others for other requests.
    searches.push(searching(&sigmund));
    database.until(WAITING, 3).await;
    for _ in 0..20 {
        sigmund.client.get("/chat").await.expect(200);
        server.client().get("/health/ready").await.expect(200);
        let waiting = database.number(WAITING).await;
        assert!(waiting <= 3, "{waiting} searches");
    }
    sigmund.again().await;
    locker.execute("ROLLBACK").await.expect("no lock");
    until_answered(searches).await;
    server.stop().await;
}
