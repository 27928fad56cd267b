//! A Postgres that is not up yet when the server starts, and errors that waiting does not repair.

use std::time::{Duration, Instant};
use testkit::{Database, Process, Store};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// The time within which a start that cannot succeed must end. The default wait for a database is far longer.
const AT_ONCE: Duration = Duration::from_secs(20);

fn port_of(url: &str) -> u16 {
    let url = url::Url::parse(url).expect("a URL");
    url.port().unwrap_or(5432)
}

/// The same URL with another host and port.
fn moved(url: &str, host: &str, port: u16) -> String {
    let url = url::Url::parse(url).expect("a URL");
    format!("postgres://{}@{host}:{port}{}", url.username(), url.path())
}

/// Closes so many connections at once, and carries the others to this port, for as long as the test
/// lasts.
async fn before(listener: TcpListener, refused: usize, port: u16) {
    for _ in 0..refused {
        let _ = listener.accept().await;
    }
    while let Ok((mut client, _)) = listener.accept().await {
        tokio::spawn(async move {
            if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_postgres_that_is_not_up_yet_is_waited_for() {
    let database = Database::new(Store::Postgres).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(before(listener, 2, port_of(&database.url)));
    let url = moved(&database.url, "127.0.0.1", port);
    let settings = [("DATABASE_URL", url.as_str())];
    let process = Process::start(database.folder.path(), &settings).await;
    let lines = process.said.matches("Postgres cannot be used yet").count();
    assert_eq!(lines, 2, "a line each time: {}", process.said);
    process.client().get("/health/ready").await.expect(200);
    // A command fails at once: a person waits for its answer.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let away = listener.local_addr().expect("an address").port();
    drop(listener);
    let away = Database {
        url: moved(&database.url, "127.0.0.1", away),
        folder: tempfile::tempdir().expect("a temporary folder"),
    };
    let begun = Instant::now();
    let ended = away
        .command_with(&["create-user", "carl"], b"correct horse\n")
        .await;
    ended.expect_failure(&["cannot reach Postgres"]);
    assert!(begun.elapsed() < AT_ONCE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_does_not_come_ends_the_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = [
        (
            "DATABASE_URL",
            "postgres://somebody:hunter2@127.0.0.1:1/chats",
        ),
        ("DB_WAIT_SECONDS", "0.5"),
        ("PORT", "0"),
    ];
    let (status, complaint) = Process::refused(folder.path(), &settings).await;
    assert_eq!(status.code(), Some(1), "{complaint}");
    let expected = "cannot reach Postgres at 127.0.0.1:1/chats";
    assert!(complaint.contains(expected), "{complaint}");
    assert!(!complaint.contains("hunter2"), "{complaint}");
}

/// Checks that the server refuses to start at once, with these words in its error.
pub(crate) async fn refused_at_once(url: &str, words: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = [("DATABASE_URL", url), ("PORT", "0")];
    let begun = Instant::now();
    let (status, complaint) = Process::refused(folder.path(), &settings).await;
    assert!(begun.elapsed() < AT_ONCE, "{complaint}");
    assert_eq!(status.code(), Some(1), "{complaint}");
    for word in words {
        assert!(complaint.contains(word), "{word:?}: {complaint}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn what_cannot_pass_ends_the_start_at_once_with_its_remedy() {
    let url = Database::new(Store::Postgres).await.url;
    let port = port_of(&url);
    let missing = format!("postgres://tester@127.0.0.1:{port}/no_such_database");
    refused_at_once(&missing, &["CREATE DATABASE no_such_database"]).await;
    let nobody = format!("postgres://no_such_user@127.0.0.1:{port}/postgres");
    refused_at_once(&nobody, &["no_such_user", "that the user exists"]).await;
    let tls = format!("{url}?sslmode=require");
    refused_at_once(&tls, &["sslmode"]).await;

    let (port, _fake) = fake().await;
    let wrong = format!("postgres://u:hunter2@127.0.0.1:{port}/d");
    refused_at_once(&wrong, &["the password in DATABASE_URL"]).await;
}

/// A listener that refuses every session as Postgres refuses a wrong password.
async fn fake() -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let task = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = refuse_password(&mut client).await;
        }
    });
    (port, task)
}

async fn refuse_password(client: &mut TcpStream) -> std::io::Result<()> {
    const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();
    let mut head = [0; 8];
    client.read_exact(&mut head).await?;
    if head[4..] == SSL_REQUEST {
        client.write_all(b"N").await?;
        client.read_exact(&mut head).await?;
    }
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let mut rest = vec![0; length.saturating_sub(8)];
    client.read_exact(&mut rest).await?;
    let fields = "SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"u\"\0\0";
    let length = u32::try_from(fields.len() + 4).expect("a short error");
    let mut answer = vec![b'E'];
    answer.extend(length.to_be_bytes());
    answer.extend(fields.as_bytes());
    client.write_all(&answer).await?;
    client.shutdown().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_url_is_trimmed_holds_ipv6_and_shows_nothing_of_what_is_unknown() {
    let database = Database::new(Store::Postgres).await;
    let listener = TcpListener::bind("[::1]:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(before(listener, 0, port_of(&database.url)));
    let url = moved(&database.url, "[::1]", port);
    let url = format!(" {url}?channel_binding=hunter2&connect_timeout=5\n");
    let settings = [("DATABASE_URL", url.as_str()), ("LOG", "trace")];
    let process = Process::start(database.folder.path(), &settings).await;
    process.client().get("/health/ready").await.expect(200);
    let said = process.said.clone();
    let (_, log) = process.stop().await;
    assert!(said.contains("channel_binding"), "{said}");
    assert!(
        !said.contains("hunter2") && !log.contains("hunter2"),
        "{said}{log}"
    );
}
