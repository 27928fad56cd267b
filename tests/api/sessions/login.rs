//! Login: the credentials that prove an identity, and those that do not.

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::{Client, PASSWORD, Server, Socket, Store, apply, assert_keys, both_stores, rstest};

#[apply(both_stores)]
async fn a_login_gives_a_new_token_each_time(store: Store) {
    let server = Server::start_required(store).await;
    let client = server.client();
    let id = client.new_user("carl").await;
    let first = client.login("carl", PASSWORD).await;
    assert_keys(&first, &["token", "expiresAt", "user"]);
    assert_keys(&first["user"], &["customerId", "username", "createdAt"]);
    assert_eq!(first["user"]["customerId"], id);
    let second = client.login("carl", PASSWORD).await;
    assert_ne!(first["token"], second["token"]);
    for login in [first, second] {
        let token = login["token"].as_str().expect("a token");
        assert_eq!(token.len(), 64, "256 bits");
        let me = client.with_token(token).get("/me").await.expect(200);
        assert_eq!(me, login["user"]);
    }
}

fn credentials(name: &str, password: &str) -> Value {
    json!({ "username": name, "password": password })
}

/// Returns how long a refused login takes.
async fn time_of(client: &Client, name: &str) -> Duration {
    let begin = Instant::now();
    let body = credentials(name, "not the password");
    let reply = client.post("/login", body).await;
    reply.expect_error(401, "unauthorized");
    begin.elapsed()
}

#[apply(both_stores)]
async fn a_wrong_name_and_a_wrong_password_are_the_same(store: Store) {
    let server = Server::start_required(store).await;
    let client = server.client();
    client.new_user("carl").await;
    let answer = async |name, password| {
        let reply = client.post("/login", credentials(name, password)).await;
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        reply.expect_error(401, "unauthorized")
    };
    let by_password = answer("carl", "not the password").await;
    assert_eq!(answer("nobody", PASSWORD).await, by_password);
    assert_eq!(answer("Carl", PASSWORD).await, by_password);
    // The least time of several tries in turns leaves out other load of the machine. Without a hash for
    // the unknown name it would be a twentieth.
    let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
    for _ in 0..4 {
        known = known.min(time_of(&client, "carl").await);
        unknown = unknown.min(time_of(&client, "otto").await);
    }
    assert!(
        unknown > known / 4,
        "{unknown:?} for nobody, {known:?} for carl"
    );
}

#[apply(both_stores)]
async fn absent_and_invalid_proof_are_different_things(store: Store) {
    let server = Server::start_required(store).await;
    let absent = server.client().get("/me").await;
    assert_eq!(absent.header("www-authenticate"), "Bearer");
    let absent = absent.expect_error(401, "unauthorized");
    let nobodys = server.client().with_token(&"0".repeat(64));
    let invalid = nobodys.get("/me").await.expect_error(401, "unauthorized");
    assert_ne!(absent["error"], invalid["error"]);
    // Public routes need no token, and an unknown route is 404 without one.
    let client = server.client();
    client.get("/health/ready").await.expect(200);
    client.get("/nowhere").await.expect_error(404, "not_found");
}

#[apply(both_stores)]
async fn a_token_counts_whole_and_in_its_place_only(store: Store) {
    let server = Server::start_required(store).await;
    let carl = server.person("carl").await;
    let chat = carl.chat("general").await;
    let token = carl.token.as_str();
    let mut flipped = token.to_owned();
    let last = flipped.pop().expect("a digit");
    flipped.push(if last == '0' { '1' } else { '0' });
    let wrong = [
        token[1..].to_owned(),
        token[..63].to_owned(),
        token.to_uppercase(),
        format!("{token}0"),
        format!("{token},{token}"),
        flipped,
        String::new(),
    ];
    for wrong in wrong.iter().filter(|wrong| *wrong != token) {
        let client = server.client().with_token(wrong);
        client.get("/me").await.expect_error(401, "unauthorized");
        let header = format!("Bearer {wrong}");
        let opened = Socket::open_with(server.address, &[("authorization", &header)]).await;
        assert_eq!(opened.err(), Some(401), "{wrong}");
        let mut socket = server.socket().await;
        let content = json!({ "chatId": chat, "token": wrong });
        socket
            .refused("connect-chat", content, "unauthorized")
            .await;
    }
    for (header, value) in [
        ("x-token", token.to_owned()),
        ("cookie", format!("token={token}")),
        ("authorization", token.to_owned()),
        ("authorization", format!("Basic {token}")),
        ("proxy-authorization", format!("Bearer {token}")),
    ] {
        let client = server.client();
        let request = client.request(reqwest::Method::GET, "/me");
        let reply = client.send(request.header(header, value)).await;
        reply.expect_error(401, "unauthorized");
    }
    for path in [
        format!("/me?token={token}"),
        format!("/me?access_token={token}"),
        format!("/chat/{chat}?authorization=Bearer%20{token}"),
    ] {
        let reply = server.client().get(&path).await;
        reply.expect_error(401, "unauthorized");
    }
    carl.client.get("/me").await.expect(200);
}

#[apply(both_stores)]
async fn failures_slow_down_their_address_on_that_account(store: Store) {
    let server = Server::start_required(store).await;
    let client = server.client();
    client.new_user("carl").await;
    client.new_user("dora").await;
    let login = async |name, password| client.post("/login", credentials(name, password)).await;
    let mut refused = None;
    for _ in 0..20 {
        let reply = login("carl", "not the password").await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
        reply.expect_error(401, "unauthorized");
    }
    let refused = refused.expect("a limit");
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    refused.expect_error(429, "rate_limited");
    // The right password is refused as well. Otherwise the answer would reveal that it is right.
    login("carl", PASSWORD)
        .await
        .expect_error(429, "rate_limited");
    // An unknown name is answered like a known one, so the limit does not reveal which names exist.
    for _ in 0..5 {
        login("nobody", PASSWORD)
            .await
            .expect_error(401, "unauthorized");
    }
    login("nobody", PASSWORD)
        .await
        .expect_error(429, "rate_limited");
    login("dora", PASSWORD).await.expect(200);
}

#[apply(both_stores)]
async fn a_password_must_be_hard_to_guess(store: Store) {
    let server = Server::start_required(store).await;
    let client = server.client();
    let long = "x8$kQp0!vw".repeat(103);
    for wrong in [
        "",
        "short",
        "1234567",
        "password",
        "12345678",
        "P@ssw0rd",
        "ferdinand1",
        &long,
    ] {
        let body = credentials("ferdinand", wrong);
        let refused = client.post("/user", body).await;
        let error = refused.expect_error(400, "invalid_field");
        let sentence = error["error"].as_str().expect("a sentence");
        assert!(sentence.starts_with("password must be "), "{sentence}");
    }
    let carl = server.person("carl").await;
    let path = format!("/user/{}", carl.id);
    let change = json!({ "password": "iloveyou" });
    carl.client
        .put(&path, change)
        .await
        .expect_error(400, "invalid_field");
    let longest = &long[..1024];
    carl.client
        .put(&path, json!({ "password": longest }))
        .await
        .expect(200);
    client.login("carl", longest).await;

    // Open mode accepts any password.
    let open = Server::start(store).await;
    let body = credentials("ferdinand", "1");
    open.client().post("/user", body).await.expect(201);
    open.client().login("ferdinand", "1").await;
}

#[apply(both_stores)]
async fn a_hash_by_old_parameters_is_replaced_at_the_login(store: Store) {
    let server = Server::start_required(store).await;
    let client = server.client();
    client.new_user("carl").await;
    let params = Params::new(8 * 1024, 1, 1, None).expect("parameters");
    let old = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(PASSWORD.as_bytes())
        .expect("a hash")
        .to_string();
    let sql = format!("UPDATE customer SET password = '{old}'");
    server.database.run(&sql).await;
    let body = credentials("carl", "not the password");
    client
        .post("/login", body)
        .await
        .expect_error(401, "unauthorized");
    assert_eq!(server.database.stored_passwords().await[0].1, old);
    client.login("carl", PASSWORD).await;
    let new = server.database.stored_passwords().await[0].1.clone();
    assert!(new.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{new}");
    client.login("carl", PASSWORD).await;
    assert_eq!(server.database.stored_passwords().await[0].1, new);
}

#[apply(both_stores)]
async fn in_open_mode_a_token_says_who_calls(store: Store) {
    let server = Server::start(store).await;
    let (carl, dora) = (server.person("carl").await, server.person("dora").await);
    assert_eq!(carl.client.get("/me").await.expect(200)["username"], "carl");
    server
        .client()
        .get("/me")
        .await
        .expect_error(401, "unauthorized");
    // The creator of a chat is its admin. In open mode every user may join it.
    let chat = carl.chat("general").await;
    let members = dora.client.list(&format!("/user/chat/{chat}")).await;
    assert_eq!(
        (&members[0]["customerId"], &members[0]["role"]),
        (&json!(carl.id), &json!("admin"))
    );
    dora.client
        .get(&format!("/chat/user/{}?chat_id={chat}", dora.id))
        .await
        .expect(201);
    // A caller with a token cannot act as another user.
    let body = json!({ "customerId": carl.id, "content": "I am carl." });
    let path = format!("/chat/{chat}/message");
    dora.client
        .post(&path, body.clone())
        .await
        .expect_error(403, "forbidden");
    dora.client
        .delete(&format!("/user/{}", carl.id))
        .await
        .expect_error(403, "forbidden");
    let mut socket = server.socket().await;
    let content = json!({ "chatId": chat, "customerId": carl.id, "token": dora.token });
    socket.refused("connect-chat", content, "forbidden").await;
    // Without a token the `customerId` is trusted. A wrong token is refused.
    server.client().post(&path, body).await.expect(201);
    let nobodys = server.client().with_token(&"0".repeat(64));
    nobodys.get("/chat").await.expect_error(401, "unauthorized");
}

#[apply(both_stores)]
async fn many_logins_at_once_are_all_answered(store: Store) {
    let server = Server::start_with(store, &["--auth=required", "--hashes-at-once=1"]).await;
    let client = server.client();
    client.new_user("carl").await;
    let logins = (0..40).map(|n| {
        let name = if n % 2 == 0 {
            "carl".to_owned()
        } else {
            format!("nobody {n}")
        };
        let client = client.clone();
        async move {
            client
                .post("/login", credentials(&name, PASSWORD))
                .await
                .status
        }
    });
    let mut statuses = join_all(logins).await;
    statuses.sort_unstable();
    statuses.dedup();
    // Concurrent logins to one account count as failed tries until they succeed.
    let expected = [200, 401, 429, 503];
    assert!(statuses.contains(&200), "{statuses:?}");
    assert!(
        statuses.iter().all(|status| expected.contains(status)),
        "{statuses:?}"
    );
}
