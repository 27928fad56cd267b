//! Users.

use crate::harness::{Server, Store, assert_keys, assert_now, field, on_both_stores};
use argon2::{Argon2, PasswordVerifier};
use serde_json::json;

on_both_stores!(
    a_new_user_is_answered_whole_and_found_at_its_location,
    users_are_listed_by_id,
    a_list_of_users_is_walked_to_its_end_along_the_links,
    a_user_is_found_by_name,
    a_change_keeps_what_it_leaves_out,
    a_taken_name_is_a_conflict,
    a_name_may_have_255_characters,
    a_deleted_user_is_gone_for_ever,
    a_deleted_users_memberships_go,
    a_deleted_users_messages_become_tombstones_with_numbers_of_their_own,
    deleting_a_user_of_very_many_messages_leaves_no_gap,
    passwords_are_kept_as_argon2id_and_shown_nowhere,
    a_new_password_replaces_the_old_hash,
    unknown_keys_and_a_slash_at_the_end_are_ignored,
);

const USER: [&str; 3] = ["customerId", "username", "createdAt"];

async fn a_new_user_is_answered_whole_and_found_at_its_location(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let body = json!({ "username": "carl", "password": "secret" });
    let reply = client.post("/user", body).await;
    let location = reply.header("location").to_owned();
    let user = reply.expect(201);
    assert_keys(&user, &USER);
    assert_eq!(user["username"], "carl");
    assert_now(&user["createdAt"]);
    assert_eq!(location, format!("/user/{}", user["customerId"]));
    assert_eq!(client.get(&location).await.expect(200), user);
}

async fn users_are_listed_by_id(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    assert_eq!(client.get("/user").await.expect(200), json!([]));
    for name in ["zoe", "adam", "mia"] {
        client.new_user(name).await;
    }
    let users = client.list("/user").await;
    assert_eq!(field(&users, "username"), ["zoe", "adam", "mia"]);
    assert!(users.is_sorted_by_key(|user| user["customerId"].as_i64()));
    for user in &users {
        assert_keys(user, &USER);
    }
}

async fn a_list_of_users_is_walked_to_its_end_along_the_links(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    for name in ["a", "b", "c", "d", "e"] {
        client.new_user(name).await;
    }
    let pages = client.pages("/user?limit=2").await;
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(
        field(&pages.concat(), "username"),
        ["a", "b", "c", "d", "e"]
    );
    let after = &pages[0][1]["customerId"];
    let rest = client.list(&format!("/user?after={after}")).await;
    assert_eq!(field(&rest, "username"), ["c", "d", "e"]);
}

async fn a_user_is_found_by_name(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    for (name, path) in [
        ("carl", "/user/username/carl"),
        ("Carl Gustav", "/user/username/Carl%20Gustav"),
        ("a/b?c", "/user/username/a%2Fb%3Fc"),
        ("名前", "/user/username/%E5%90%8D%E5%89%8D"),
    ] {
        let id = client.new_user(name).await;
        let user = client.get(path).await.expect(200);
        assert_eq!(
            (&user["customerId"], &user["username"]),
            (&json!(id), &json!(name))
        );
        assert_keys(&user, &USER);
    }
    let unknown = client.get("/user/username/nobody").await;
    unknown.expect_error(404, "user_not_found");
}

async fn a_change_keeps_what_it_leaves_out(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let body = json!({ "username": "carl", "password": "secret" });
    let before = client.post("/user", body).await.expect(201);
    let path = format!("/user/{}", before["customerId"]);
    let hash = server.database.stored_passwords().await;

    let renamed = client
        .put(&path, json!({ "username": "karl" }))
        .await
        .expect(200);
    assert_keys(&renamed, &USER);
    assert_eq!(renamed["username"], "karl");
    assert_eq!(renamed["createdAt"], before["createdAt"]);
    assert_eq!(server.database.stored_passwords().await, hash);

    let unnamed = client
        .put(&path, json!({ "password": "other" }))
        .await
        .expect(200);
    assert_eq!(unnamed, renamed);
    assert_ne!(server.database.stored_passwords().await, hash);

    assert_eq!(client.put(&path, json!({})).await.expect(200), renamed);
    assert_eq!(client.get(&path).await.expect(200), renamed);
}

async fn a_taken_name_is_a_conflict(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let sigmund = client.new_user("sigmund").await;
    let body = json!({ "username": "carl", "password": "secret" });
    let again = client.post("/user", body).await;
    let error = again.expect_error(409, "username_taken");
    assert!(
        error["error"]
            .as_str()
            .is_some_and(|text| text.contains("carl"))
    );

    let carl_too = json!({ "username": "carl" });
    let taken = client
        .put(&format!("/user/{sigmund}"), carl_too.clone())
        .await;
    taken.expect_error(409, "username_taken");
    // One's own name is free to keep.
    client
        .put(&format!("/user/{carl}"), carl_too)
        .await
        .expect(200);
    assert_eq!(
        field(&client.list("/user").await, "username"),
        ["carl", "sigmund"]
    );
}

async fn a_name_may_have_255_characters(store: Store) {
    let server = Server::start(store).await;
    let name = "ü".repeat(255);
    let body = json!({ "username": name, "password": "secret" });
    let user = server.client().post("/user", body).await.expect(201);
    assert_eq!(user["username"], name);
}

async fn a_deleted_user_is_gone_for_ever(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let path = format!("/user/{carl}");
    client.delete(&path).await.expect(204);
    client.get(&path).await.expect_error(404, "user_not_found");
    client
        .delete(&path)
        .await
        .expect_error(404, "user_not_found");
    let by_name = client.get("/user/username/carl").await;
    by_name.expect_error(404, "user_not_found");
    assert_eq!(client.list("/user").await.len(), 0);
    // The name is free again, the id is not.
    assert!(client.new_user("carl").await > carl);
}

async fn a_deleted_users_memberships_go(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let (carl, sigmund) = (
        client.new_user("carl").await,
        client.new_user("sigmund").await,
    );
    let chat = client.new_chat("general").await;
    for user in [carl, sigmund] {
        client
            .put(&format!("/chat/{chat}/user/{user}"), json!({}))
            .await
            .expect(201);
    }
    client.delete(&format!("/user/{carl}")).await.expect(204);
    let members = client.list(&format!("/user/chat/{chat}")).await;
    assert_eq!(field(&members, "username"), ["sigmund"]);
    let access = client
        .get(&format!("/chat/user/{carl}/chat/{chat}/access"))
        .await;
    assert_eq!(access.expect(200), json!({ "hasAccess": false }));
}

async fn a_deleted_users_messages_become_tombstones_with_numbers_of_their_own(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let (carl, sigmund) = (
        client.new_user("carl").await,
        client.new_user("sigmund").await,
    );
    let chat = client.new_chat("general").await;
    let mut sent = Vec::new();
    for author in [carl, sigmund, carl, carl, sigmund] {
        sent.push(client.say(author, chat, "Hi.").await);
    }
    client.delete(&format!("/user/{carl}")).await.expect(204);

    let path = format!("/chat/{chat}/message");
    let kept = client.list(&path).await;
    assert_eq!(field(&kept, "messageId"), field(&sent, "messageId"));
    assert_eq!(
        (&kept[1], &kept[4]),
        (&sent[1], &sent[4]),
        "the others' stay as they are"
    );
    let buried = client.list(&format!("{path}?since=5")).await;
    assert_eq!(field(&buried, "seq"), [6, 7, 8]);
    for (tombstone, place) in buried.iter().zip([0, 2, 3]) {
        let original = &sent[place];
        assert_eq!(tombstone["messageId"], original["messageId"]);
        assert_eq!(tombstone["sentAt"], original["sentAt"]);
        for gone in ["content", "customerId", "username"] {
            assert!(tombstone[gone].is_null(), "{gone} is left: {tombstone}");
        }
        assert_now(&tombstone["deletedAt"]);
    }
    assert_eq!(client.say(sigmund, chat, "Gone?").await["seq"], 9);
}

async fn deleting_a_user_of_very_many_messages_leaves_no_gap(store: Store) {
    const MANY: i64 = 1_100;
    let server = Server::start(store).await;
    let client = server.client();
    let (carl, sigmund) = (
        client.new_user("carl").await,
        client.new_user("sigmund").await,
    );
    let chat = client.new_chat("general").await;
    client.say_many(carl, chat, MANY as usize).await;
    client.delete(&format!("/user/{carl}")).await.expect(204);
    let buried = client.pages(&format!("/chat/{chat}/message?since=0")).await;
    let numbers: Vec<i64> = (MANY + 1..=2 * MANY).collect();
    assert_eq!(field(&buried.concat(), "seq"), numbers);
    assert_eq!(
        client.say(sigmund, chat, "Gone?").await["seq"],
        2 * MANY + 1
    );
}

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

async fn unknown_keys_and_a_slash_at_the_end_are_ignored(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let body = json!({ "username": "carl", "password": "secret", "customerId": 77, "age": [] });
    let user = client.post("/user/", body).await.expect(201);
    let path = format!("/user/{}/", user["customerId"]);
    assert_ne!(user["customerId"], 77);
    assert_eq!(client.get(&path).await.expect(200), user);
    assert_eq!(client.get("/user/username/carl/").await.expect(200), user);
    assert_eq!(client.list("/user/").await, [user]);
}
