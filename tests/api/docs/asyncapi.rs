//! The AsyncAPI document. Every other test checks its frames against it.

use messaging_api::protocol::{ClientCommand, CloseCode, Frame};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use testkit::{Document, Server, Store, apply, both_stores, rstest};

#[apply(both_stores)]
async fn it_is_served_as_yaml(store: Store) {
    let server = Server::start(store).await;
    let request = server.client().request(Method::GET, "/asyncapi.yaml");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/yaml");
    let text = response.text().await.expect("a text");
    assert_eq!(text, include_str!("../../../docs/asyncapi.yaml"));
    server.stop().await;
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    names.into_iter().collect()
}

#[test]
fn it_describes_the_frames_of_the_protocol_and_no_others() {
    let document = Document::get();
    let sent = names(document.sent.keys().map(String::as_str));
    assert_eq!(sent, names(ClientCommand::KINDS));
    let acked = names(document.acks.keys().map(String::as_str));
    assert_eq!(acked, sent, "whatever has an id is answered");
    let mut received = names(document.received.keys().map(String::as_str));
    received.insert("ack");
    assert_eq!(received, names(Frame::KINDS));
}

#[test]
fn every_message_belongs_to_an_operation() {
    let document = Document::get();
    let used: BTreeSet<String> = references(&document.value["operations"]);
    let channel = document.value["channels"]["ws"]["messages"].as_object();
    for (name, message) in channel.expect("messages of the channel") {
        assert!(
            used.contains(&format!("#/channels/ws/messages/{name}")),
            "{name}"
        );
        assert_eq!(message["$ref"], format!("#/components/messages/{name}"));
    }
    let described = document.value["components"]["messages"].as_object();
    assert_eq!(described.map(|all| all.len()), channel.map(|all| all.len()));
}

/// Everything that is referred to.
fn references(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(fields) => match fields.get("$ref").and_then(Value::as_str) {
            Some(path) => BTreeSet::from([path.to_owned()]),
            None => fields.values().flat_map(references).collect(),
        },
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => BTreeSet::new(),
    }
}

#[test]
fn each_of_its_examples_is_right() {
    let document = Document::get();
    let messages = document.value["components"]["messages"].as_object();
    for (place, message) in messages.expect("messages") {
        let examples = message["examples"].as_array();
        let examples = examples.unwrap_or_else(|| panic!("{place} has no example"));
        assert!(!examples.is_empty(), "{place} has no example");
        for example in examples {
            let frame = &example["payload"];
            assert_eq!(frame["type"], message["name"], "{place}");
            let from_client = ClientCommand::KINDS
                .iter()
                .any(|kind| camel(kind) == *place);
            let complaint = match place.strip_suffix("Ack") {
                _ if from_client => document.complaint_of_sent(frame),
                Some(of) => {
                    let kind = ClientCommand::KINDS.iter().find(|kind| camel(kind) == of);
                    document.complaint(frame, Some(kind.expect("what it answers")))
                }
                None => document.complaint(frame, None),
            };
            assert_eq!(complaint, None, "{place}");
        }
    }
}

/// `connect-chat` is `connectChat`.
fn camel(kind: &str) -> String {
    let mut camel = String::new();
    for (n, word) in kind.split('-').enumerate() {
        match word.split_at_checked(1) {
            Some((first, rest)) if n > 0 => camel.push_str(&(first.to_uppercase() + rest)),
            _ => camel.push_str(word),
        }
    }
    camel
}

#[test]
fn it_names_the_close_codes_and_the_version() {
    let document = &Document::get().value;
    let closes = [
        CloseCode::Normal,
        CloseCode::Protocol,
        CloseCode::Binary,
        CloseCode::NotText,
        CloseCode::NotConnected(Duration::from_secs(10)),
        CloseCode::TooLarge,
        CloseCode::Restart,
        CloseCode::TooSlow,
        CloseCode::SessionEnded,
    ];
    let codes: Vec<u16> = closes.iter().map(|close| close.frame().0).collect();
    assert_eq!(document["info"]["x-close-codes"], json!(codes));
    let description = document["info"]["description"].as_str().expect("a text");
    for code in codes.iter().filter(|code| **code != 1000) {
        assert!(description.contains(&format!("| {code} |")), "{code}");
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn what_it_does_not_describe_is_noticed() {
    let document = Document::get();
    let right = json!({ "type": "join", "content": "carl", "chatId": 1, "customerId": 1 });
    assert_eq!(document.complaint(&right, None), None);
    let ack = json!({ "type": "ack", "id": 1, "content": { "chatId": 1 } });
    assert_eq!(document.complaint(&ack, Some("leave-chat")), None);
    for (wrong, answered) in [
        (json!({ "type": "dance", "content": 1 }), None),
        (json!({ "content": 1 }), None),
        (
            json!({ "type": "join", "content": "carl", "chatId": 1 }),
            None,
        ),
        (
            json!({ "type": "join", "content": 1, "chatId": 1, "customerId": 1 }),
            None,
        ),
        (
            json!({ "type": "join", "content": "carl", "chatId": 1, "customerId": 1, "new": 1 }),
            None,
        ),
        (
            json!({ "type": "error", "content": { "error": "x", "code": "new" } }),
            None,
        ),
        (
            json!({ "type": "heartbeat", "content": { "one": 1 } }),
            None,
        ),
        (ack.clone(), Some("send-message")),
        (
            json!({ "type": "ack", "id": 1, "content": { "chatId": 1, "new": 1 } }),
            None,
        ),
        (
            json!({ "type": "ack", "id": 1, "content":
                { "chatId": 1, "seq": 0, "online": [{ "customerId": 1, "username": "x", "new": 1 }] } }),
            Some("connect-chat"),
        ),
    ] {
        assert!(document.complaint(&wrong, answered).is_some(), "{wrong}");
    }
    let message = &document.value["components"]["messages"]["messageSent"]["examples"][0];
    for (field, value) in [("new", json!(1)), ("sentAt", json!("2026-11-23T06:25:01Z"))] {
        let mut frame = message["payload"].clone();
        assert_eq!(document.complaint(&frame, None), None);
        frame["content"][field] = value;
        assert!(document.complaint(&frame, None).is_some(), "{frame}");
    }
    for wrong in [
        json!({ "type": "dance", "content": 1 }),
        json!({ "type": "leave-chat", "content": "1" }),
        json!({ "type": "mark-read", "content": { "chatId": 1 } }),
        json!({ "type": "send-message", "content": { "chatId": 1, "content": "  " } }),
        json!({ "type": "send-message", "id": [1], "content": { "chatId": 1, "content": "x" } }),
    ] {
        assert!(document.complaint_of_sent(&wrong).is_some(), "{wrong}");
    }
}
