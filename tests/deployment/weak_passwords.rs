//! A move from open to required mode: weak passwords that open mode accepted.

use serde_json::json;
use testkit::{
    Client, Database, PASSWORD, Reply, Server, Store, apply, assert_keys, both_stores, rstest,
};

const REQUIRED: [&str; 2] = ["--auth=required", "--rate-limit=off"];
/// Users and passwords: one password is too short, the other is on the list of common passwords.
const WEAK: [(&str, &str); 2] = [("carl", "secret"), ("sigmund", "password1")];
const BETTER: &str = "Zug um halb neun";

async fn log_in(client: &Client, name: &str, password: &str, new: Option<&str>) -> Reply {
    let mut body = json!({ "username": name, "password": password });
    if let Some(new) = new {
        body["newPassword"] = new.into();
    }
    client.post("/login", body).await
}

/// A database of open mode with the users of `WEAK`, and gustav, who has a strong password.
async fn begun_in_open_mode(store: Store) -> Database {
    let server = Server::start(store).await;
    let client = server.client();
    for (name, password) in [&WEAK[..], &[("gustav", PASSWORD)]].concat() {
        let body = json!({ "username": name, "password": password });
        client.post("/user", body).await.expect(201);
    }
    server.stop().await
}

#[apply(both_stores)]
async fn a_weak_password_is_changed_at_the_first_login(store: Store) {
    let database = begun_in_open_mode(store).await;
    let server = Server::start_on(database, &REQUIRED).await;
    let client = server.client();
    log_in(&client, "gustav", PASSWORD, None).await.expect(200);
    for (name, weak) in WEAK {
        let body = log_in(&client, name, weak, None).await;
        let body = body.expect_error(403, "password_change_required");
        let told = body["error"].as_str().unwrap_or_default();
        assert!(told.contains("newPassword"), "{told}");
        // A login with a wrong password does not reveal that the password is weak, and changes nothing.
        for new in [None, Some(BETTER)] {
            let reply = log_in(&client, name, "no idea at all", new).await;
            reply.expect_error(401, "unauthorized");
        }
        for (new, words) in [
            ("short", "newPassword must be at least 8"),
            ("", "newPassword must"),
        ] {
            let reply = log_in(&client, name, weak, Some(new)).await;
            let body = reply.expect_error(400, "invalid_field");
            assert!(
                body["error"]
                    .as_str()
                    .unwrap_or_default()
                    .starts_with(words),
                "{body}"
            );
        }
        let login = log_in(&client, name, weak, Some(BETTER)).await.expect(200);
        assert_keys(&login, &["token", "expiresAt", "user"]);
        let mine = client.with_token(login["token"].as_str().expect("a token"));
        assert_eq!(mine.get("/me").await.expect(200)["username"], name);
        log_in(&client, name, weak, None)
            .await
            .expect_error(401, "unauthorized");
        log_in(&client, name, BETTER, None).await.expect(200);
    }
}

#[apply(both_stores)]
async fn a_new_password_at_the_login_ends_what_the_old_one_began(store: Store) {
    let server = Server::start_on(Database::new(store).await, &REQUIRED).await;
    let client = server.client();
    let chat = server.person("carl").await.client.new_chat("general").await;
    let old = log_in(&client, "carl", PASSWORD, None).await.expect(200);
    let old = old["token"].as_str().expect("a token");
    let mut socket = server.socket().await;
    socket
        .ask("connect-chat", json!({ "chatId": chat, "token": old }))
        .await;
    let new = log_in(&client, "carl", PASSWORD, Some(BETTER))
        .await
        .expect(200);
    assert_eq!(socket.closed().await, 4001);
    let ended = client.with_token(old).get("/me").await;
    ended.expect_error(401, "unauthorized");
    let mine = client.with_token(new["token"].as_str().expect("a token"));
    assert_eq!(mine.list("/session").await.len(), 1);
}

#[apply(both_stores)]
async fn in_open_mode_any_password_signs_in(store: Store) {
    let server = Server::start_on(begun_in_open_mode(store).await, &[]).await;
    for (name, weak) in WEAK {
        log_in(&server.client(), name, weak, None).await.expect(200);
    }
}
