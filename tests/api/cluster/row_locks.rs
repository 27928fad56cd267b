//! Locked rows. A server that is frozen inside a transaction delays only the chats of that transaction,
//! and for a bounded time.

use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use testkit::{Client, Person, Process, Room, Server, Store, patiently};
use testkit::{Cluster, until_link};

/// The longest time that a sender may wait for an answer, be it a success or an error.
const ANSWERED: Duration = Duration::from_secs(5);

/// A connection outside of the server that holds a row lock in its transaction.
struct Holder(PgConnection);

impl Holder {
    /// Locks a chat as every writer does.
    async fn lock(url: &str, chat: i64) -> Self {
        let mut holder = Self(PgConnection::connect(url).await.expect("Postgres"));
        holder.run("BEGIN").await;
        let lock = format!("SELECT FROM chat WHERE chat_id = {chat} FOR NO KEY UPDATE");
        holder.run(&lock).await;
        holder
    }

    async fn run(&mut self, text: &str) {
        let sql = sqlx::AssertSqlSafe(text.to_owned());
        sqlx::query(sql).execute(&mut self.0).await.expect(text);
    }

    async fn release(mut self) {
        self.run("COMMIT").await;
    }
}

/// Waits until a row of `pg_stat_activity` for another connection satisfies this SQL condition.
async fn until_another(url: &str, is: &str) {
    let mut connection = PgConnection::connect(url).await.expect("Postgres");
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND pid <> pg_backend_pid() AND {is}"
    );
    patiently(is, async {
        loop {
            let sql = sqlx::AssertSqlSafe(sql.clone());
            let found: i64 = sqlx::query_scalar(sql)
                .fetch_one(&mut connection)
                .await
                .expect("a count");
            if found > 0 {
                return;
            }
        }
    })
    .await;
}

/// Sends a message. It must be stored or refused as `unavailable` within 5 s. Returns whether it was stored.
async fn try_to_say(client: &Client, user: i64, chat: i64) -> bool {
    let begun = Instant::now();
    let body = json!({ "customerId": user, "content": "is this stored?" });
    let reply = client.post(&format!("/chat/{chat}/message"), body).await;
    let took = begun.elapsed();
    assert!(took < ANSWERED, "{took:?}");
    if reply.status == 201 {
        return true;
    }
    reply.expect_error(503, "unavailable");
    false
}

async fn until_said(client: &Client, user: i64, chat: i64) {
    patiently("a message that is stored again", async {
        while !try_to_say(client, user, chat).await {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_locked_chat_is_refused_alone_and_recovers() {
    let room = Room::open(Store::Postgres).await;
    let (client, carl) = (&room.client, room.carl);
    let mut others = Vec::new();
    for n in 0..10 {
        others.push(client.new_chat(&format!("chat {n}")).await);
    }
    let holder = Holder::lock(&room.server.database.url, room.chat).await;
    for _ in 0..3 {
        let saying = others
            .iter()
            .map(|&chat| client.say(carl, chat, "going on"));
        let (stored, said) = tokio::join!(
            try_to_say(client, carl, room.chat),
            futures_util::future::join_all(saying)
        );
        assert!(!stored, "nobody else writes to a locked chat");
        assert_eq!(said.len(), others.len());
    }
    // The server knows that the chat is locked, so a send to it is refused without a wait.
    let begun = Instant::now();
    assert!(!try_to_say(client, carl, room.chat).await);
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    holder.release().await;
    until_said(client, carl, room.chat).await;
    assert_eq!(client.say(carl, room.chat, "again").await["seq"], 2);
    room.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_change_of_a_locked_chat_or_of_its_members_holds_no_other_chat_up() {
    let room = Room::open(Store::Postgres).await;
    let (client, carl) = (&room.client, room.carl);
    let other = client.new_chat("other").await;
    let member = format!("/chat/{}/user/{}", room.chat, room.sigmund);
    let chat = format!("/chat/{}", room.chat);
    let holder = Holder::lock(&room.server.database.url, room.chat).await;
    for (path, body) in [
        (&member, json!({ "role": "admin" })),
        (&chat, json!({ "chatName": "noise" })),
    ] {
        let begun = Instant::now();
        let (refused, _) = tokio::join!(client.put(path, body), client.say(carl, other, "on"));
        let took = begun.elapsed();
        let refused = refused.expect_error(503, "unavailable");
        let said = refused["error"].as_str().expect("a sentence");
        assert!(!said.contains("does not know"), "{said}");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    holder.release().await;
    client
        .put(&chat, json!({ "chatName": "noise" }))
        .await
        .expect(200);
    client
        .put(&member, json!({ "role": "admin" }))
        .await
        .expect(201);
    assert_eq!(client.say(carl, room.chat, "again").await["seq"], 3);
    room.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_server_that_is_frozen_in_a_transaction_gives_its_chats_back() {
    let cluster = Cluster::open(1).await;
    let (carl, chat) = (cluster.carl, cluster.chat);
    let database = &cluster.nodes[0].database;
    let link = cluster.nats.url();
    let settings = [("DATABASE_URL", database.url.as_str()), ("NATS_URL", &link)];
    let frozen = Process::start(database.folder.path(), &settings).await;
    until_link(&frozen.client(), "up").await;
    let first = cluster.say(0, "to be answered").await;
    let holder = Holder::lock(&database.url, chat).await;
    // A reply is stored in a transaction of several statements.
    let client = frozen.client();
    let body = json!({ "customerId": carl, "content": "hm", "replyTo": first["messageId"] });
    let path = format!("/chat/{chat}/message");
    let answering = tokio::spawn(async move { client.post(&path, body).await.status });
    until_another(&database.url, "wait_event_type = 'Lock'").await;
    frozen.freeze().await;
    holder.release().await;
    until_another(&database.url, "state = 'idle in transaction'").await;
    let begun = Instant::now();
    let client = cluster.client(0);
    until_said(&client, carl, chat).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    answering.abort();
    frozen.thaw().await;
    frozen.kill().await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_member_who_is_removed_while_their_message_waits_does_not_send_it() {
    let server = Server::start_required(Store::Postgres).await;
    let (carl, sigmund): (Person, Person) =
        (server.person("carl").await, server.person("sigmund").await);
    let chat = carl.chat("general").await;
    carl.add(chat, &sigmund, "participant").await;
    let url = &server.database.url;
    let mut holder = Holder::lock(url, chat).await;
    let path = format!("/chat/{chat}/message");
    let sending = sigmund.client.post(&path, json!({ "content": "me too" }));
    let (reply, ()) = tokio::join!(sending, async {
        until_another(url, "wait_event_type = 'Lock'").await;
        let remove = format!(
            "DELETE FROM customer_chat WHERE customer_id = {}",
            sigmund.id
        );
        holder.run(&remove).await;
        holder.release().await;
    });
    reply.expect_error(404, "chat_not_found");
    assert_eq!(carl.client.get(&path).await.expect(200), json!([]));
    carl.say(chat, "the first").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn every_unique_key_of_a_chats_rows_holds_the_chat() {
    const SQL: &str = "SELECT i.indexrelid::regclass::text, EXISTS ( \
            SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attname = 'chat_id' \
                AND a.attnum = i.indkey[0]) \
        FROM pg_index i WHERE i.indisunique \
            AND i.indrelid IN ('chat'::regclass, 'message'::regclass, 'customer_chat'::regclass, \
                'membership_change'::regclass)";
    let room = Room::open(Store::Postgres).await;
    let url = &room.server.database.url;
    let mut connection = PgConnection::connect(url).await.expect("Postgres");
    let keys: Vec<(String, bool)> = sqlx::query_as(SQL)
        .fetch_all(&mut connection)
        .await
        .expect("the keys");
    assert!(keys.len() >= 7, "{keys:?}");
    assert!(keys.iter().all(|(_, leads)| *leads), "{keys:?}");
    room.close().await;
}
