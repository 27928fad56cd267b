//! Adding, listing and removing members.

use serde_json::json;
use testkit::{Client, Server, Store, apply, assert_keys, assert_now, both_stores, field, rstest};

/// A server with one user and one chat.
async fn world(store: Store) -> (Server, Client, i64, i64) {
    let server = Server::start(store).await;
    let client = server.client();
    // Ids that differ, so that one is not taken for the other.
    client.new_chat("the first").await;
    let (user, chat) = (
        client.new_user("carl").await,
        client.new_chat("general").await,
    );
    assert_ne!(user, chat);
    (server, client, user, chat)
}

#[apply(both_stores)]
async fn getting_the_original_route_adds_a_member_once(store: Store) {
    let (_server, client, user, chat) = world(store).await;
    let path = format!("/chat/user/{user}?chat_id={chat}");
    let member = client.get(&path).await.expect(201);
    assert_keys(&member, &["customerId", "chatId", "role", "joinedAt"]);
    assert_eq!(
        (&member["customerId"], &member["chatId"]),
        (&json!(user), &json!(chat))
    );
    assert_eq!(member["role"], "participant");
    assert_now(&member["joinedAt"]);
    assert_eq!(client.get(&path).await.expect(200), member);
    assert_eq!(client.list(&format!("/user/chat/{chat}")).await.len(), 1);
}

#[apply(both_stores)]
async fn the_chat_is_named_by_either_spelling(store: Store) {
    let (_server, client, user, chat) = world(store).await;
    for spelling in ["chat_id", "chatId"] {
        let path = format!("/chat/user/{user}?{spelling}={chat}");
        client.get(&path).await.expect(201);
        client.delete(&path).await.expect(204);
    }
}

#[apply(both_stores)]
async fn putting_adds_a_member_with_a_role_and_changes_it(store: Store) {
    let (_server, client, user, chat) = world(store).await;
    let path = format!("/chat/{chat}/user/{user}");
    let admin = client
        .put(&path, json!({ "role": "admin" }))
        .await
        .expect(201);
    assert_keys(&admin, &["customerId", "chatId", "role", "joinedAt"]);
    assert_eq!(
        (&admin["customerId"], &admin["chatId"]),
        (&json!(user), &json!(chat))
    );
    assert_eq!(admin["role"], "admin");
    let demoted = client
        .put(&path, json!({ "role": "participant" }))
        .await
        .expect(200);
    assert_eq!(demoted["role"], "participant");
    assert_eq!(demoted["joinedAt"], admin["joinedAt"]);
}

#[apply(both_stores)]
async fn putting_without_a_role_keeps_the_role(store: Store) {
    let (_server, client, user, chat) = world(store).await;
    let path = format!("/chat/{chat}/user/{user}");
    let bare = client.request(reqwest::Method::PUT, &path);
    let member = client.send(bare).await.expect(201);
    assert_eq!(member["role"], "participant");
    client
        .put(&path, json!({ "role": "admin" }))
        .await
        .expect(200);
    for body in [json!({}), json!({ "role": null })] {
        assert_eq!(client.put(&path, body).await.expect(200)["role"], "admin");
    }
    let bare = client.request(reqwest::Method::PUT, &path);
    assert_eq!(client.send(bare).await.expect(200)["role"], "admin");
    let by_get = client
        .get(&format!("/chat/user/{user}?chat_id={chat}"))
        .await;
    assert_eq!(by_get.expect(200)["role"], "admin");
}

#[apply(both_stores)]
async fn a_member_is_removed_by_either_route(store: Store) {
    let (_server, client, user, chat) = world(store).await;
    let join = format!("/chat/user/{user}?chat_id={chat}");
    for path in [join.clone(), format!("/chat/{chat}/user/{user}")] {
        client.get(&join).await.expect(201);
        client.delete(&path).await.expect(204);
        client
            .delete(&path)
            .await
            .expect_error(404, "member_not_found");
        assert_eq!(client.list(&format!("/user/chat/{chat}")).await.len(), 0);
    }
}

#[apply(both_stores)]
async fn access_is_asked_of_members_and_false_for_what_does_not_exist(store: Store) {
    let (_server, client, user, chat) = world(store).await;
    let access = async |user: i64, chat: i64| {
        let path = format!("/chat/user/{user}/chat/{chat}/access");
        let answer = client.get(&path).await.expect(200);
        assert_keys(&answer, &["hasAccess"]);
        answer["hasAccess"].as_bool()
    };
    assert_eq!(access(user, chat).await, Some(false));
    let path = format!("/chat/{chat}/user/{user}");
    client.put(&path, json!({})).await.expect(201);
    assert_eq!(access(user, chat).await, Some(true));
    assert_eq!(access(user, 1).await, Some(false));
    assert_eq!(access(999, chat).await, Some(false));
    assert_eq!(access(user, 999).await, Some(false));
    client.delete(&path).await.expect(204);
    assert_eq!(access(user, chat).await, Some(false));
}

#[apply(both_stores)]
async fn members_are_listed_by_id_with_their_roles(store: Store) {
    let (_server, client, carl, chat) = world(store).await;
    let sigmund = client.new_user("sigmund").await;
    let path = format!("/user/chat/{chat}");
    assert_eq!(client.get(&path).await.expect(200), json!([]));
    for (user, role) in [(sigmund, "participant"), (carl, "admin")] {
        let path = format!("/chat/{chat}/user/{user}");
        client.put(&path, json!({ "role": role })).await.expect(201);
    }
    let members = client.list(&path).await;
    assert_eq!(field(&members, "customerId"), [carl, sigmund]);
    assert_eq!(field(&members, "username"), ["carl", "sigmund"]);
    assert_eq!(field(&members, "role"), ["admin", "participant"]);
    for member in &members {
        assert_keys(
            member,
            &["customerId", "username", "createdAt", "role", "joinedAt"],
        );
        assert_now(&member["joinedAt"]);
    }
    let unknown = client.get("/user/chat/999").await;
    unknown.expect_error(404, "chat_not_found");
}

#[apply(both_stores)]
async fn a_list_of_members_is_walked_to_its_end_along_the_links(store: Store) {
    let (_server, client, carl, chat) = world(store).await;
    let mut users = vec![carl];
    for name in ["b", "c", "d"] {
        users.push(client.new_user(name).await);
    }
    for user in &users {
        client
            .get(&format!("/chat/user/{user}?chat_id={chat}"))
            .await
            .expect(201);
    }
    let pages = client.pages(&format!("/user/chat/{chat}?limit=2")).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(field(&pages.concat(), "customerId"), users);
}

#[apply(both_stores)]
async fn a_slash_at_the_end_is_ignored(store: Store) {
    let (_server, client, user, chat) = world(store).await;
    client
        .get(&format!("/chat/user/{user}/?chat_id={chat}"))
        .await
        .expect(201);
    client.get(&format!("/user/chat/{chat}/")).await.expect(200);
    let access = client
        .get(&format!("/chat/user/{user}/chat/{chat}/access/"))
        .await;
    assert_eq!(access.expect(200), json!({ "hasAccess": true }));
    client
        .put(&format!("/chat/{chat}/user/{user}/"), json!({}))
        .await
        .expect(200);
    client
        .delete(&format!("/chat/{chat}/user/{user}/"))
        .await
        .expect(204);
}

#[apply(both_stores)]
async fn of_many_who_add_a_member_at_once_one_did(store: Store) {
    let (_server, client, user, chat) = world(store).await;
    let path = format!("/chat/user/{user}?chat_id={chat}");
    let replies = futures_util::future::join_all((0..16).map(|_| client.get(&path))).await;
    let new = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(new, 1);
    for reply in &replies {
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
        assert_eq!(reply.body, replies[0].body);
    }
}
