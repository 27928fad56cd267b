//! Invalid request bodies as a whole: no JSON, no object, too large.

use super::{World, routes_with_a_body};
use reqwest::Method;
use testkit::{Store, apply, both_stores, rstest};

#[apply(both_stores)]
async fn a_body_that_is_not_json_is_refused(store: Store) {
    let world = World::new(store).await;
    let long = "[".repeat(10_000);
    for (method, path, body) in routes_with_a_body() {
        let right = body.to_string();
        let cut = &right[..right.len() - 1];
        let more = format!("{right} x");
        for text in [
            "{",
            "hello",
            "{'a':1}",
            "{\"a\":1,}",
            "\u{feff}{}",
            cut,
            &more,
            &long,
        ] {
            let case = format!("{method} {path} {text:.60}");
            let request = world.with_text(&method, path, text);
            let reply = world.client.send(request).await;
            let code = reply.body["code"].as_str();
            // A list without end is known to be no object before it is known to be no JSON.
            let expected = if text == long {
                "invalid_field"
            } else {
                "invalid_json"
            };
            assert_eq!((reply.status, code), (400, Some(expected)), "{case}");
        }
        let bytes = world.client.request(method.clone(), path);
        let bytes = bytes
            .header("content-type", "application/json")
            .body(vec![b'"', 0xff, b'"']);
        let reply = world.client.send(bytes).await;
        assert_eq!(reply.status, 400, "{method} {path}: not UTF-8: {reply:?}");
    }
    world.is_unchanged().await;
}

#[apply(both_stores)]
async fn a_body_that_is_no_object_is_refused(store: Store) {
    let world = World::new(store).await;
    for (method, path, _) in routes_with_a_body() {
        for text in ["[]", "[1]", "null", "7", "\"x\"", "true"] {
            let case = format!("{method} {path} {text}");
            let request = world.with_text(&method, path, text);
            world.refuses(request, 400, "invalid_field", &case).await;
        }
    }
    world.is_unchanged().await;
}

#[apply(both_stores)]
async fn a_body_of_another_type_is_refused(store: Store) {
    let world = World::new(store).await;
    for (method, path, body) in routes_with_a_body() {
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonx",
            "",
        ] {
            let request = world
                .client
                .request(method.clone(), path)
                .body(body.to_string());
            let request = request.header("content-type", kind);
            let case = format!("{method} {path} {kind}");
            world
                .refuses(request, 415, "unsupported_media_type", &case)
                .await;
        }
        let untyped = world
            .client
            .request(method.clone(), path)
            .body(body.to_string());
        let case = format!("{method} {path} without a type");
        world
            .refuses(untyped, 415, "unsupported_media_type", &case)
            .await;
    }
    world.is_unchanged().await;
}

#[apply(both_stores)]
async fn a_missing_body_is_refused(store: Store) {
    let world = World::new(store).await;
    for (method, path, _) in routes_with_a_body() {
        // A membership needs none.
        if path == "/chat/1/user/1" {
            continue;
        }
        let empty = world.with_text(&method, path, "");
        let case = format!("{method} {path}");
        world.refuses(empty, 400, "invalid_json", &case).await;
        let bare = world.client.request(method.clone(), path);
        world
            .refuses(bare, 415, "unsupported_media_type", &case)
            .await;
    }
    world.is_unchanged().await;
}

#[apply(both_stores)]
async fn a_body_over_256_kib_is_refused(store: Store) {
    const MOST: usize = 256 * 1024;
    let world = World::new(store).await;
    for (method, path, mut body) in routes_with_a_body() {
        body["padding"] = "".into();
        let room = MOST - body.to_string().len();
        body["padding"] = "x".repeat(room + 1).into();
        let request = world.with_json(&method, path, &body);
        let case = format!("{method} {path}");
        world.refuses(request, 413, "too_large", &case).await;
    }
    world.is_unchanged().await;
    // A body that is one byte shorter is accepted, and its unknown key is ignored.
    let mut body = serde_json::json!({ "chatName": "random", "padding": "" });
    let room = MOST - body.to_string().len();
    body["padding"] = "x".repeat(room).into();
    world
        .client
        .send(world.with_json(&Method::POST, "/chat", &body))
        .await
        .expect(201);
}

#[apply(both_stores)]
async fn a_key_given_twice_is_refused(store: Store) {
    let world = World::new(store).await;
    for (method, path, body) in routes_with_a_body() {
        let object = body.as_object().expect("an object");
        for (key, value) in object {
            let text = format!("{{\"{key}\":{value},{}", &body.to_string()[1..]);
            let case = format!("{method} {path} {text}");
            world
                .names(world.with_text(&method, path, text), key, &case)
                .await;
        }
    }
    for text in [
        r#"{"content":"Hi.","customerId":1,"customerd":2}"#,
        r#"{"content":"Hi.","customerd":1,"customerId":2}"#,
    ] {
        let request = world.with_text(&Method::POST, "/chat/1/message", text);
        world.refuses(request, 400, "invalid_field", text).await;
    }
    world.is_unchanged().await;
}
