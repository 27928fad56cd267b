//! Missing and invalid fields of request bodies.

use super::{World, routes_with_a_body};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Store, apply, both_stores, rstest};

/// Returns the required fields of a route. `customerId` names the sender in open mode, where requests
/// carry no token.
fn needed(method: &Method, path: &str) -> &'static [&'static str] {
    match (method.as_str(), path) {
        ("POST", "/user") => &["username", "password"],
        (_, "/chat" | "/chat/1") => &["chatName"],
        ("POST", "/chat/1/message") => &["content", "customerId"],
        ("PUT", "/message/1") => &["content"],
        _ => &[],
    }
}

#[apply(both_stores)]
async fn a_missing_field_is_named(store: Store) {
    let world = World::new(store).await;
    for (method, path, body) in routes_with_a_body() {
        for &field in needed(&method, path) {
            let case = format!("{method} {path} without {field}");
            let mut without = body.clone();
            without.as_object_mut().expect("an object").remove(field);
            world
                .names(world.with_json(&method, path, &without), field, &case)
                .await;
            let mut null = body.clone();
            null[field] = Value::Null;
            world
                .names(world.with_json(&method, path, &null), field, &case)
                .await;
        }
    }
    world.is_unchanged().await;
}

#[apply(both_stores)]
async fn a_field_of_the_wrong_type_is_named(store: Store) {
    let world = World::new(store).await;
    for (method, path, body) in routes_with_a_body() {
        for (field, right) in body.as_object().expect("an object") {
            let other = if right.is_string() {
                json!(7)
            } else {
                json!("7")
            };
            for wrong in [
                other,
                json!(true),
                json!([]),
                json!([right]),
                json!({ "a": right }),
            ] {
                let mut body = body.clone();
                body[field] = wrong;
                let case = format!("{method} {path} {body}");
                world
                    .names(world.with_json(&method, path, &body), field, &case)
                    .await;
            }
        }
    }
    world.is_unchanged().await;
}

#[apply(both_stores)]
async fn an_id_that_is_no_positive_integer_is_named(store: Store) {
    let world = World::new(store).await;
    for (method, path, body) in routes_with_a_body() {
        for field in ["customerId", "replyTo"] {
            if body.get(field).is_none() {
                continue;
            }
            for wrong in ["0", "-1", "1.5", "1e3", "9223372036854775808", "1e400"] {
                // The body is built as text, because `serde_json` cannot represent all of these values.
                let mut body = body.clone();
                body[field] = json!("here");
                let text = body.to_string().replace("\"here\"", wrong);
                let case = format!("{method} {path} {text}");
                let reply = world
                    .client
                    .send(world.with_text(&method, path, text))
                    .await;
                assert_eq!(reply.status, 400, "{case}: {reply:?}");
                // A number that overflows even a float is not JSON to every reader.
                let code = reply.body["code"].as_str();
                let expected = if wrong == "1e400" {
                    "invalid_json"
                } else {
                    "invalid_field"
                };
                assert_eq!(code, Some(expected), "{case}: {reply:?}");
            }
        }
    }
    world.is_unchanged().await;
}

/// Checks that every route with `field` refuses each of the values, with an error that names the field.
async fn refuse_values(world: &World, field: &str, values: &[&str]) {
    let mut routes = 0;
    for (method, path, body) in routes_with_a_body() {
        if body.get(field).is_none() {
            continue;
        }
        routes += 1;
        for &wrong in values {
            let mut body = body.clone();
            body[field] = json!(wrong);
            let case = format!("{method} {path} {field} {wrong:?}");
            world
                .names(world.with_json(&method, path, &body), field, &case)
                .await;
        }
    }
    assert!(routes > 0, "no route has {field}");
    world.is_unchanged().await;
}

#[apply(both_stores)]
async fn a_name_outside_its_limits_is_named(store: Store) {
    let world = World::new(store).await;
    let long = "ü".repeat(256);
    let huge = "x".repeat(100_000);
    let wrong = [
        "",
        " ",
        "\u{3000}\t",
        "a\nb",
        "a\u{7f}",
        "\u{85}x",
        &long,
        &huge,
    ];
    for field in ["username", "chatName"] {
        refuse_values(&world, field, &wrong).await;
    }
}

#[apply(both_stores)]
async fn a_password_outside_its_limits_is_named(store: Store) {
    let world = World::new(store).await;
    refuse_values(&world, "password", &["", &"x".repeat(1025)]).await;
}

#[apply(both_stores)]
async fn content_that_is_blank_is_named_and_over_16_kib_too_large(store: Store) {
    let world = World::new(store).await;
    refuse_values(&world, "content", &["", " \n\t", "\u{3000}"]).await;
    for (method, path) in [
        (Method::POST, "/chat/1/message"),
        (Method::PUT, "/message/1"),
    ] {
        for long in ["x".repeat(16_385), "ü".repeat(8_193), " ".repeat(16_385)] {
            let body = json!({ "content": long, "customerId": 1 });
            let request = world.with_json(&method, path, &body);
            world.refuses(request, 413, "too_large", path).await;
        }
    }
    world.is_unchanged().await;
}

#[apply(both_stores)]
async fn a_client_message_id_outside_its_limits_is_named(store: Store) {
    let world = World::new(store).await;
    refuse_values(
        &world,
        "clientMessageId",
        &["", " ", "a\nb", &"ü".repeat(65)],
    )
    .await;
}

#[apply(both_stores)]
async fn a_role_that_does_not_exist_is_named(store: Store) {
    let world = World::new(store).await;
    refuse_values(&world, "role", &["", "owner", "Admin", "admin "]).await;
}

#[apply(both_stores)]
async fn u_0000_is_refused_everywhere(store: Store) {
    let world = World::new(store).await;
    for field in [
        "username",
        "password",
        "chatName",
        "content",
        "clientMessageId",
        "role",
    ] {
        refuse_values(&world, field, &["a\0b", "\0"]).await;
    }
    for path in [
        "/user/username/%00",
        "/user/username/a%00b",
        "/chat/1/message?q=a%00b",
    ] {
        let request = world.client.request(Method::GET, path);
        world.refuses(request, 400, "invalid_field", path).await;
    }
}

#[apply(both_stores)]
async fn half_a_character_is_refused(store: Store) {
    let world = World::new(store).await;
    for (method, path, body) in routes_with_a_body() {
        for (field, right) in body.as_object().expect("an object") {
            if right.is_string() {
                let mut body = body.clone();
                body[field] = json!("here");
                let text = body.to_string().replace("\"here\"", "\"\\ud800\"");
                let case = format!("{method} {path} {text}");
                let request = world.with_text(&method, path, text);
                world.refuses(request, 400, "invalid_json", &case).await;
            }
        }
    }
    world.is_unchanged().await;
}
