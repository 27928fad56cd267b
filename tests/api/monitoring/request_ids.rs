//! Every answer carries a request id.

use reqwest::{Method, header::HeaderValue};
use std::collections::HashSet;
use testkit::{Client, Reply, Server, Store, apply, both_stores, rstest};

async fn ask(client: &Client, path: &str, id: &[u8]) -> Reply {
    let id = HeaderValue::from_bytes(id).expect("a header");
    let request = client.request(Method::GET, path);
    client.send(request.header("x-request-id", id)).await
}

#[apply(both_stores)]
async fn a_given_request_id_is_returned(store: Store) {
    let server = Server::start(store).await;
    let longest = "x".repeat(128);
    for id in ["7", "a-b_c.d:/{\"e\"}", &longest] {
        for path in ["/user", "/user/x", "/user/9", "/nowhere", "/ws"] {
            let reply = ask(&server.client(), path, id.as_bytes()).await;
            assert_eq!(reply.header("x-request-id"), id, "{path}");
        }
    }
}

#[apply(both_stores)]
async fn a_request_without_an_id_gets_one_of_its_own(store: Store) {
    let server = Server::start(store).await;
    let mut ids = HashSet::new();
    for path in ["/user", "/user", "/user/9", "/nowhere", "/ws"] {
        let reply = server.client().get(path).await;
        assert!(reply.header("x-request-id").len() >= 16, "{reply:?}");
        assert!(
            ids.insert(reply.header("x-request-id").to_owned()),
            "{path}: seen before"
        );
    }
}

#[apply(both_stores)]
async fn an_id_that_does_not_belong_in_a_log_is_replaced(store: Store) {
    let server = Server::start(store).await;
    let long = "x".repeat(129);
    for id in [
        b"".as_slice(),
        b"a b",
        b"a\tb",
        b"\xff\xfe",
        "ü".as_bytes(),
        long.as_bytes(),
    ] {
        let reply = ask(&server.client(), "/user", id).await;
        let given = reply.header("x-request-id");
        assert!(
            given.len() >= 16 && given.as_bytes() != id,
            "{id:?} came back as {given:?}"
        );
        assert!(
            given.bytes().all(|byte| byte.is_ascii_graphic()),
            "{given:?}"
        );
    }
}
