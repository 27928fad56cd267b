//! Passwords that the original stored as they came.

use futures_util::future::join_all;
use serde_json::json;
use testkit::{Database, Process, Store};

const PLAIN: &str = "SELECT count(*) FROM customer WHERE password LIKE 'plain:%'";

/// A database of so many users with passwords that are not hashed yet.
async fn unhashed(users: i64) -> Database {
    let database = Database::new(Store::Postgres).await;
    database.command(&["migrate"]).await.expect_success();
    let fill = format!(
        "INSERT INTO customer (username, password, created_at) \
         SELECT 'user ' || n, 'plain:secret of ' || n, now() FROM generate_series(1, {users}) AS n"
    );
    database.execute(fill).await;
    database
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn whoever_is_not_hashed_yet_signs_in_while_the_others_are_hashed() {
    let database = unhashed(3000).await;
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("RATE_LIMIT", "off"),
    ];
    let first = Process::start(database.folder.path(), &settings).await;
    assert!(
        database.number(PLAIN.to_owned()).await > 0,
        "it listens before"
    );
    let second = Process::start(database.folder.path(), &settings).await;
    // From the end, where the work comes last; twice at once, on both servers.
    for n in [3000, 2999] {
        let (name, password) = (format!("user {n}"), format!("secret of {n}"));
        let wrong = json!({ "username": name, "password": format!("plain:{password}") });
        let wrong = first.client().post("/login", wrong).await;
        wrong.expect_error(401, "unauthorized");
        let clients = [
            first.client(),
            second.client(),
            first.client(),
            second.client(),
        ];
        let logins = clients.iter().map(|client| client.login(&name, &password));
        join_all(logins).await;
    }
    assert!(database.number(PLAIN.to_owned()).await > 0, "still at work");
    let refused = database.command(&["export"]).await;
    let said = refused.expect_failure(&["passwords are not hashed yet"]);
    assert!(!said.contains("secret of"), "{said}");
    // What a kill leaves is done by the other, and by the next start.
    first.kill().await;
    second.kill().await;
    database
        .execute("DELETE FROM customer WHERE customer_id BETWEEN 200 AND 2900".to_owned())
        .await;
    let third = Process::start(database.folder.path(), &settings).await;
    database.until(PLAIN, 0).await;
    for n in [1, 150, 2950, 3000] {
        third
            .client()
            .login(&format!("user {n}"), &format!("secret of {n}"))
            .await;
    }
    let (_, log) = third.stop().await;
    assert!(log.contains("replaced plain passwords"), "{log}");
    assert!(!log.contains("secret of"), "no password is logged");
}
