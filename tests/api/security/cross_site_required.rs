//! Pages of other sites in required mode: they are refused as in open mode, and allowed origins may send
//! a token.

use reqwest::Method;
use serde_json::json;
use testkit::{Server, Socket, Store, apply, both_stores, rstest};

const ALLOWED: &str = "https://chat.example.com";
const FLAGS: [&str; 2] = [
    "--auth=required",
    "--cors-allowed-origins=https://chat.example.com",
];

#[apply(both_stores)]
async fn a_page_of_another_site_neither_signs_in_nor_opens_a_socket(store: Store) {
    let server = Server::start_with(store, &FLAGS).await;
    let carl = server.person("carl").await;
    let chat = carl.chat("general").await;
    let proof = format!("Bearer {}", carl.token);
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let body = json!({ "username": "carl", "password": "correct horse" });
        for (method, path) in [
            (Method::POST, "/login".to_owned()),
            (Method::POST, "/logout".to_owned()),
            (Method::DELETE, "/session".to_owned()),
            (
                Method::GET,
                format!("/chat/user/{}?chat_id={chat}", carl.id),
            ),
        ] {
            let request = carl.client.request(method, &path).json(&body);
            let reply = carl.client.send(request.header(name, value)).await;
            reply.expect_error(403, "cross_site");
        }
        let headers = [("authorization", proof.as_str()), (name, value)];
        let opened = Socket::open_with(server.address, &headers).await;
        assert_eq!(opened.err(), Some(403), "{name}: {value}");
    }
    carl.client.get("/me").await.expect(200);
}

#[apply(both_stores)]
async fn an_own_or_allowed_page_does_both(store: Store) {
    let server = Server::start_with(store, &FLAGS).await;
    let carl = server.person("carl").await;
    let own = format!("http://{}", server.address);
    for origin in [own.as_str(), ALLOWED] {
        let body = json!({ "username": "carl", "password": "correct horse" });
        let request = server.client().request(Method::POST, "/login").json(&body);
        let login = server.client().send(request.header("origin", origin)).await;
        let token = login.expect(200)["token"].clone();
        let proof = format!("Bearer {}", token.as_str().expect("a token"));
        let headers = [("authorization", proof.as_str()), ("origin", origin)];
        let opened = Socket::open_with(server.address, &headers).await;
        assert_eq!(opened.err(), None, "{origin}");
    }
    let preflight = carl
        .client
        .request(Method::OPTIONS, "/me")
        .header("origin", ALLOWED)
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization");
    let reply = server.client().send(preflight).await;
    assert_eq!(reply.header("access-control-allow-origin"), ALLOWED);
    let allowed = reply.header("access-control-allow-headers");
    assert!(allowed.contains("authorization"), "{allowed}");
    // A preflight carries no token, so it must be answered without one.
    assert_eq!(reply.status, 200);
}
