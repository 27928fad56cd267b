//! Sign-up, names, lists, renaming and deletion of users.

use serde_json::json;
use testkit::{Server, Store, apply, assert_keys, assert_now, both_stores, field, rstest};

const USER: [&str; 3] = ["customerId", "username", "createdAt"];

#[apply(both_stores)]
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

#[apply(both_stores)]
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

#[apply(both_stores)]
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

#[apply(both_stores)]
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

#[apply(both_stores)]
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

#[apply(both_stores)]
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

#[apply(both_stores)]
async fn a_name_may_have_255_characters(store: Store) {
    let server = Server::start(store).await;
    let name = "ü".repeat(255);
    let body = json!({ "username": name, "password": "secret" });
    let user = server.client().post("/user", body).await.expect(201);
    assert_eq!(user["username"], name);
}

#[apply(both_stores)]
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

#[apply(both_stores)]
async fn of_many_who_take_a_name_at_once_one_gets_it(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let body = json!({ "username": "carl", "password": "secret" });
    let asking = (0..8).map(|_| client.post("/user", body.clone()));
    let replies = futures_util::future::join_all(asking).await;
    let (new, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|r| r.status == 201);
    assert_eq!(new.len(), 1);
    for reply in refused {
        reply.expect_error(409, "username_taken");
    }
    assert_eq!(client.list("/user").await, [new[0].body.clone()]);
}
