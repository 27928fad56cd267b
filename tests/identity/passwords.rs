//! One password on every keyboard.

use argon2::{Argon2, PasswordHasher};
use serde_json::json;
use testkit::{Server, Store, apply, both_stores, rstest};

/// One password as different systems type it.
const FORMS: [&str; 4] = [
    "na\u{ef}ve  Stra\u{df}e",
    "nai\u{308}ve  Stra\u{df}e",
    "na\u{ef}ve\u{a0} Stra\u{df}e",
    "nai\u{308}ve\u{3000}\u{2003}Stra\u{df}e",
];
/// What no rule makes equal to it.
const OTHERS: [&str; 3] = ["naive  Straße", "naïve Straße", "naïve  STRASSE"];

#[apply(both_stores)]
async fn a_password_signs_in_in_every_form(store: Store) {
    let server = Server::start_required(store).await;
    let client = server.client();
    for (n, chosen) in FORMS.into_iter().enumerate() {
        let name = format!("person {n}");
        let body = json!({ "username": name, "password": chosen });
        client.post("/user", body).await.expect(201);
        for typed in FORMS {
            client.login(&name, typed).await;
        }
        for wrong in OTHERS {
            let body = json!({ "username": name, "password": wrong });
            client
                .post("/login", body)
                .await
                .expect_error(401, "unauthorized");
        }
    }
}

#[apply(both_stores)]
async fn a_hash_of_an_older_version_signs_in_and_is_replaced(store: Store) {
    let server = Server::start_required(store).await;
    let client = server.client();
    client.new_user("zoë").await;
    let hash = Argon2::default().hash_password(FORMS[1].as_bytes());
    let hash = hash.expect("a hash").to_string();
    server
        .database
        .run(&format!("UPDATE customer SET password = '{hash}'"))
        .await;
    let sign_in = async |typed: &str| {
        let body = json!({ "username": "zoë", "password": typed });
        client.post("/login", body).await.status
    };
    // What was typed then is what the hash knows, until it is typed again.
    assert_eq!(sign_in(FORMS[0]).await, 401);
    assert_eq!(sign_in(FORMS[1]).await, 200);
    for typed in FORMS {
        assert_eq!(sign_in(typed).await, 200, "{typed}");
    }
    assert_eq!(sign_in(OTHERS[0]).await, 401);
}

#[apply(both_stores)]
async fn a_password_of_the_original_signs_in_in_every_form(store: Store) {
    let server = Server::start_required(store).await;
    server.client().new_user("zoë").await;
    let plain = format!("UPDATE customer SET password = 'plain:{}'", FORMS[3]);
    server.database.run(&plain).await;
    let database = server.stop().await;
    let server = Server::start_on(database, &["--auth=required", "--rate-limit=off"]).await;
    for typed in FORMS {
        server.client().login("zoë", typed).await;
    }
}
