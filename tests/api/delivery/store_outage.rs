//! A store that is away or busy, and a store that refuses one message.

use futures_util::future::{join, join_all};
use serde_json::json;
use sqlx::Executor;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use testkit::{
    Client, Postgres, Room, Server, Socket, Store, apply, both_stores, change, patiently, rstest,
};
use tokio_util::sync::CancellationToken;

/// Within this every send is answered.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Sends a message that must be refused in time.
async fn refused_in_time(socket: &mut Socket, chat: i64) {
    let begun = Instant::now();
    let content = json!({ "chatId": chat, "content": "lost" });
    socket.refused("send-message", content, "unavailable").await;
    let took = begun.elapsed();
    assert!(took < ANSWER_LIMIT, "{took:?}");
}

async fn until_ready(client: &Client) {
    let asking = async { while client.get("/health/ready").await.status != 200 {} };
    patiently("the server to recover", asking).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn while_postgres_is_away_every_send_is_refused_in_time() {
    let postgres = Postgres::start().await;
    let server = Server::start_on(postgres.database(), &[]).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    server.database.settle(chat, carl).await;
    let (mut one, mut two) = (server.socket().await, server.socket().await);
    one.enter(carl, chat).await;
    two.enter(carl, chat).await;
    postgres.control(&["stop", "-m", "immediate"]).await;
    // What comes while another waits for the store waits no longer than that one.
    let second = async {
        let ready = client.get("/health/ready").await;
        ready.expect_error(503, "unavailable");
        refused_in_time(&mut two, chat).await;
    };
    join(refused_in_time(&mut one, chat), second).await;
    let asked = client.get(&format!("/chat/{chat}")).await;
    asked.expect_error(503, "unavailable");
    client.get("/health/live").await.expect(200);

    postgres.control(&["start"]).await;
    until_ready(&client).await;
    let stored = one.say(chat, "back again").await;
    assert_eq!(stored["seq"], 1, "nothing was stored before: {stored}");
    let frames = two.frames_until(|frame| change(frame).is_some()).await;
    let told = frames.last().expect("the message");
    assert_eq!(told["content"]["content"], "back again");
    server.stop().await;
}

/// On Postgres alone: the embedded database's reads and writes have connections of their own anyway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_send_does_not_wait_for_the_slow_requests_of_others() {
    const OTHERS: usize = 14;
    let room = Room::open(Store::Postgres).await;
    let mut carl = room.enter(room.carl).await;
    let names: Vec<String> = (0..OTHERS).map(|n| format!("other{n}")).collect();
    let others = join_all(names.iter().map(|name| room.client.new_user(name))).await;
    let database = &room.server.database;
    let mut locker = database.postgres().await;
    let lock = "BEGIN; SELECT FROM customer WHERE username LIKE 'other%' FOR UPDATE";
    locker.execute(lock).await.expect("a lock");
    // Each renames itself, waits for the lock, is refused when the wait is over, and tries again.
    let stop = CancellationToken::new();
    let slow = tokio::spawn({
        let (client, stop) = (room.client.clone(), stop.clone());
        async move {
            let renaming = others.iter().map(async |user| {
                let (path, change) = (
                    format!("/user/{user}"),
                    json!({ "username": format!("new{user}") }),
                );
                while !stop.is_cancelled() {
                    client.put(&path, change.clone()).await;
                }
            });
            join_all(renaming).await
        }
    });
    // Of the ten connections, all that are for everyone.
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let stuck = async { while database.number(waiting).await < 5 {} };
    patiently("the connections to be taken", stuck).await;
    for n in 0..20 {
        let begun = Instant::now();
        carl.say(room.chat, &format!("message {n}")).await;
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(1500), "{took:?}");
    }
    room.client.get("/health/ready").await.expect(200);
    stop.cancel();
    locker.execute("ROLLBACK").await.expect("no lock");
    slow.await.expect("answers");
    room.close().await;
}

#[apply(both_stores)]
async fn a_message_that_the_store_refuses_fails_alone(store: Store) {
    const POSTGRES: &str = "CREATE FUNCTION choke() RETURNS trigger LANGUAGE plpgsql \
            AS $$ BEGIN RAISE EXCEPTION 'poison'; END $$; \
        CREATE TRIGGER chokes BEFORE INSERT ON message FOR EACH ROW \
            WHEN (NEW.content = 'poison') EXECUTE FUNCTION choke()";
    const SQLITE: &str = "CREATE TRIGGER chokes BEFORE INSERT ON message \
        WHEN NEW.content = 'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END";
    let room = Room::of_members(store).await;
    let trigger = match store {
        Store::Postgres => POSTGRES,
        Store::Sqlite => SQLITE,
    };
    room.server.database.execute(trigger.to_owned()).await;
    let mut carl = room.enter(room.carl).await;
    let text = |n: usize| match n % 10 {
        7 => "poison".to_owned(),
        _ => format!("message {n}"),
    };
    let send = |n: usize| {
        let content = json!({ "chatId": room.chat, "content": text(n) });
        json!({ "type": "send-message", "id": n, "content": content })
    };
    for n in 0..40 {
        carl.send(send(n)).await;
    }
    let (mut waiting, mut seqs) = (BTreeSet::from_iter(0..40), BTreeSet::new());
    while !waiting.is_empty() {
        let frames = carl.frames_until(|frame| frame.get("id").is_some()).await;
        let answer = frames.last().expect("an answer");
        let n = answer["id"].as_u64().expect("a number") as usize;
        if answer["content"]["code"] == "unavailable" {
            // A slow disk leaves no time for each message of a failed batch. The answer says that nothing
            // was stored.
            carl.send(send(n)).await;
            continue;
        }
        assert!(waiting.remove(&n), "{answer}");
        if text(n) == "poison" {
            assert_eq!(answer["content"]["code"], "internal", "{answer}");
        } else {
            assert_eq!(answer["type"], "ack", "{answer}");
            seqs.insert(answer["content"]["seq"].as_i64().expect("a number"));
        }
    }
    assert_eq!(seqs, (1..=36).collect());
    assert_eq!(room.history().await.len(), 36);
    room.close().await;
}
