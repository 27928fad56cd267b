//! Security headers of every answer.

use testkit::{Room, Store, apply, both_stores, rstest};

#[apply(both_stores)]
async fn every_answer_tells_browsers_what_not_to_do(store: Store) {
    let room = Room::open(store).await;
    let long = format!("GET /{}", "x".repeat(30_000));
    for (line, headers, status) in [
        ("GET /chat", "", 200),
        ("GET /health/live", "", 200),
        ("GET /chat/999", "", 404),
        ("GET /nowhere", "", 404),
        ("DELETE /chat", "", 405),
        ("POST /chat", "", 415),
        ("GET /ws", "", 426),
        (&long, "", 414),
        ("GET /chat", "Host: localhost\r\n", 400),
        ("POST /chat", "Origin: https://evil.example\r\n", 403),
        ("GET /chat", "Origin: https://evil.example\r\n", 200),
        ("DELETE /chat/1", "", 204),
    ] {
        let answer = room
            .raw_http()
            .await
            .ask(line, headers)
            .await
            .expect("an answer");
        assert_eq!(answer.status, status, "{line:.40}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            (
                "content-security-policy",
                "default-src 'none'; frame-ancestors 'none'",
            ),
            ("cache-control", "no-store"),
            ("server", ""),
            ("x-powered-by", ""),
            ("access-control-allow-origin", ""),
        ] {
            assert_eq!(answer.header(name), value, "{line:.40}: {name}");
        }
    }
    room.close().await;
}
