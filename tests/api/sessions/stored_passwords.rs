//! The form in which passwords are stored.

use argon2::{Argon2, PasswordVerifier};
use serde_json::json;
use testkit::{Server, Store, apply, both_stores, rstest};

#[apply(both_stores)]
async fn passwords_are_kept_as_argon2id_and_shown_nowhere(store: Store) {
    const PASSWORD: &str = "päss:word'$argon2id$";
    let server = Server::start(store).await;
    let client = server.client();
    let body = json!({ "username": "carl", "password": PASSWORD });
    let created = client.post("/user", body.clone()).await.expect(201);
    let id = &created["customerId"];
    let changed = client.put(&format!("/user/{id}"), body).await.expect(200);

    let stored = server.database.stored_passwords().await;
    let hash = stored[0].1.as_str();
    assert!(
        hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{hash}"
    );
    assert!(
        Argon2::default()
            .verify_password(PASSWORD.as_bytes(), hash)
            .is_ok()
    );
    assert!(Argon2::default().verify_password(b"another", hash).is_err());

    let chat = client.new_chat("general").await;
    let member = client
        .put(&format!("/chat/{chat}/user/{id}"), json!({}))
        .await
        .expect(201);
    let mut answers = vec![created, changed, member];
    for path in ["/user", "/user/1", "/user/username/carl", "/user/chat/1"] {
        answers.push(client.get(path).await.expect(200));
    }
    for answer in answers {
        let text = answer.to_string();
        assert!(
            !text.contains("argon2") && !text.contains("assword"),
            "{text}"
        );
    }
}

#[apply(both_stores)]
async fn a_new_password_replaces_the_old_hash(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let body = json!({ "password": "battery staple" });
    client.put(&format!("/user/{carl}"), body).await.expect(200);
    let stored = server.database.stored_passwords().await;
    let verify =
        |password: &[u8]| Argon2::default().verify_password(password, stored[0].1.as_str());
    assert!(verify(b"battery staple").is_ok());
    assert!(verify(b"correct horse").is_err());
}
