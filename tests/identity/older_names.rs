//! User names that an older version stored, before names that look alike were refused, and names that
//! an older server beside this one stores.

use argon2::{Argon2, PasswordHasher};
use serde_json::json;
use testkit::{Database, PASSWORD, Server, Store, apply, both_stores, rstest};

/// Stores a user as an older version does, without the checks of names.
async fn store_older(database: &Database, name: &str) {
    let hash = Argon2::default().hash_password(PASSWORD.as_bytes());
    let hash = hash.expect("a hash").to_string();
    database
        .execute(format!(
            "INSERT INTO customer (username, password, created_at) \
             VALUES ('{name}', '{hash}', '2026-01-01T00:00:00.000000+00:00')"
        ))
        .await;
}

#[apply(both_stores)]
async fn older_names_stay_and_hold_their_place(store: Store) {
    let server = Server::start_required(store).await;
    // A sign-up today is refused with each of the last three names.
    let names = [
        "carl",
        "CARL",
        "Zoe\u{308}",
        "Zoë",
        "\u{200b}",
        "car\u{202e}l",
        "c\u{430}rl",
    ];
    for name in names {
        store_older(&server.database, name).await;
    }
    let database = server.stop().await;
    let server = Server::start_on(database, &["--auth=required", "--rate-limit=off"]).await;
    let client = server.client();
    for name in names {
        let login = client.login(name, PASSWORD).await;
        assert_eq!(
            login["user"]["username"], name,
            "each by its exact spelling"
        );
    }
    for name in ["Carl", "ZOË", "carl\u{200b}"] {
        let body = json!({ "username": name, "password": PASSWORD });
        let reply = client.post("/user", body).await;
        reply.expect_error(409, "username_taken");
    }
    let login = client.login("CARL", PASSWORD).await;
    let me = client.with_token(login["token"].as_str().expect("a token"));
    let path = format!("/user/{}", login["user"]["customerId"]);
    let same = json!({ "username": "CARL", "password": "another horse" });
    me.put(&path, same).await.expect(200);
    let other = me.put(&path, json!({ "username": "cARL" })).await;
    other.expect_error(409, "username_taken");
    let free = me.put(&path, json!({ "username": "Karl" })).await;
    assert_eq!(free.expect(200)["username"], "Karl");
}

#[apply(both_stores)]
async fn a_name_that_an_older_server_changed_is_taken_note_of(store: Store) {
    let server = Server::start(store).await;
    server.client().new_user("carl").await;
    server.client().new_user("dora").await;
    let rename = |from: &str, to: &str| {
        format!("UPDATE customer SET username = '{to}' WHERE username = '{from}'")
    };
    server.database.run(&rename("carl", "emil")).await;
    server.database.run(&rename("dora", "EMIL")).await;
    let database = server.stop().await;
    let server = Server::start_on(database, &[]).await;
    let client = server.client();
    let sign_up = |name: &str| json!({ "username": name, "password": PASSWORD });
    let taken = client.post("/user", sign_up("Emil")).await;
    taken.expect_error(409, "username_taken");
    for name in ["Carl", "Dora"] {
        client.post("/user", sign_up(name)).await.expect(201);
    }
}
