//! How proxies say what the server was called, and what pages may use it.

use reqwest::Method;
use testkit::{Client, Reply, Server, Store, apply, both_stores, rstest};

const BEHIND: [&str; 2] = ["--auth=open", "--trusted-proxies=127.0.0.1"];

/// Opens a socket with these headers; gives the status and what was said.
async fn upgrade(client: &Client, headers: &[(&str, &str)]) -> Reply {
    let mut request = client
        .request(Method::GET, "/ws")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.send(request).await
}

#[apply(both_stores)]
async fn a_sockets_scheme_is_that_of_its_page(store: Store) {
    let server = Server::start_with(store, &BEHIND).await;
    let client = server.client();
    for (told, page, expected) in [
        (("x-forwarded-proto", "wss"), "https://chat.example", 101),
        (("x-forwarded-proto", "WSS"), "https://chat.example", 101),
        (("x-forwarded-proto", "ws"), "http://chat.example", 101),
        (
            ("x-forwarded-proto", "http, wss"),
            "https://chat.example",
            101,
        ),
        // Not believed, so the scheme is unknown and a page may have either.
        (
            ("forwarded", "for=192.0.2.1;proto=ws"),
            "https://chat.example",
            101,
        ),
        (("x-forwarded-proto", "ws"), "https://chat.example", 403),
        (("x-forwarded-proto", "wss"), "http://chat.example", 403),
        (("x-forwarded-proto", "wss"), "https://evil.example", 403),
    ] {
        let headers = [told, ("x-forwarded-host", "chat.example"), ("origin", page)];
        assert_eq!(
            upgrade(&client, &headers).await.status,
            expected,
            "{headers:?}"
        );
    }
}

#[apply(both_stores)]
async fn a_default_port_is_the_same_as_none(store: Store) {
    let server = Server::start_with(store, &BEHIND).await;
    let client = server.client();
    for (called, scheme, page, expected) in [
        ("chat.example:443", "https", "https://chat.example", 101),
        ("chat.example", "https", "https://chat.example:443", 101),
        ("chat.example:80", "http", "http://chat.example", 101),
        ("[2001:db8::1]:443", "wss", "https://[2001:db8::1]", 101),
        ("Chat.Example:443", "https", "https://chat.example", 101),
        (
            "chat.example:8443",
            "https",
            "https://chat.example:8443",
            101,
        ),
        ("chat.example:8443", "https", "https://chat.example", 403),
        ("chat.example:80", "https", "https://chat.example", 403),
        ("chat.example:443", "http", "http://chat.example", 403),
        (
            "chat.example.evil.example:443",
            "https",
            "https://chat.example",
            403,
        ),
    ] {
        let headers = [
            ("x-forwarded-host", called),
            ("x-forwarded-proto", scheme),
            ("origin", page),
        ];
        assert_eq!(
            upgrade(&client, &headers).await.status,
            expected,
            "{headers:?}"
        );
    }
    // No proxy says anything: what the browser sent arrives.
    for (host, page, expected) in [
        ("localhost:443", "https://localhost", 101),
        ("localhost:80", "http://localhost", 101),
        ("localhost", "https://localhost", 101),
        ("localhost:443", "http://localhost", 403),
        ("localhost", "http://localhost:8080", 403),
        ("localhost", "capacitor://localhost", 403),
    ] {
        let headers = [("host", host), ("origin", page)];
        assert_eq!(
            upgrade(&client, &headers).await.status,
            expected,
            "{headers:?}"
        );
    }
}

#[apply(both_stores)]
async fn what_the_server_takes_for_its_origin_is_told(store: Store) {
    let server = Server::start_with(store, &BEHIND).await;
    let client = server.client();
    let page = ("origin", "https://chat.example");
    let called = ("x-forwarded-host", "chat.example");
    for (headers, own) in [
        // TLS ended one proxy earlier, and the nearest one tells of its own connection.
        (
            vec![called, ("x-forwarded-proto", "http")],
            "http://chat.example",
        ),
        (
            vec![called, ("x-forwarded-proto", "https, http")],
            "http://chat.example",
        ),
        // Not believed.
        (
            vec![
                ("forwarded", "host=chat.example;proto=https"),
                ("host", "localhost:8080"),
            ],
            "http://localhost:8080",
        ),
        // The proxy keeps the name to itself.
        (vec![("host", "localhost:8080")], "http://localhost:8080"),
        (
            vec![("x-forwarded-proto", "https"), ("host", "localhost:443")],
            "https://localhost",
        ),
    ] {
        let all = [&headers[..], &[page]].concat();
        let body = upgrade(&client, &all).await.expect_error(403, "cross_site");
        let told = body["error"].as_str().unwrap_or_default();
        for part in [
            &format!("considers {own} its own origin"),
            "CORS_ALLOWED_ORIGINS",
            "TRUSTED_PROXIES",
            "X-Forwarded-Proto",
        ] {
            assert!(told.contains(part), "{all:?}: {part:?} is not said: {told}");
        }
    }
}

#[apply(both_stores)]
async fn apps_with_a_scheme_of_their_own_can_be_allowed(store: Store) {
    let apps = "capacitor://localhost,tauri://localhost,ionic://localhost,app://obsidian.md";
    let allow = format!("--cors-allowed-origins={apps}");
    let server = Server::start_with(store, &[&allow]).await;
    let client = server.client();
    for page in apps.split(',') {
        let origin = [("origin", page)];
        assert_eq!(upgrade(&client, &origin).await.status, 101, "{page}");
        let request = client.request(Method::GET, "/chat").header("origin", page);
        let reply = client.send(request).await;
        assert_eq!(reply.header("access-control-allow-origin"), page);
    }
    for page in [
        "capacitor://localhost:1",
        "app://localhost",
        "http://tauri.localhost",
    ] {
        let refused = upgrade(&client, &[("origin", page)]).await;
        refused.expect_error(403, "cross_site");
    }
}
