//! Ids and other parameters of paths and queries.

use super::World;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Store, apply, both_stores, rstest};

/// A route with an id in the place of `{}`, and a body where it takes one.
type Place = (Method, &'static str, Option<Value>);

fn user_places() -> Vec<Place> {
    vec![
        (Method::GET, "/user/{}", None),
        (
            Method::PUT,
            "/user/{}",
            Some(json!({ "username": "gustav" })),
        ),
        (
            Method::PUT,
            "/user/{}",
            Some(json!({ "password": "secret" })),
        ),
        (Method::DELETE, "/user/{}", None),
        (Method::GET, "/chat/user/{}?chat_id=1", None),
        (Method::DELETE, "/chat/user/{}?chat_id=1", None),
        (
            Method::PUT,
            "/chat/1/user/{}",
            Some(json!({ "role": "admin" })),
        ),
        (Method::DELETE, "/chat/1/user/{}", None),
    ]
}

fn chat_places() -> Vec<Place> {
    let message = json!({ "content": "Hi.", "customerId": 1 });
    vec![
        (Method::GET, "/user/chat/{}", None),
        (Method::GET, "/chat/{}", None),
        (
            Method::PUT,
            "/chat/{}",
            Some(json!({ "chatName": "random" })),
        ),
        (Method::DELETE, "/chat/{}", None),
        (Method::GET, "/chat/user/1?chat_id={}", None),
        (Method::DELETE, "/chat/user/1?chatId={}", None),
        (Method::PUT, "/chat/{}/user/1", Some(json!({}))),
        (Method::DELETE, "/chat/{}/user/1", None),
        (Method::GET, "/chat/{}/message", None),
        (Method::GET, "/chat/{}/message?since=0", None),
        (Method::GET, "/chat/{}/message?q=x", None),
        (Method::POST, "/chat/{}/message", Some(message)),
    ]
}

fn message_places() -> Vec<Place> {
    vec![
        (Method::GET, "/message/{}", None),
        (
            Method::PUT,
            "/message/{}",
            Some(json!({ "content": "Hi." })),
        ),
        (Method::DELETE, "/message/{}", None),
    ]
}

impl World {
    /// Refuses this id in this place.
    async fn refuses_id(&self, place: &Place, id: &str, status: u16, code: &str) {
        let (method, path, body) = place;
        let path = path.replace("{}", id);
        let request = match body {
            Some(body) => self.with_json(method, &path, body),
            None => self.client.request(method.clone(), &path),
        };
        self.refuses(request, status, code, &format!("{method} {path}"))
            .await;
    }
}

#[apply(both_stores)]
async fn what_does_not_exist_has_its_own_code(store: Store) {
    let world = World::new(store).await;
    for (places, code) in [
        (user_places(), "user_not_found"),
        (chat_places(), "chat_not_found"),
        (message_places(), "message_not_found"),
    ] {
        for place in &places {
            for id in ["999", "9223372036854775807"] {
                world.refuses_id(place, id, 404, code).await;
            }
        }
    }
    let stranger = json!({ "content": "Hi.", "customerId": 999 });
    for (method, path) in [
        (Method::POST, "/chat/1/message"),
        (Method::PUT, "/message/1"),
    ] {
        let request = world.with_json(&method, path, &stranger);
        world.refuses(request, 404, "user_not_found", path).await;
    }
    for path in ["/chat/user/2?chat_id=1", "/chat/1/user/2"] {
        let request = world.client.request(Method::DELETE, path);
        world.refuses(request, 404, "member_not_found", path).await;
    }
    world.is_unchanged().await;
}

#[apply(both_stores)]
async fn an_id_that_is_no_positive_integer_is_refused(store: Store) {
    let world = World::new(store).await;
    let mut places = [user_places(), chat_places(), message_places()].concat();
    places.extend([
        (Method::GET, "/chat/user/{}/chat/1/access", None),
        (Method::GET, "/chat/user/1/chat/{}/access", None),
        (Method::GET, "/user?after={}", None),
        (Method::GET, "/chat?after={}", None),
        (Method::GET, "/user/chat/1?after={}", None),
        (Method::GET, "/chat/1/message?before={}", None),
        (Method::DELETE, "/message/1?customerId={}", None),
    ]);
    for place in &places {
        let from_the_first = place.1.contains("after");
        let wrong = [
            "0",
            "-1",
            "+1",
            "01",
            "1.5",
            "abc",
            "1e3",
            "9223372036854775808",
            "%20",
            "١",
        ];
        for id in wrong {
            // After 0 means from the first: what a client that counts on begins with.
            if !(from_the_first && id == "0") {
                world.refuses_id(place, id, 400, "invalid_field").await;
            }
        }
    }
    world.is_unchanged().await;
}

#[apply(both_stores)]
async fn a_membership_route_without_its_chat_says_so(store: Store) {
    let world = World::new(store).await;
    for method in [Method::GET, Method::DELETE] {
        for path in ["/chat/user/1", "/chat/user/1?", "/chat/user/1?chat=1"] {
            let request = world.client.request(method.clone(), path);
            world.names(request, "chat_id", path).await;
        }
    }
    world.is_unchanged().await;
}

const LISTS: [&str; 5] = [
    "/user?",
    "/chat?",
    "/user/chat/1?",
    "/chat/1/message?",
    "/chat/1/message?since=0&",
];

#[apply(both_stores)]
async fn a_limit_that_is_no_positive_integer_is_refused(store: Store) {
    let world = World::new(store).await;
    for list in LISTS {
        for limit in ["0", "-1", "1.5", "ten", "", "%00"] {
            let path = format!("{list}limit={limit}");
            let request = world.client.request(Method::GET, &path);
            world.names(request, "limit", &path).await;
        }
    }
}

#[apply(both_stores)]
async fn a_since_that_is_no_number_is_refused(store: Store) {
    let world = World::new(store).await;
    for since in ["-1", "1.5", "abc", "", "9223372036854775808"] {
        let path = format!("/chat/1/message?since={since}");
        world
            .names(world.client.request(Method::GET, &path), "since", &path)
            .await;
    }
}

#[apply(both_stores)]
async fn since_goes_with_neither_before_nor_q(store: Store) {
    let world = World::new(store).await;
    for other in ["before=1", "q=x"] {
        let path = format!("/chat/1/message?since=0&{other}");
        world
            .names(world.client.request(Method::GET, &path), "since", &path)
            .await;
    }
}

#[apply(both_stores)]
async fn a_search_for_nothing_is_refused(store: Store) {
    let world = World::new(store).await;
    let path = "/chat/1/message?q=";
    world
        .names(world.client.request(Method::GET, path), "q", path)
        .await;
}

#[apply(both_stores)]
async fn a_long_search_is_refused(store: Store) {
    let world = World::new(store).await;
    for text in ["!".repeat(20_000), "_".repeat(257), "%C3%A4".repeat(129)] {
        let path = format!("/chat/1/message?q={text}");
        let case = format!("{path:.60}");
        world
            .names(world.client.request(Method::GET, &path), "q", &case)
            .await;
    }
    for text in ["_".repeat(256), "%C3%A4".repeat(128)] {
        let longest = format!("/chat/1/message?q={text}");
        assert_eq!(world.client.list(&longest).await.len(), 0);
    }
}

#[apply(both_stores)]
async fn texts_that_are_not_utf_8_are_refused(store: Store) {
    let world = World::new(store).await;
    for path in [
        "/user/username/%FF",
        "/user/%FF",
        "/chat/%C3%28/message",
        "/message/%FF",
    ] {
        let request = world.client.request(Method::GET, path);
        world.refuses(request, 400, "invalid_field", path).await;
    }
}
