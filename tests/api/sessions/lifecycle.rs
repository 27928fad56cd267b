//! Lists and ends of sessions, and the sockets that are closed with a session.

use serde_json::json;
use testkit::{
    PASSWORD, Person, Server, Socket, Store, apply, assert_keys, assert_now, both_stores,
    patiently, rstest,
};
use tokio::task::yield_now;

async fn rejected(person: &Person) {
    let reply = person.client.get("/me").await;
    reply.expect_error(401, "unauthorized");
}

#[apply(both_stores)]
async fn the_sessions_of_a_user_are_seen_and_ended_by_the_user(store: Store) {
    let server = Server::start_required(store).await;
    let carl = server.person("carl").await;
    let client = server.client();
    let login = client
        .request(reqwest::Method::POST, "/login")
        .header("user-agent", "x".repeat(1000))
        .json(&json!({ "username": "carl", "password": PASSWORD }));
    let login = client.send(login).await;
    assert_eq!(login.header("cache-control"), "no-store");
    let login = login.expect(200);

    let sessions = carl.client.list("/session").await;
    assert_eq!(sessions.len(), 2);
    for session in &sessions {
        let keys = [
            "sessionId",
            "createdAt",
            "lastUsedAt",
            "expiresAt",
            "userAgent",
            "current",
        ];
        assert_keys(session, &keys);
        assert_now(&session["createdAt"]);
        assert_now(&session["lastUsedAt"]);
    }
    assert_eq!(
        (&sessions[0]["current"], &sessions[1]["current"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(sessions[1]["expiresAt"], login["expiresAt"]);
    assert_eq!(sessions[1]["userAgent"], "x".repeat(256));

    let other = server.person("dora").await;
    let path = format!("/session/{}", sessions[1]["sessionId"]);
    other
        .client
        .delete(&path)
        .await
        .expect_error(404, "session_not_found");
    let ended = client.with_token(login["token"].as_str().expect("a token"));
    ended.get("/me").await.expect(200);
    carl.client.delete(&path).await.expect(204);
    ended.get("/me").await.expect_error(401, "unauthorized");
    carl.client
        .delete(&path)
        .await
        .expect_error(404, "session_not_found");
    assert_eq!(carl.client.list("/session").await.len(), 1);
}

#[apply(both_stores)]
async fn a_logout_closes_the_sessions_sockets_and_no_others(store: Store) {
    let server = Server::start_required(store).await;
    let carl = server.person("carl").await;
    let again = carl.again().await;
    let chat = carl.chat("general").await;
    let (mut one, mut two) = (
        carl.enter(&server, chat).await,
        carl.enter(&server, chat).await,
    );
    let mut other = again.enter(&server, chat).await;
    carl.client.post("/logout", json!({})).await.expect(204);
    rejected(&carl).await;
    assert_eq!((one.closed().await, two.closed().await), (4001, 4001));
    other.say(chat, "Still here.").await;
    again.client.get("/me").await.expect(200);
    let mut late = server.socket().await;
    late.refused("connect-chat", carl.connect(chat), "unauthorized")
        .await;
}

#[apply(both_stores)]
async fn ending_the_others_leaves_this_one(store: Store) {
    let server = Server::start_required(store).await;
    let carl = server.person("carl").await;
    let (second, third) = (carl.again().await, carl.again().await);
    let chat = carl.chat("general").await;
    let mut mine = carl.enter(&server, chat).await;
    let mut others = [
        second.enter(&server, chat).await,
        third.enter(&server, chat).await,
    ];
    carl.client.delete("/session").await.expect(204);
    for other in &mut others {
        assert_eq!(other.closed().await, 4001);
    }
    rejected(&second).await;
    rejected(&third).await;
    mine.say(chat, "Alone.").await;
    assert_eq!(carl.client.list("/session").await.len(), 1);
}

#[apply(both_stores)]
async fn a_new_password_ends_each_other_session(store: Store) {
    let server = Server::start_required(store).await;
    let carl = server.person("carl").await;
    let other = carl.again().await;
    let chat = carl.chat("general").await;
    let mut mine = carl.enter(&server, chat).await;
    let mut theirs = other.enter(&server, chat).await;
    let path = format!("/user/{}", carl.id);
    carl.client
        .put(&path, json!({ "username": "karl" }))
        .await
        .expect(200);
    other.client.get("/me").await.expect(200);
    let change = json!({ "password": "battery staple" });
    carl.client.put(&path, change).await.expect(200);
    assert_eq!(theirs.closed().await, 4001);
    rejected(&other).await;
    mine.say(chat, "It is still me.").await;
    let login = json!({ "username": "karl", "password": PASSWORD });
    server
        .client()
        .post("/login", login)
        .await
        .expect_error(401, "unauthorized");
    server.client().login("karl", "battery staple").await;
}

#[apply(both_stores)]
async fn a_deleted_user_is_signed_out_everywhere(store: Store) {
    let server = Server::start_required(store).await;
    let carl = server.person("carl").await;
    let again = carl.again().await;
    let chat = carl.chat("general").await;
    let mut sockets = [
        carl.enter(&server, chat).await,
        again.enter(&server, chat).await,
    ];
    carl.client
        .delete(&format!("/user/{}", carl.id))
        .await
        .expect(204);
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, 4001);
    }
    rejected(&carl).await;
    rejected(&again).await;
}

#[apply(both_stores)]
async fn an_expired_session_is_none_and_its_sockets_close(store: Store) {
    // Two seconds.
    let flags = [
        "--auth=required",
        "--session-days=0.0000232",
        "--session-sweep-seconds=0.05",
    ];
    let server = Server::start_with(store, &flags).await;
    let carl = server.person("carl").await;
    let chat = carl.chat("general").await;
    let mut socket = carl.enter(&server, chat).await;
    assert_eq!(socket.closed().await, 4001);
    rejected(&carl).await;
    let again = carl.again().await;
    assert_eq!(
        again.client.list("/session").await.len(),
        1,
        "what has expired is not listed"
    );
}

const LONG_AGO: &str = "UPDATE session SET last_used_at = '2020-01-01T00:00:00+00:00'";

#[apply(both_stores)]
async fn an_unused_session_ends_and_a_socket_is_use(store: Store) {
    let flags = ["--auth=required", "--session-sweep-seconds=0.05"];
    let server = Server::start_with(store, &flags).await;
    let carl = server.person("carl").await;
    let chat = carl.chat("general").await;
    let used_again = async || {
        let last_used = async || carl.client.list("/session").await[0]["lastUsedAt"].clone();
        let before = last_used().await;
        let waiting = async {
            while last_used().await == before {
                yield_now().await;
            }
        };
        patiently("a use to be noted", waiting).await;
    };
    used_again().await;
    let socket = carl.enter(&server, chat).await;
    used_again().await;
    drop(socket);
    let slow = Server::start_with(store, &["--auth=required", "--session-sweep-seconds=3600"]);
    let slow = slow.await;
    let dora = slow.person("dora").await;
    slow.database.run(LONG_AGO).await;
    rejected(&dora).await;
    let again = dora.again().await;
    assert_eq!(
        again.client.list("/session").await.len(),
        1,
        "what has ended is not listed"
    );
}

#[apply(both_stores)]
async fn a_session_ended_elsewhere_loses_its_sockets(store: Store) {
    let flags = ["--auth=required", "--session-sweep-seconds=0.05"];
    let server = Server::start_with(store, &flags).await;
    let carl = server.person("carl").await;
    let chat = carl.chat("general").await;
    let mut socket = carl.enter(&server, chat).await;
    server.database.run("DELETE FROM session").await;
    assert_eq!(socket.closed().await, 4001);
}

#[apply(both_stores)]
async fn a_socket_may_be_opened_with_the_token(store: Store) {
    let server = Server::start_required(store).await;
    let (carl, dora) = (server.person("carl").await, server.person("dora").await);
    let chat = carl.chat("general").await;
    let proof = format!("Bearer {}", carl.token);
    let open = async || {
        let opened = Socket::open_with(server.address, &[("authorization", &proof)]).await;
        opened.unwrap_or_else(|status| panic!("refused with {status}"))
    };
    let mut socket = open().await;
    let ack = socket.ask("connect-chat", json!({ "chatId": chat })).await;
    assert_eq!(
        ack["online"][0],
        json!({ "customerId": carl.id, "username": "carl" })
    );
    let mut two = open().await;
    two.refused("connect-chat", dora.connect(chat), "forbidden")
        .await;
    // A socket that has not connected to a chat yet ends with its session too.
    carl.client.post("/logout", json!({})).await.expect(204);
    assert_eq!(socket.closed().await, 4001);
    assert_eq!(two.closed().await, 4001);
    let opened = Socket::open_with(server.address, &[("authorization", &proof)]).await;
    assert_eq!(opened.err(), Some(401));
}

#[apply(both_stores)]
async fn nobody_speaks_for_another_on_a_socket(store: Store) {
    let server = Server::start_required(store).await;
    let (carl, dora) = (server.person("carl").await, server.person("dora").await);
    let chat = carl.chat("general").await;
    carl.add(chat, &dora, "participant").await;
    let mut socket = server.socket().await;
    let claim = json!({ "chatId": chat, "customerId": carl.id, "token": dora.token });
    socket.refused("connect-chat", claim, "forbidden").await;
    // A join carries the stored name. The `username` of the frame is ignored.
    let named = json!({ "chatId": chat, "token": dora.token, "username": "carl" });
    let ack = socket.ask("connect-chat", named).await;
    assert_eq!(
        ack["online"],
        json!([{ "customerId": dora.id, "username": "dora" }])
    );
    let post = json!({ "chatId": chat, "customerId": carl.id, "content": "I am carl." });
    socket.refused("send-message", post, "forbidden").await;
    socket
        .refused("connect-chat", carl.connect(chat), "forbidden")
        .await;
    let wrong = json!({ "chatId": chat, "token": "0".repeat(64) });
    socket.refused("connect-chat", wrong, "unauthorized").await;
    assert_eq!(socket.say(chat, "I am dora.").await["username"], "dora");
}

#[apply(both_stores)]
async fn the_sessions_of_a_user_are_at_most_100(store: Store) {
    let server = Server::start_required(store).await;
    let carl = server.person("carl").await;
    // The sessions are written to the database: a hundred logins would take a hundred hashes.
    let sqlite = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 120) \
        INSERT INTO session (customer_id, token_hash, created_at, last_used_at, expires_at) \
        SELECT 1, randomblob(32), '2026-01-01T00:00:00+00:00', \
            strftime('%Y-%m-%dT%H:%M:%f+00:00'), '2999-01-01T00:00:00+00:00' FROM n";
    let postgres = "INSERT INTO session \
            (customer_id, token_hash, created_at, last_used_at, expires_at) \
        SELECT 1, sha256(n::text::bytea), now(), now(), '2999-01-01' \
        FROM generate_series(1, 120) AS n";
    let sql = match store {
        Store::Sqlite => sqlite,
        Store::Postgres => postgres,
    };
    server.database.run(sql).await;
    assert_eq!(carl.client.list("/session").await.len(), 121);
    let again = carl.again().await;
    assert_eq!(again.client.list("/session").await.len(), 100);
}

#[apply(both_stores)]
async fn the_token_itself_is_not_stored(store: Store) {
    let server = Server::start_required(store).await;
    let carl = server.person("carl").await;
    let stored = server.database.stored_token_hashes().await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].len(), 32);
    let shown: String = stored[0].iter().map(|b| format!("{b:02x}")).collect();
    assert_ne!(shown, carl.token);
    // The stored form of a token is not a valid token.
    let thief = server.client().with_token(&shown);
    thief.get("/me").await.expect_error(401, "unauthorized");
}
