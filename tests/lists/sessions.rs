//! Which session ends for a further one.

use serde_json::Value;
use testkit::{Server, Store, apply, both_stores, rstest};

#[apply(both_stores)]
async fn a_further_login_ends_the_least_used_session_and_none_with_an_open_socket(store: Store) {
    let server = Server::start_required(store).await;
    let carl = server.person("carl").await;
    let quiet = carl.again().await;
    let idle = carl.again().await;
    let chat = carl.chat("general").await;
    let mut socket = quiet.enter(&server, chat).await;
    // 97 others that were used after these three, made beside the server: each login takes a hash.
    let rows = match store {
        Store::Sqlite => {
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 97) \
             INSERT INTO session (customer_id, token_hash, created_at, last_used_at, expires_at) \
             SELECT 1, randomblob(32), '2026-01-01T00:00:00+00:00', '2900-01-01T00:00:00+00:00', \
                 '2999-01-01T00:00:00+00:00' FROM n"
        }
        Store::Postgres => {
            "INSERT INTO session (customer_id, token_hash, created_at, last_used_at, expires_at) \
             SELECT 1, sha256(n::text::bytea), now(), '2900-01-01', '2999-01-01' \
             FROM generate_series(1, 97) AS n"
        }
    };
    server.database.execute(rows.to_owned()).await;
    // Used, and not stored yet.
    carl.client.get("/me").await.expect(200);
    let again = carl.again().await;
    idle.client
        .get("/me")
        .await
        .expect_error(401, "unauthorized");
    carl.client.get("/me").await.expect(200);
    let said = socket.say(chat, "still here").await;
    assert_eq!(said["content"], Value::from("still here"));
    assert_eq!(again.client.list("/session").await.len(), 100);
}
