//! Clients that ask for long texts and read none of them. The memory of the answers is bounded, other users are
//! answered meanwhile, and the memory comes back.

use crate::monitoring::metrics::{find, scrape};
use futures_util::future::join_all;
use serde_json::json;
use std::net::SocketAddr;
use testkit::{
    Client, Database, Person, Process, RawSocket, Store, apply, both_stores, patiently, rstest,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

const METRICS_TOKEN: &str = "a-token-that-reads-the-metrics";
/// The number of messages of 16 KiB of control characters. In JSON they take some 15 MB, more than a page, and more
/// than the buffers to a client that does not read.
const MESSAGES: i64 = 160;
/// The connections that do not read. Without a bound their pages would take 2 GB.
const CONNECTIONS: usize = 300;
/// The sockets that do not read, fewer than a user may have. Without a bound their replays would take 110 MB.
const SOCKETS: usize = 60;
/// The most memory that all of them take, in bytes. The share of one user is 8 MiB; the rest is for the connections
/// themselves, in a build without optimization.
const BOUND: i64 = 80 * 1024 * 1024;

/// A server with the limits that are the default on every address but loopback, except for rates.
async fn start(database: &Database) -> Process {
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("AUTH", "required"),
        ("METRICS_TOKEN", METRICS_TOKEN),
        ("REQUESTS_PER_SECOND", "100000"),
        ("MESSAGES_PER_SECOND", "1000"),
        ("WRITE_SECONDS", "0.5"),
        ("PING_SECONDS", "1"),
        // Without these settings the allocator keeps freed memory for a second, which would count as used.
        ("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0"),
    ];
    Process::start(database.folder.path(), &settings).await
}

/// A user with a chat of long messages, who has read a page of them.
async fn writer(client: &Client, database: &Database) -> (Person, i64) {
    let carl = Person::sign_up(client, "carl").await;
    let chat = carl.chat("general").await;
    let longest = "\u{1}".repeat(16 * 1024 - 1) + ".";
    database.fill(chat, carl.id, MESSAGES, &longest).await;
    carl.client.get(&page(chat)).await.expect(200);
    (carl, chat)
}

/// A server, a writer of long messages, and a user of a chat of short ones.
struct Scene {
    /// Has the folder of the server.
    database: Database,
    process: Process,
    client: Client,
    carl: Person,
    /// The chat of the long messages.
    chat: i64,
    sigmund: Person,
    /// The chat of the short messages.
    quiet: i64,
}

async fn scene(store: Store) -> Scene {
    let database = Database::new(store).await;
    let process = start(&database).await;
    let client = process.client();
    let (carl, chat) = writer(&client, &database).await;
    let sigmund = Person::sign_up(&client, "sigmund").await;
    let quiet = sigmund.chat("quiet").await;
    Scene {
        database,
        process,
        client,
        carl,
        chat,
        sigmund,
        quiet,
    }
}

fn page(chat: i64) -> String {
    format!("/chat/{chat}/message?limit=1000")
}

/// Sends a request, and reads the status of the answer alone.
async fn ask(address: SocketAddr, path: &str, token: &str) -> (TcpStream, String) {
    let socket = TcpSocket::new_v4().expect("a socket");
    // Little, so that most of the answer stays with the server.
    socket
        .set_recv_buffer_size(8 * 1024)
        .expect("a small buffer");
    let mut stream = socket.connect(address).await.expect("a connection");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    let written = stream.write_all(request.as_bytes()).await;
    written.expect("room for a request");
    let mut status = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status).await.expect("a status");
    let status = String::from_utf8_lossy(&status).into_owned();
    (stream, status)
}

/// Asks for everything that a user needs, and expects an answer to each request.
async fn others_are_answered(client: &Client, person: &Person, chat: i64) {
    for _ in 0..20 {
        person.say(chat, "Hello.").await;
        for path in [
            "/chat".to_owned(),
            format!("/user/{}/chat", person.id),
            format!("/chat/{chat}/message"),
            format!("/chat/{chat}/message?q=hello"),
            format!("/chat/{chat}/message?since=0"),
        ] {
            person.client.get(&path).await.expect(200);
        }
        client.get("/health/ready").await.expect(200);
    }
}

/// Waits until a gauge of the server has fallen this low.
async fn until_few(client: &Client, gauge: &str, most: f64) {
    let metrics = client.with_token(METRICS_TOKEN);
    let falling = async { while find(&scrape(&metrics).await, gauge).is_none_or(|n| n > most) {} };
    patiently(gauge, falling).await;
}

#[apply(both_stores)]
async fn pages_that_are_not_read_take_bounded_memory(store: Store) {
    let Scene {
        database: _database,
        process,
        client,
        carl,
        chat,
        sigmund,
        quiet,
    } = scene(store).await;

    let before = process.peak_memory();
    let path = page(chat);
    let asking = (0..CONNECTIONS).map(|_| ask(process.address, &path, &carl.token));
    let asking = patiently("an answer to each", join_all(asking));
    let others = others_are_answered(&client, &sigmund, quiet);
    let (asked, ()) = tokio::join!(asking, others);
    let grown = process.peak_memory() - before;
    assert!(grown < BOUND, "{} MiB more", grown / 1024 / 1024);
    let with = |status: &str| {
        asked
            .iter()
            .filter(|(_, told)| told.ends_with(status))
            .count()
    };
    let (answered, refused) = (with("200"), with("503"));
    assert_eq!(answered + refused, CONNECTIONS);
    assert!(answered > 0 && refused > 0, "{answered} {refused}");

    // A connection that does not read is closed, and its memory is free again.
    let again = async { while carl.client.get(&path).await.status != 200 {} };
    patiently("memory for another page", again).await;
    drop(asked);
    process.kill().await;
}

#[apply(both_stores)]
async fn replays_that_are_not_read_take_bounded_memory(store: Store) {
    let Scene {
        database: _database,
        process,
        client,
        carl,
        chat,
        sigmund,
        quiet,
    } = scene(store).await;

    let before = process.peak_memory();
    let mut sockets = Vec::new();
    for since in 0..SOCKETS {
        let mut wire = RawSocket::open(process.address).await;
        let mut content = carl.connect(chat);
        content["since"] = json!(since);
        wire.send(json!({ "type": "connect-chat", "content": content }))
            .await;
        sockets.push(wire);
    }
    others_are_answered(&client, &sigmund, quiet).await;
    // Each socket is closed once its replay has waited for the client for half a second.
    until_few(&client, "sockets", 0.0).await;
    let grown = process.peak_memory() - before;
    assert!(grown < BOUND, "{} MiB more", grown / 1024 / 1024);
    drop(sockets);

    // A client that reads gets its replay.
    let mut socket = process.socket().await;
    let mut content = carl.connect(chat);
    content["since"] = json!(0);
    socket
        .send(json!({ "type": "connect-chat", "id": "resume", "content": content }))
        .await;
    let frames = socket.frames_until(|frame| frame["id"] == "resume").await;
    let replayed = frames.iter().filter(|frame| frame["replay"] == true);
    assert_eq!(replayed.count() as i64, MESSAGES);
    process.kill().await;
}
