//! The client address behind a proxy: headers of trusted proxies count, and no others.

use std::net::Ipv4Addr;
use testkit::RawHttp;
use testkit::{Process, Room, Store, apply, both_stores, rstest};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 8);

/// Asks often enough to be too fast, and gives the statuses.
async fn ask_often(room: &Room, source: Ipv4Addr, headers: impl Fn(usize) -> String) -> Vec<u16> {
    let mut statuses = Vec::new();
    let mut wire = RawHttp::open_from(source, room.server.address).await;
    for n in 0..20 {
        let answer = wire.ask("GET /nowhere", &headers(n)).await;
        statuses.push(answer.expect("an answer").status);
    }
    statuses
}

const FLAGS: [&str; 5] = [
    "--auth=open",
    "--rate-limit=on",
    "--requests-per-second=1",
    "--burst-seconds=10",
    "--trusted-proxies=127.0.0.7,10.0.0.0/8",
];

#[apply(both_stores)]
async fn clients_behind_a_proxy_have_buckets_of_their_own(store: Store) {
    let room = Room::open_with(store, &FLAGS).await;
    let same = |_| "X-Forwarded-For: 192.0.2.1\r\n".to_owned();
    assert!(ask_often(&room, PROXY, same).await.contains(&429));
    let others = |n| format!("X-Forwarded-For: 192.0.2.1, 198.51.100.{n}, 10.1.2.3\r\n");
    assert_eq!(ask_often(&room, PROXY, others).await, [404; 20]);
    // Making up what stands before does not help.
    let tales = |n| format!("X-Forwarded-For: 10.0.0.{n}, 198.51.100.{n}, 203.0.113.1\r\n");
    assert!(ask_often(&room, PROXY, tales).await.contains(&429));
    let networks = |n| format!("X-Forwarded-For: [2001:db8::{n:x}]:80\r\n");
    assert!(
        ask_often(&room, PROXY, networks).await.contains(&429),
        "one network"
    );
    // The other header is not read, so these are requests of the proxy.
    let others = |n| format!("Forwarded: for=198.51.101.{n}\r\n");
    assert!(ask_often(&room, PROXY, others).await.contains(&429));
    room.close().await;
}

#[apply(both_stores)]
async fn who_is_no_proxy_is_not_believed(store: Store) {
    let room = Room::open_with(store, &FLAGS).await;
    for header in ["X-Forwarded-For: 198.51.100.", "Forwarded: for=198.51.100."] {
        let others = |n| format!("{header}{n}\r\n");
        assert!(
            ask_often(&room, STRANGER, others).await.contains(&429),
            "{header}"
        );
    }
    room.close().await;
}

#[apply(both_stores)]
async fn sockets_behind_a_proxy_are_counted_by_their_client(store: Store) {
    let flags = [
        "--auth=open",
        "--rate-limit=on",
        "--max-connections-per-address=2",
        "--trusted-proxies=127.0.0.7",
    ];
    let room = Room::open_with(store, &flags).await;
    let open = async |client: &str| {
        let mut wire = RawHttp::open_from(PROXY, room.server.address).await;
        let headers = format!("{UPGRADE}X-Forwarded-For: {client}\r\n");
        let answer = wire.ask("GET /ws", &headers).await.expect("an answer");
        (wire, answer)
    };
    let mut held = Vec::new();
    for client in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        let (wire, answer) = open(client).await;
        assert_eq!(answer.status, 101, "{client}");
        held.push(wire);
    }
    let (_, refused) = open("192.0.2.1").await;
    assert_eq!(refused.error(), (429, "rate_limited"));
    room.close().await;
}

#[apply(both_stores)]
async fn the_servers_name_is_what_the_proxy_says(store: Store) {
    let room = Room::open_with(store, &["--auth=open", "--trusted-proxies=127.0.0.7"]).await;
    let as_called = "X-Forwarded-Host: chat.example\r\nX-Forwarded-Proto: https\r\n";
    for (source, origin, headers, expected) in [
        (PROXY, "https://chat.example", as_called, 101),
        (PROXY, "http://chat.example", as_called, 403),
        (PROXY, "https://localhost", as_called, 403),
        (PROXY, "https://evil.example", as_called, 403),
        (PROXY, "https://chat.example", "", 403),
        (
            PROXY,
            "https://chat.example",
            "Forwarded: host=chat.example;proto=https\r\n",
            403,
        ),
        (STRANGER, "https://chat.example", as_called, 403),
    ] {
        let mut wire = RawHttp::open_from(source, room.server.address).await;
        let headers = format!("{UPGRADE}Origin: {origin}\r\n{headers}");
        let answer = wire.ask("GET /ws", &headers).await.expect("an answer");
        assert_eq!(answer.status, expected, "{source} {headers}");
    }
    room.close().await;
}

#[tokio::test]
async fn the_log_names_the_client_and_not_the_proxy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = [
        ("AUTH", "open"),
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
        ("LOG_FORMAT", "json"),
    ];
    let process = Process::start(folder.path(), &settings).await;
    let mut wire = RawHttp::open(process.address).await;
    let headers = "X-Forwarded-For: 198.51.100.77\r\n";
    assert_eq!(
        wire.ask("GET /chat", headers)
            .await
            .expect("an answer")
            .status,
        200
    );
    drop(wire);
    let (_, log) = process.stop().await;
    let line = log
        .lines()
        .find(|line| line.contains("answered"))
        .expect("a line");
    assert!(
        line.contains("198.51.100.77") && !line.contains("127.0.0.1"),
        "{line}"
    );
}
