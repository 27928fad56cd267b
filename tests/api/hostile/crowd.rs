//! Ten thousand sockets on which nobody says who they are, against the binary itself.

use crate::harness::{Process, patiently};
use futures_util::{StreamExt, stream};
use serde_json::json;
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use super::Plain;

const SOCKETS: usize = 10_000;
/// Open files beside the sockets: the test binary runs other tests as well.
const OTHER_FILES: u64 = 4_000;
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Opens the n-th socket, and waits until it is one. A few source addresses share the ports.
async fn open(server: SocketAddr, n: usize) -> Plain {
    let source = Ipv4Addr::new(127, 0, 1, (n % 4) as u8 + 1);
    let mut wire = Plain::open_from(source, server).await;
    let answer = wire.ask("GET /ws", UPGRADE).await.expect("an answer");
    assert_eq!(answer.status, 101);
    wire
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_nameless_sockets_keep_nobody_from_signing_up() {
    let files = rlimit::increase_nofile_limit(u64::MAX).expect("a limit of open files");
    let needed = SOCKETS as u64 + OTHER_FILES;
    assert!(
        files >= needed,
        "this test needs {needed} open files; ulimit -n allows {files}"
    );

    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = [
        ("HANDSHAKE_SECONDS", "600"),
        ("LOG", "warn,messaging_api=info"),
    ];
    let process = Process::start(folder.path(), &settings).await;
    let opening = stream::iter(0..SOCKETS).map(|n| open(process.address, n));
    let sockets: Vec<Plain> = opening.buffer_unordered(100).collect().await;
    assert_eq!(sockets.len(), SOCKETS);

    // A password is hashed for each. Other tests share the processor: the median counts.
    let client = process.client();
    let mut times = Vec::new();
    for n in 0..9 {
        let body = json!({ "username": format!("newcomer {n}"), "password": "correct horse" });
        let begin = Instant::now();
        client.post("/user", body).await.expect(201);
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    assert!(times[4] < Duration::from_secs(1), "{times:?}");

    // And a newcomer gets a socket, and a word in.
    let mut socket = process.socket().await;
    socket.connect(1, 1).await;
    socket.say(1, "It is crowded in here.").await;
    drop(sockets);
    let (status, _) = patiently("its end", process.stop()).await;
    assert_eq!(status.code(), Some(0));
}
