//! Tokens after each kind of end, and tokens in the wrong place.

use serde_json::json;
use sha2::{Digest, Sha256};
use testkit::{Server, Socket, Store, apply, both_stores, patiently, rstest};
use tokio::task::yield_now;

/// Waits until the database keeps nothing of any token.
async fn until_nothing_is_stored(server: &Server) {
    let waiting = async {
        while !server.database.stored_token_hashes().await.is_empty() {
            yield_now().await;
        }
    };
    patiently("the sweep", waiting).await;
}

#[apply(both_stores)]
async fn what_has_expired_is_not_stored_any_more(store: Store) {
    let flags = ["--auth=required", "--session-sweep-seconds=0.05"];
    let server = Server::start_with(store, &flags).await;
    server.person("carl").await;
    assert_eq!(server.database.stored_token_hashes().await.len(), 1);
    server.database.run(EXPIRED).await;
    until_nothing_is_stored(&server).await;
}

#[apply(both_stores)]
async fn what_was_not_used_is_not_stored_any_more(store: Store) {
    let flags = ["--auth=required", "--session-sweep-seconds=0.05"];
    let server = Server::start_with(store, &flags).await;
    server.person("carl").await;
    let unused = "UPDATE session SET last_used_at = '2020-01-01T00:00:00+00:00'";
    server.database.run(unused).await;
    until_nothing_is_stored(&server).await;
}

const EXPIRED: &str = "UPDATE session SET expires_at = '2020-01-01T00:00:00+00:00'";

#[apply(both_stores)]
async fn an_expired_token_opens_nothing_before_it_is_swept(store: Store) {
    let flags = ["--auth=required", "--session-sweep-seconds=3600"];
    let server = Server::start_with(store, &flags).await;
    let carl = server.person("carl").await;
    let chat = carl.chat("general").await;
    server.database.run(EXPIRED).await;
    let reply = carl.client.get("/me").await;
    reply.expect_error(401, "unauthorized");
    let proof = format!("Bearer {}", carl.token);
    let opened = Socket::open_with(server.address, &[("authorization", &proof)]).await;
    assert_eq!(opened.err(), Some(401));
    let mut socket = server.socket().await;
    socket
        .refused("connect-chat", carl.connect(chat), "unauthorized")
        .await;
    let stored = server.database.stored_token_hashes().await;
    assert_eq!(stored.len(), 1, "it was not swept");
}

#[apply(both_stores)]
async fn a_session_ended_by_its_id_loses_its_sockets(store: Store) {
    let server = Server::start_required(store).await;
    let carl = server.person("carl").await;
    let again = carl.again().await;
    let chat = carl.chat("general").await;
    let mut ending = carl.enter(&server, chat).await;
    let mut staying = again.enter(&server, chat).await;
    let sessions = again.client.list("/session").await;
    let other = sessions.iter().find(|session| session["current"] == false);
    let path = format!("/session/{}", other.expect("the other")["sessionId"]);
    again.client.delete(&path).await.expect(204);
    assert_eq!(ending.closed().await, 4001);
    staying.say(chat, "Still here.").await;
}

#[apply(both_stores)]
async fn the_session_that_is_one_too_many_loses_its_sockets(store: Store) {
    let server = Server::start_required(store).await;
    let carl = server.person("carl").await;
    let chat = carl.chat("general").await;
    // As many others as there may be, all used later than the first, and each with an open socket.
    let tokens: Vec<String> = (0..99).map(|n| format!("{n:064x}")).collect();
    let rows = tokens.iter().map(|token| {
        let hash = Sha256::digest(token.as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let hash = match store {
            Store::Sqlite => format!("x'{hash}'"),
            Store::Postgres => format!("'\\x{hash}'"),
        };
        format!(
            "(1, {hash}, '2026-01-01T00:00:00+00:00', '2998-01-01T00:00:00+00:00', \
             '2999-01-01T00:00:00+00:00')"
        )
    });
    let sql = format!(
        "INSERT INTO session (customer_id, token_hash, created_at, last_used_at, expires_at) VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    );
    server.database.run(&sql).await;
    let mut socket = carl.enter(&server, chat).await;
    let mut others = Vec::new();
    for token in tokens {
        let mut other = server.socket().await;
        let content = json!({ "chatId": chat, "token": token });
        other.ask("connect-chat", content).await;
        others.push(other);
    }
    let again = carl.again().await;
    assert_eq!(socket.closed().await, 4001);
    let reply = carl.client.get("/me").await;
    reply.expect_error(401, "unauthorized");
    again.client.get("/me").await.expect(200);
}

#[apply(both_stores)]
async fn a_token_in_the_url_is_not_looked_at(store: Store) {
    let server = Server::start_required(store).await;
    let carl = server.person("carl").await;
    let chat = carl.chat("general").await;
    for name in ["token", "access_token"] {
        let path = format!("/ws?{name}={}", carl.token);
        let mut socket = Socket::open_at(server.address, &path).await;
        let content = json!({ "chatId": chat, "customerId": carl.id });
        socket
            .refused("connect-chat", content, "unauthorized")
            .await;
        // A wrong one does no harm either.
        let path = format!("/ws?{name}=nonsense");
        let mut socket = Socket::open_at(server.address, &path).await;
        socket.ask("connect-chat", carl.connect(chat)).await;
    }
}
