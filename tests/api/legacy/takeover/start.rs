//! The changes of the first start to the original's rows, which later starts leave alone.

use super::{PASSWORDS, connect, kept, original, until_hashed};
use argon2::{Argon2, PasswordVerifier};
use futures_util::future::join_all;
use testkit::{Process, Server, field};

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn every_row_stays_with_its_id_and_its_time() {
    let database = original().await;
    let before = kept(&database).await;
    assert!(
        before[3].contains("2021-12-31T23:58:59.990116"),
        "times have microseconds"
    );
    let server = Server::start_on(database, &[]).await;
    assert_eq!(kept(&server.database).await, before);
    let client = server.client();
    let users = client.list("/user").await;
    assert_eq!(field(&users, "customerId"), [1, 3, 4, 5]);
    assert_eq!(
        field(&users, "username"),
        ["carl", "O'Brien", "clever", "marked"]
    );
    assert_eq!(field(&client.list("/chat").await, "chatId"), [1, 2, 4]);
    // Roles that the original took and this server does not know take part.
    let members = client.list("/user/chat/2").await;
    assert_eq!(field(&members, "role"), ["participant", "admin"]);
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn messages_are_numbered_in_each_chat_by_their_ids() {
    let server = Server::start_on(original().await, &[]).await;
    let client = server.client();
    let numbers: Vec<i64> = (1..=200).collect();
    for chat in [1, 2] {
        let changes = client
            .list(&format!("/chat/{chat}/message?since=0&limit=1000"))
            .await;
        assert_eq!(field(&changes, "seq"), numbers);
        assert!(changes.is_sorted_by_key(|message| message["messageId"].as_i64()));
        let page = client
            .list(&format!("/chat/{chat}/message?limit=1000"))
            .await;
        assert_eq!(page, changes);
        assert_eq!(client.say(1, chat, "Next.").await["seq"], 201);
    }
    assert_eq!(client.list("/chat/4/message").await.len(), 0);
    assert_eq!(client.say(1, 4, "First.").await["seq"], 1);
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn passwords_are_replaced_by_hashes_of_them() {
    let server = Server::start_on(original().await, &[]).await;
    until_hashed(&server.database).await;
    let stored = server.database.stored_passwords().await;
    assert_eq!(stored.len(), PASSWORDS.len());
    for ((id, hash), (expected, name, password)) in stored.iter().zip(PASSWORDS) {
        assert_eq!(*id, expected);
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{name}: {hash}"
        );
        let verified = Argon2::default().verify_password(password.as_bytes(), hash.as_str());
        assert!(verified.is_ok(), "{name}: the hash is of something else");
    }
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_second_start_changes_nothing() {
    let first = Server::start_on(original().await, &[]).await;
    until_hashed(&first.database).await;
    let database = first.stop().await;
    let (rows, passwords) = (kept(&database).await, database.stored_passwords().await);
    let server = Server::start_on(database, &[]).await;
    assert_eq!(kept(&server.database).await, rows);
    assert_eq!(server.database.stored_passwords().await, passwords);
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_start_that_was_broken_off_is_finished_by_the_next() {
    let first = Server::start_on(original().await, &[]).await;
    until_hashed(&first.database).await;
    let database = first.stop().await;
    let before = database.stored_passwords().await;
    let mut db = connect(&database).await;
    // As the migration leaves it, before the server has come to hash it.
    sqlx::query("UPDATE customer SET password = 'plain:' || $1 WHERE customer_id = 3")
        .bind(PASSWORDS[1].2)
        .execute(&mut db)
        .await
        .expect("a plain password");
    let server = Server::start_on(database, &[]).await;
    until_hashed(&server.database).await;
    let after = server.database.stored_passwords().await;
    let verify = |password: &str| {
        Argon2::default().verify_password(password.as_bytes(), after[1].1.as_str())
    };
    assert!(verify(PASSWORDS[1].2).is_ok());
    for place in [0, 2, 3] {
        assert_eq!(after[place], before[place], "hashes stay as they are");
    }
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn many_passwords_are_hashed_behind_the_start() {
    let database = original().await;
    let mut db = connect(&database).await;
    const MANY: &str = "INSERT INTO customer (username, password)
        SELECT 'user ' || n, 'password ' || n FROM generate_series(1, 150) AS n";
    sqlx::raw_sql(MANY).execute(&mut db).await.expect("users");
    let server = Server::start_on(database, &[]).await;
    until_hashed(&server.database).await;
    let stored = server.database.stored_passwords().await;
    assert_eq!(stored.len(), 154);
    for (id, hash) in stored {
        assert!(hash.starts_with("$argon2id$"), "{id}: {hash}");
    }
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn several_servers_may_take_over_at_once() {
    let database = original().await;
    let before = kept(&database).await;
    let settings = [("DATABASE_URL", database.url.as_str())];
    let starting = (0..3).map(|_| Process::start(database.folder.path(), &settings));
    let processes = join_all(starting).await;
    assert_eq!(kept(&database).await, before);
    until_hashed(&database).await;
    for ((_, hash), (_, name, password)) in database.stored_passwords().await.iter().zip(PASSWORDS)
    {
        let verified = Argon2::default().verify_password(password.as_bytes(), hash.as_str());
        assert!(verified.is_ok(), "{name}: {hash}");
    }
    for (process, seq) in processes.iter().zip(201..) {
        assert_eq!(process.client().say(1, 1, "Next.").await["seq"], seq);
    }
}
