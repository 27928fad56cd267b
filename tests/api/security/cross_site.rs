//! Requests that browsers send for pages of other sites. The server refuses requests with an effect.

use reqwest::Method;
use serde_json::json;
use testkit::{Client, Reply, Server, Store, apply, both_stores, rstest};

const ALLOWED: &str = "https://chat.example.com";
const ALLOW: &str = "--cors-allowed-origins=https://chat.example.com,https://other.example.com";

type Headers = Vec<(&'static str, String)>;

/// Returns the headers that a browser adds to requests of pages that must not use the server.
fn of_other_sites() -> Vec<Headers> {
    let origins = [
        "https://evil.example",
        "null",
        "",
        // An origin with another port is another site, even if its host is the server's.
        "http://localhost:3000",
        "http://127.0.0.1",
        "https://chat.example.com.evil.example",
        "http://chat.example.com",
        "https://chat.example.com:8443",
    ];
    let sites = ["cross-site", "same-site", "nonsense"];
    let origins = origins.map(|origin| vec![("origin", origin.to_owned())]);
    let sites = sites.map(|site| vec![("sec-fetch-site", site.to_owned())]);
    let mut contradiction = origins[0].clone();
    contradiction.push(("sec-fetch-site", "same-origin".to_owned()));
    [&origins[..], &sites, &[contradiction]].concat()
}

/// Returns the headers that a browser adds to requests of allowed pages, and the headers of programs.
fn of_friends(server: &Server) -> Vec<Headers> {
    let own = format!("http://{}", server.address);
    vec![
        vec![],
        vec![("origin", own)],
        vec![("origin", ALLOWED.into())],
        vec![
            ("origin", ALLOWED.into()),
            ("sec-fetch-site", "cross-site".into()),
        ],
        vec![("origin", "https://other.example.com".into())],
        vec![("sec-fetch-site", "same-origin".into())],
        vec![("sec-fetch-site", "none".into())],
    ]
}

async fn world(store: Store) -> (Server, Client) {
    let server = Server::start_with(store, &[ALLOW]).await;
    let client = server.client();
    client.new_user("carl").await;
    client.new_chat("general").await;
    (server, client)
}

async fn ask(client: &Client, method: Method, path: &str, headers: &Headers) -> Reply {
    let mut request = client.request(method.clone(), path);
    if method == Method::POST || method == Method::PUT {
        request = request.json(&json!({ "chatName": "changed" }));
    }
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    client.send(request).await
}

/// Adds the headers that open a WebSocket.
fn upgrade(mut headers: Headers) -> Headers {
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        headers.push((name, value.to_owned()));
    }
    headers
}

#[apply(both_stores)]
async fn pages_of_other_sites_change_nothing(store: Store) {
    let (_server, client) = world(store).await;
    let before = client.list("/chat").await;
    for headers in of_other_sites() {
        for (method, path) in [
            (Method::POST, "/chat"),
            (Method::PUT, "/chat/1"),
            (Method::DELETE, "/chat/1"),
            (Method::POST, "/nowhere"),
        ] {
            let reply = ask(&client, method, path, &headers).await;
            reply.expect_error(403, "cross_site");
        }
    }
    assert_eq!(client.list("/chat").await, before);
}

#[apply(both_stores)]
async fn pages_of_other_sites_add_nobody_by_the_original_route(store: Store) {
    let (_server, client) = world(store).await;
    for headers in of_other_sites() {
        for method in [Method::GET, Method::DELETE] {
            let reply = ask(&client, method, "/chat/user/1?chat_id=1", &headers).await;
            reply.expect_error(403, "cross_site");
        }
    }
    assert_eq!(client.list("/user/chat/1").await.len(), 0);
}

#[apply(both_stores)]
async fn pages_of_other_sites_open_no_socket(store: Store) {
    let (_server, client) = world(store).await;
    for headers in of_other_sites() {
        let reply = ask(&client, Method::GET, "/ws", &upgrade(headers)).await;
        reply.expect_error(403, "cross_site");
    }
}

#[apply(both_stores)]
async fn own_and_allowed_pages_and_programs_are_welcome(store: Store) {
    let (server, client) = world(store).await;
    for headers in of_friends(&server) {
        ask(&client, Method::POST, "/chat", &headers)
            .await
            .expect(201);
        ask(&client, Method::PUT, "/chat/1", &headers)
            .await
            .expect(200);
        ask(&client, Method::GET, "/chat/user/1?chat_id=1", &headers)
            .await
            .expect(201);
        ask(&client, Method::DELETE, "/chat/user/1?chat_id=1", &headers)
            .await
            .expect(204);
        ask(&client, Method::GET, "/ws", &upgrade(headers))
            .await
            .expect(101);
    }
}

#[apply(both_stores)]
async fn pages_of_other_sites_read_no_answer(store: Store) {
    let (_server, client) = world(store).await;
    for headers in of_other_sites() {
        // A plain GET has no effect; without this header the browser keeps its answer from the page.
        let reply = ask(&client, Method::GET, "/chat", &headers).await;
        assert_eq!(
            reply.header("access-control-allow-origin"),
            "",
            "{headers:?}"
        );
    }
}

#[apply(both_stores)]
async fn an_allowed_page_may_read_answers_and_their_headers(store: Store) {
    let (_server, client) = world(store).await;
    let headers = vec![("origin", ALLOWED.to_owned())];
    for path in ["/chat", "/chat/9", "/nowhere"] {
        let reply = ask(&client, Method::GET, path, &headers).await;
        assert_eq!(reply.header("access-control-allow-origin"), ALLOWED);
        let exposed = reply
            .header("access-control-expose-headers")
            .to_ascii_lowercase();
        for name in ["link", "location", "retry-after", "x-request-id"] {
            assert!(exposed.contains(name), "{name} is not among {exposed}");
        }
        assert!(reply.header("vary").to_ascii_lowercase().contains("origin"));
    }
}

#[apply(both_stores)]
async fn an_allowed_page_is_told_in_advance(store: Store) {
    let (_server, client) = world(store).await;
    let preflight = async |origin: &str| {
        let headers = vec![
            ("origin", origin.to_owned()),
            ("access-control-request-method", "PUT".to_owned()),
            (
                "access-control-request-headers",
                "content-type,authorization".to_owned(),
            ),
        ];
        ask(&client, Method::OPTIONS, "/chat/1", &headers).await
    };
    let reply = preflight(ALLOWED).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), ALLOWED);
    let methods = reply.header("access-control-allow-methods");
    assert_eq!(methods, "GET,POST,PUT,DELETE");
    let headers = reply.header("access-control-allow-headers");
    assert!(
        headers.contains("content-type") && headers.contains("authorization"),
        "{headers}"
    );
    let foreign = preflight("https://evil.example").await;
    assert_eq!(foreign.header("access-control-allow-origin"), "");
}

#[apply(both_stores)]
async fn a_name_that_only_points_here_is_refused(store: Store) {
    let (_server, client) = world(store).await;
    for host in [
        "evil.example",
        "localhost.evil.example:8080",
        "10.0.0.1",
        "chat.example.com",
        "",
    ] {
        // Reading is refused too: to the browser this is the page's own site.
        for (method, path) in [
            (Method::GET, "/chat"),
            (Method::POST, "/chat"),
            (Method::GET, "/ws"),
        ] {
            let headers = vec![
                ("host", host.to_owned()),
                ("origin", format!("http://{host}")),
            ];
            let reply = ask(&client, method, path, &headers).await;
            reply.expect_error(403, "cross_site");
        }
    }
    assert_eq!(client.list("/chat").await.len(), 1);
}

#[apply(both_stores)]
async fn every_loopback_name_is_answered(store: Store) {
    let (_server, client) = world(store).await;
    for host in [
        "localhost:8080",
        "127.0.0.1",
        "[::1]:8080",
        "LOCALHOST",
        "chat.localhost:1",
    ] {
        let headers = vec![
            ("host", host.to_owned()),
            ("origin", format!("http://{host}")),
        ];
        ask(&client, Method::POST, "/chat", &headers)
            .await
            .expect(201);
    }
}
