//! What strangers may cost, in work and in frames.

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use std::time::{Duration, Instant};
use testkit::{PASSWORD, Server, Store, apply, both_stores, rstest};

#[apply(both_stores)]
async fn a_hidden_message_is_not_read(store: Store) {
    let server = Server::start_required(store).await;
    let (carl, stranger) = (server.person("carl").await, server.person("otto").await);
    let chat = carl.chat("general").await;
    let message = carl.say(chat, "secret").await;
    let rename = "ALTER TABLE message RENAME COLUMN content TO hidden";
    server.database.execute(rename).await;
    for id in [message, message + 1] {
        let refused = stranger.client.get(&format!("/message/{id}")).await;
        refused.expect_error(404, "message_not_found");
    }
    // Who may read it finds that it is broken.
    let broken = carl.client.get(&format!("/message/{message}")).await;
    assert_eq!(broken.status, 500);
}

/// Keeps everyone else from locking the chat, for as long as it lives.
enum Lock {
    Postgres(sqlx::PgConnection),
    Sqlite(SqliteConnection),
}

async fn lock(server: &Server, chat: i64) -> Lock {
    let sql = |text: String| sqlx::raw_sql(sqlx::AssertSqlSafe(text));
    if server.database.url.starts_with("postgres") {
        let mut connection = server.database.postgres().await;
        let lock = format!("BEGIN; SELECT 1 FROM chat WHERE chat_id = {chat} FOR UPDATE");
        let locked = sql(lock).execute(&mut connection).await;
        locked.expect("a lock");
        return Lock::Postgres(connection);
    }
    let mut connection = SqliteConnection::connect(&server.database.url)
        .await
        .expect("the test's database");
    let locked = sql("BEGIN IMMEDIATE".to_owned())
        .execute(&mut connection)
        .await;
    locked.expect("a lock");
    Lock::Sqlite(connection)
}

impl Lock {
    async fn release(self) {
        match self {
            Self::Postgres(connection) => connection.close().await,
            Self::Sqlite(connection) => connection.close().await,
        }
        .expect("a closed connection");
    }
}

#[apply(both_stores)]
async fn a_stranger_waits_for_no_lock_of_a_hidden_chat(store: Store) {
    let server = Server::start_required(store).await;
    let (carl, otto) = (server.person("carl").await, server.person("otto").await);
    let chat = carl.chat("general").await;
    let locked = lock(&server, chat).await;
    for id in [chat, chat + 1] {
        let member = format!("/chat/{id}/user/{}", otto.id);
        let replies = [
            otto.client
                .put(&format!("/chat/{id}"), json!({ "chatName": "x" }))
                .await,
            otto.client.delete(&format!("/chat/{id}")).await,
            otto.client.put(&member, json!({ "role": "admin" })).await,
            otto.client.delete(&member).await,
        ];
        for reply in replies {
            reply.expect_error(404, "chat_not_found");
        }
    }
    locked.release().await;
}

/// The shortest of a few sign-ups with this password: the rest is the machine's other work.
async fn time_of(server: &Server, name: &str, password: &str) -> Duration {
    let mut shortest = Duration::MAX;
    for n in 0..3 {
        let body = json!({ "username": format!("{name} {n}"), "password": password });
        let begin = Instant::now();
        let status = server.client().post("/user", body).await.status;
        shortest = shortest.min(begin.elapsed());
        assert!(matches!(status, 201 | 400), "{status}");
    }
    shortest
}

#[apply(both_stores)]
async fn a_sign_up_costs_the_same_with_every_password(store: Store) {
    let server = Server::start_required(store).await;
    let plain = time_of(&server, "plain", PASSWORD).await;
    // Each character stands for several others, which the judge tries out.
    let disguised: String = "4@8({[<369&#!1/|0$5+7%2"
        .chars()
        .cycle()
        .take(1000)
        .collect();
    for (name, password) in [
        ("disguised", disguised.as_str()),
        ("again", &"ab1!".repeat(250)),
    ] {
        let long = time_of(&server, name, password).await;
        // Judged whole, such a one takes dozens of times as long.
        assert!(
            long < 8 * plain,
            "{name}: {long:?}, and {plain:?} for another"
        );
    }
}

/// People with quotas; passwords are tried freely.
async fn with_quotas(store: Store) -> Server {
    let flags = [
        "--auth=required",
        "--rate-limit=on",
        "--passwords-per-second=1000",
        "--max-chats-per-user=3",
        "--max-memberships-per-user=2",
    ];
    Server::start_with(store, &flags).await
}

fn names_the_limit(error: &Value, limit: &str) {
    let sentence = error["error"].as_str().unwrap_or_default();
    assert!(sentence.contains(limit), "{error}");
}

#[apply(both_stores)]
async fn one_makes_so_many_chats_and_no_more(store: Store) {
    let server = with_quotas(store).await;
    let (carl, dora) = (server.person("carl").await, server.person("dora").await);
    let make = || carl.client.post("/chat", json!({ "chatName": "again" }));
    let made = join_all((0..8).map(|_| make())).await;
    let chats: Vec<_> = made.iter().filter(|reply| reply.status == 201).collect();
    assert_eq!(chats.len(), 3, "of several at once, too");
    let refused = make().await.expect_error(403, "forbidden");
    names_the_limit(&refused, "3 chats");
    // What others make, or make one belong to, does not count.
    dora.chat("hers").await;
    let path = format!("/chat/{}", chats[0].body["chatId"]);
    carl.client.delete(&path).await.expect(204);
    make().await.expect(201);
    make().await.expect_error(403, "forbidden");
}

#[apply(both_stores)]
async fn one_is_added_to_so_many_chats_and_no_more(store: Store) {
    let server = with_quotas(store).await;
    let (carl, dora) = (server.person("carl").await, server.person("dora").await);
    let mut chats = Vec::new();
    for name in ["one", "two", "three"] {
        chats.push(carl.chat(name).await);
    }
    let add = async |chat: i64| {
        let path = format!("/chat/{chat}/user/{}", dora.id);
        carl.client.put(&path, json!({})).await
    };
    let replies = join_all(chats.iter().map(|chat| add(*chat))).await;
    let added = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(added, 2, "of several at once, too");
    let refused = replies.into_iter().find(|reply| reply.status != 201);
    let refused = refused.expect("a refusal").expect_error(403, "forbidden");
    names_the_limit(&refused, "2 chats");
    // One makes chats of one's own all the same, and room by leaving.
    let own = dora.chat("hers").await;
    dora.client
        .delete(&format!("/chat/{own}"))
        .await
        .expect(204);
    for chat in &chats {
        dora.client
            .delete(&format!("/chat/{chat}/user/{}", dora.id))
            .await;
    }
    add(chats[0]).await.expect(201);
    add(chats[0]).await.expect(200);
}
