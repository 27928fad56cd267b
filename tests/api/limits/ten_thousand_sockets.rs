//! Ten thousand unidentified sockets on the binary itself, half of them with wrong tokens.

use futures_util::{StreamExt, stream};
use serde_json::json;
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};
use testkit::{
    Database, PASSWORD, Person, Process, RawSocket, Store, apply, both_stores, patiently, rstest,
};
use tokio::sync::Mutex;

const SOCKETS: usize = 10_000;
/// The number of open files besides the sockets: the test binary runs other tests as well.
const OTHER_FILES: u64 = 4_000;
/// The wrong tokens of one lying socket, as many as a socket may send.
const LIES: usize = 4;
/// Runs one test at a time: two would need twice the number of open files.
static TURN: Mutex<()> = Mutex::const_new(());

/// Opens the n-th WebSocket. Four source addresses are used, because one has too few free ports.
async fn open(server: SocketAddr, n: usize) -> RawSocket {
    let source = Ipv4Addr::new(127, 0, 1, (n % 4) as u8 + 1);
    RawSocket::open_from(source, server).await
}

/// Sends wrong tokens on every second socket. The other sockets stay silent.
async fn lie(sockets: &mut [RawSocket]) {
    let wrong = json!({ "chatId": 1, "token": "0".repeat(64) });
    for _ in 0..LIES {
        for socket in sockets.iter_mut().step_by(2) {
            socket
                .send(json!({ "type": "connect-chat", "content": wrong }))
                .await;
        }
    }
}

/// Waits until each wrong token is refused.
async fn refused(sockets: &mut [RawSocket]) {
    for socket in sockets.iter_mut().step_by(2) {
        for _ in 0..LIES {
            let answer = socket.next_text().await;
            // The server gives up a token that it has no time to look up.
            let code = &answer["content"]["code"];
            assert!(code == "unauthorized" || code == "unavailable", "{answer}");
        }
    }
}

#[apply(both_stores)]
async fn ten_thousand_nameless_sockets_keep_nobody_from_signing_in(store: Store) {
    let _turn = TURN.lock().await;
    let files = rlimit::increase_nofile_limit(u64::MAX).expect("a limit of open files");
    let needed = SOCKETS as u64 + OTHER_FILES;
    assert!(
        files >= needed,
        "this test needs {needed} open files; ulimit -n allows {files}"
    );

    let database = Database::new(store).await;
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("AUTH", "required"),
        ("RATE_LIMIT", "off"),
        ("HANDSHAKE_SECONDS", "600"),
        // Refusals are not logged, but the line that names the address is.
        ("LOG", "warn,messaging_api=info,messaging_api::error=warn"),
    ];
    let process = Process::start(database.folder.path(), &settings).await;
    let client = process.client();
    let carl = Person::sign_up(&client, "carl").await;
    let chat = carl.chat("general").await;
    let opening = stream::iter(0..SOCKETS).map(|n| open(process.address, n));
    let mut sockets: Vec<RawSocket> = opening.buffer_unordered(100).collect().await;
    assert_eq!(sockets.len(), SOCKETS);

    // A password is hashed for each. Other tests share the processor: the median counts.
    let logins = async {
        let mut times = Vec::new();
        for _ in 0..9 {
            let begin = Instant::now();
            client.login("carl", PASSWORD).await;
            times.push(begin.elapsed());
        }
        times.sort_unstable();
        times
    };
    let (times, ()) = tokio::join!(logins, lie(&mut sockets));
    assert!(times[4] < Duration::from_secs(1), "{times:?}");

    // Until each wrong token is refused, a busy machine may have no time for a send.
    refused(&mut sockets).await;

    // A signed-in user can still open a socket and send a message.
    let mut socket = process.socket().await;
    socket.ask("connect-chat", carl.connect(chat)).await;
    socket.say(chat, "It is crowded in here.").await;
    drop(sockets);
    let (status, _) = patiently("its end", process.stop()).await;
    assert_eq!(status.code(), Some(0));
}
