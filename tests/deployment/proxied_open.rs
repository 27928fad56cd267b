//! Open mode on loopback is for callers on one machine. A proxy on that machine would admit others.

use reqwest::Method;
use serde_json::json;
use testkit::{Server, Store, apply, both_stores, rstest};

/// One header of each kind that proxies add.
const ADDED: [(&str, &str); 9] = [
    ("x-forwarded-for", "198.51.100.1"),
    ("x-forwarded-host", "chat.example"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-port", "443"),
    ("x-forwarded-server", "proxy"),
    ("X-Forwarded-Prefix", "/chat"),
    ("forwarded", "for=198.51.100.1"),
    ("x-real-ip", "198.51.100.1"),
    ("via", "1.1 Caddy"),
];

/// Sends requests of several kinds with this header. Returns the answers.
async fn ask(server: &Server, (name, value): (&str, &str)) -> Vec<testkit::Reply> {
    let client = server.client();
    let mut replies = Vec::new();
    for (method, path) in [
        (Method::GET, "/chat"),
        (Method::POST, "/chat"),
        (Method::GET, "/ws"),
        (Method::GET, "/"),
    ] {
        let mut request = client.request(method.clone(), path).header(name, value);
        if method == Method::POST {
            request = request.json(&json!({ "chatName": "general" }));
        }
        replies.push(client.send(request).await);
    }
    replies
}

#[apply(both_stores)]
async fn a_request_through_a_proxy_is_refused_in_open_mode(store: Store) {
    // `--trusted-proxies` makes the addresses in a proxy's headers trusted. It does not admit its requests.
    for flags in [&[][..], &["--trusted-proxies=127.0.0.1"]] {
        let server = Server::start_with(store, flags).await;
        for added in ADDED {
            for reply in ask(&server, added).await {
                let body = reply.expect_error(403, "cross_site");
                let told = body["error"].as_str().unwrap_or_default();
                let name = added.0.to_ascii_lowercase();
                for part in [name.as_str(), "AUTH=required", "AUTH=open"] {
                    assert!(
                        told.contains(part),
                        "{added:?}: {part:?} is not said: {told}"
                    );
                }
            }
        }
        assert_eq!(server.client().list("/chat").await.len(), 0);
    }
}

#[apply(both_stores)]
async fn a_proxy_is_welcome_where_it_was_said_who_is_believed(store: Store) {
    for (auth, expected) in [
        ("--auth=open", [200, 201, 426, 200]),
        ("--auth=required", [401, 401, 426, 200]),
    ] {
        let server = Server::start_with(store, &[auth]).await;
        for added in ADDED {
            let replies = ask(&server, added).await;
            let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
            assert_eq!(statuses, expected, "{auth} {added:?}");
        }
    }
}
