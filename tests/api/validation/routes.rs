//! Routes and methods.

use super::World;
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeSet;
use testkit::{Store, apply, both_stores, rstest};

/// Every path, and what it takes. What takes GET takes HEAD.
const ROUTES: [(&str, &[&str]); 15] = [
    ("/user", &["GET", "POST"]),
    ("/user/1", &["GET", "PUT", "DELETE"]),
    ("/user/username/carl", &["GET"]),
    ("/user/chat/1", &["GET"]),
    ("/chat", &["GET", "POST"]),
    ("/chat/1", &["GET", "PUT", "DELETE"]),
    ("/chat/user/1", &["GET", "DELETE"]),
    ("/chat/1/user/1", &["PUT", "DELETE"]),
    ("/chat/user/1/chat/1/access", &["GET"]),
    ("/chat/1/message", &["GET", "POST"]),
    ("/message/1", &["GET", "PUT", "DELETE"]),
    ("/ws", &["GET"]),
    ("/health/live", &["GET"]),
    ("/health/ready", &["GET"]),
    ("/user/", &["GET", "POST"]),
];

#[apply(both_stores)]
async fn a_wrong_method_is_told_the_right_ones(store: Store) {
    let world = World::new(store).await;
    for (path, right) in ROUTES {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "PURGE"] {
            if right.contains(&method) {
                continue;
            }
            let method: Method = method.parse().expect("a method");
            let request = world.client.request(method.clone(), path);
            let case = format!("{method} {path}");
            let reply = world
                .refuses(request, 405, "method_not_allowed", &case)
                .await;
            let allowed = reply.header("allow").split(',').map(str::trim);
            let allowed: BTreeSet<&str> = allowed.filter(|method| *method != "HEAD").collect();
            assert_eq!(allowed, right.iter().copied().collect(), "{case}");
        }
    }
    world.is_unchanged().await;
}

#[apply(both_stores)]
async fn an_unknown_route_is_not_found(store: Store) {
    let world = World::new(store).await;
    let paths = [
        "/users",
        "/user/1/2",
        "/chat/1/messages",
        "/message",
        "/%00",
        "/USER",
        "/ws/1",
    ];
    for path in paths {
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::PATCH,
        ] {
            let request = world.client.request(method.clone(), path);
            world
                .refuses(request, 404, "not_found", &format!("{method} {path}"))
                .await;
        }
    }
}

#[apply(both_stores)]
async fn a_plain_request_to_the_websocket_is_told_to_upgrade(store: Store) {
    let world = World::new(store).await;
    let reply = world.client.get("/ws").await;
    assert_eq!(reply.header("upgrade"), "websocket");
    reply.expect_error(426, "upgrade_required");
}

#[apply(both_stores)]
async fn asking_for_the_head_of_the_original_route_adds_nobody(store: Store) {
    let world = World::new(store).await;
    let path = "/chat/user/2?chat_id=1";
    let reply = world
        .client
        .send(world.client.request(Method::HEAD, path))
        .await;
    assert_eq!((reply.status, reply.header("allow")), (405, "GET,DELETE"));
    world.is_unchanged().await;
    // What has no effect answers HEAD as it answers GET.
    for path in ["/user", "/chat/1", "/chat/1/message"] {
        let reply = world
            .client
            .send(world.client.request(Method::HEAD, path))
            .await;
        assert_eq!(reply.status, 200, "{path}");
    }
}

#[apply(both_stores)]
async fn a_taken_name_is_a_conflict(store: Store) {
    let world = World::new(store).await;
    let carl = json!({ "username": "carl", "password": "secret" });
    for (method, path) in [(Method::POST, "/user"), (Method::PUT, "/user/2")] {
        let request = world.with_json(&method, path, &carl);
        world.refuses(request, 409, "username_taken", path).await;
    }
    world.is_unchanged().await;
}

#[apply(both_stores)]
async fn an_error_is_one_object_of_two_fields(store: Store) {
    let world = World::new(store).await;
    let expected = json!({ "error": "Chat 7 does not exist", "code": "chat_not_found" });
    assert_eq!(world.client.get("/chat/7").await.expect(404), expected);
    for path in ["/nowhere", "/user/x", "/user/9", "/ws"] {
        let reply = world.client.get(path).await;
        assert_eq!(reply.header("content-type"), "application/json", "{path}");
        testkit::assert_keys(&reply.body, &["error", "code"]);
    }
}
