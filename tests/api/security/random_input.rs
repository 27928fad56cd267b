//! Random frames and requests. Each frame gets an error or an effect, and the socket stays open. No
//! request is answered with a status of 500 or above.

use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use reqwest::Method;
use serde_json::{Map, Value, json};
use testkit::{Room, Store, apply, both_stores, rstest};

const FRAMES: usize = 1500;
const TEXTS: usize = 1500;
const REQUESTS: usize = 1000;
/// The largest message that a socket accepts, in bytes. A larger one closes the socket.
const LARGEST: usize = 64 * 1024;

/// Any JSON value, mostly typical mistakes of programs.
fn any_json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        select(vec![-1, 0, 1, 2, 3, 7, i64::MAX, i64::MIN]).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(vec![256, 1024, 16_384, 16_385]).prop_map(|n| "x".repeat(n).into()),
        Just(json!("2026-01-01T00:00:00.000Z")),
        Just(json!("admin")),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner).prop_map(Value::from),
        ]
    })
    .boxed()
}

/// An object, mostly with keys that the server knows.
fn object(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let keys = prop_oneof![
        9 => select(vec![
            "chatId", "customerId", "customerd", "username", "password", "content",
            "messageId", "since", "clientMessageId", "replyTo", "chatName", "chat_name", "role",
            "token",
        ])
        .prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec((keys, values), 0..6).prop_map(|pairs| pairs.into_iter().collect())
}

fn frame_type() -> impl Strategy<Value = Value> {
    prop_oneof![
        9 => select(vec![
            "connect-chat", "send-message", "update-message", "delete-message", "leave-chat",
            "start-typing", "mark-read",
        ])
        .prop_map(Value::from),
        1 => any_json(),
    ]
}

/// Content that is valid or nearly valid.
fn content() -> impl Strategy<Value = Value> {
    let ids = || select(vec![1, 2, 3, 99_i64]);
    let likely = (ids(), ids(), "\\PC{1,20}", any_json()).prop_map(|(chat, user, text, other)| {
        json!({
            "chatId": chat, "customerId": user, "content": text, "username": text,
            "messageId": user, "replyTo": other,
        })
    });
    prop_oneof![4 => likely, 3 => object(any_json()).prop_map(Value::from), 3 => any_json()]
}

/// Returns `count` random values.
fn draw<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let mut runner = TestRunner::default();
    let one = |_| strategy.new_tree(&mut runner).expect("a value").current();
    (0..count).map(one).collect()
}

#[apply(both_stores)]
async fn every_random_frame_is_answered_once_and_the_socket_stays_open(store: Store) {
    let room = Room::open(store).await;
    room.client.new_chat("random").await;
    let mut socket = room.enter(room.carl).await;
    let (mut done, mut refused) = (0, 0);
    for (n, (kind, content)) in draw((frame_type(), content()), FRAMES)
        .into_iter()
        .enumerate()
    {
        let frame = json!({ "type": kind, "content": content, "id": n });
        if frame.to_string().len() > LARGEST {
            continue;
        }
        socket.send(frame.clone()).await;
        let frames = socket.frames_until(|answer| answer["id"] == n).await;
        let answer = frames.last().expect("an answer");
        match answer["type"].as_str() {
            Some("ack") => done += 1,
            Some("error") => {
                let code = answer["content"]["code"].as_str().unwrap_or_default();
                assert!(
                    !["", "internal", "unavailable"].contains(&code),
                    "{frame}: {answer}"
                );
                refused += 1;
            }
            _ => panic!("{frame}: {answer}"),
        }
        let others = frames.iter().filter(|other| other["id"] == n).count();
        assert_eq!(others, 1, "{frame} is answered once");
    }
    assert!(done > 0 && refused > 0, "{done} {refused}");
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn random_texts_never_close_a_socket(store: Store) {
    let room = Room::open(store).await;
    let mut socket = room.enter(room.carl).await;
    let valid = json!({ "type": "leave-chat", "content": { "chatId": 99 }, "id": 1 }).to_string();
    // A valid frame in which a piece is replaced by random text.
    let cut = (0..valid.len(), 0..valid.len(), "\\PC{0,3}").prop_map(move |(a, b, more)| {
        format!("{}{more}{}", &valid[..a.min(b)], &valid[a.max(b)..])
    });
    let texts = prop_oneof![any::<String>(), "[\\[\\]{}\",:0-9a-z \\\\]{0,40}", cut];
    for (n, text) in draw(texts, TEXTS).into_iter().enumerate() {
        socket.send_text(&text).await;
        // An answered probe shows that the socket is open. The random frame got at most one answer.
        let probe = format!("probe {n}");
        socket.send(json!({ "type": "dance", "id": probe })).await;
        let frames = socket
            .frames_until(|frame| frame["id"] == probe.as_str())
            .await;
        assert!(frames.len() <= 2, "{text:?}: {frames:?}");
    }
    room.still_serves().await;
    room.close().await;
}

/// A path, mostly of a route that exists.
fn path() -> impl Strategy<Value = String> {
    let id = || {
        prop_oneof![
            3 => select(vec!["1", "2", "3", "99", "0", "-1", "01", "9223372036854775808", "x"])
                .prop_map(str::to_owned),
            1 => "[a-zA-Z0-9%._~-]{1,20}",
        ]
    };
    let routes = select(vec![
        "/user",
        "/user/{}",
        "/user/username/{}",
        "/user/chat/{}",
        "/user/{}/chat",
        "/chat",
        "/chat/{}",
        "/chat/user/{}",
        "/chat/{}/user/{}",
        "/chat/user/{}/chat/{}/access",
        "/chat/{}/message",
        "/message/{}",
        "/ws",
        "/health/ready",
        "/{}",
    ]);
    let query = prop_oneof![
        Just(String::new()),
        (query_key(), "[a-zA-Z0-9%&=+._-]{0,12}")
            .prop_map(|(key, value)| format!("?{key}={value}")),
        (query_key(), query_key(), id(), id())
            .prop_map(|(a, b, first, second)| format!("?{a}={first}&{b}={second}")),
        "[!-~&&[^#\"<>`{}]]{0,20}".prop_map(|text| format!("?{text}")),
    ];
    (routes, id(), id(), query).prop_map(|(route, first, second, query)| {
        let path = route.replacen("{}", &first, 1).replacen("{}", &second, 1);
        format!("{path}{query}")
    })
}

fn query_key() -> impl Strategy<Value = &'static str> {
    select(vec![
        "limit",
        "after",
        "before",
        "since",
        "q",
        "chat_id",
        "chatId",
        "customerId",
        "customer_id",
        "x",
    ])
}

#[apply(both_stores)]
async fn no_random_request_is_a_fault_of_the_server(store: Store) {
    let room = Room::open(store).await;
    let methods = select(vec![
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
    ]);
    let kinds = select(vec![
        "application/json",
        "application/json",
        "application/json",
        "text/plain",
    ]);
    let bodies = prop_oneof![
        6 => content().prop_map(|body| body.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ];
    let mut refused = 0;
    let requests = draw((methods, path(), kinds, bodies), REQUESTS);
    for (method, path, kind, body) in requests {
        let case = format!("{method} {path} {}", String::from_utf8_lossy(&body));
        let request = room
            .client
            .request(method, &path)
            .header("content-type", kind);
        let reply = room.client.send(request.body(body)).await;
        assert!(reply.status < 500, "{case}: {reply:?}");
        if reply.status >= 400 {
            let (status, code) = (
                reply.status,
                reply.body["code"].as_str().unwrap_or_default(),
            );
            let code = code.to_owned();
            assert!(!code.is_empty(), "{case}: {reply:?}");
            reply.expect_error(status, &code);
            refused += 1;
        }
    }
    assert!(refused > 0 && refused < REQUESTS, "{refused}");
    // The requests may have deleted the users and the chat, so the last check uses new ones.
    let (user, chat) = (
        room.client.new_user("the last").await,
        room.client.new_chat("last").await,
    );
    room.client.say(user, chat, "Still here.").await;
    room.close().await;
}
