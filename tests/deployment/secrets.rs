//! Secrets from files, and secrets that everyone on the machine can see.

use reqwest::Method;
use std::{fs, path::Path};
use testkit::{Database, Process, Store, apply, both_stores, patiently, rstest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A file in a folder; gives its path.
fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("a file");
    path.display().to_string()
}

#[apply(both_stores)]
async fn a_databases_url_may_stand_in_a_file(store: Store) {
    let database = Database::new(store).await;
    let folder = database.folder.path();
    for end in ["", "\n", "\r\n"] {
        let file = write(folder, "url", &format!("{}{end}", database.url));
        let settings = [("DATABASE_URL_FILE", file.as_str()), ("DATABASE_URL", "")];
        let process = Process::start(folder, &settings).await;
        process.client().new_chat("general").await;
        process.stop().await;
    }
    assert_eq!(
        database
            .number("SELECT count(*) FROM chat".to_owned())
            .await,
        3
    );
    assert!(!folder.join("data").exists(), "the default was not taken");
    // For commands too, and as a line of .env.
    write(folder, ".env", "DATABASE_URL_FILE=url\n");
    let exported = Process::output(folder, &["export"]).await;
    assert_eq!(exported.matches("general").count(), 3, "{exported}");
}

/// Takes a client of Postgres' protocol as far as its password, asked for in the clear.
async fn heard_password(listener: TcpListener) -> String {
    const ASK: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];
    let (mut stream, _) = listener.accept().await.expect("a client");
    let length = stream.read_u32().await.expect("the length of its greeting") as usize;
    let mut greeting = vec![0; length - 4];
    stream
        .read_exact(&mut greeting)
        .await
        .expect("its greeting");
    stream.write_all(&ASK).await.expect("a question");
    assert_eq!(stream.read_u8().await.expect("an answer"), b'p');
    let length = stream.read_u32().await.expect("the length of a password") as usize;
    let mut password = vec![0; length - 4];
    stream.read_exact(&mut password).await.expect("a password");
    String::from_utf8_lossy(&password)
        .trim_end_matches('\0')
        .to_owned()
}

#[tokio::test]
async fn a_postgres_password_may_stand_in_a_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write(folder.path(), "password", " hunter2 \n");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener
        .local_addr()
        .expect("an address")
        .port()
        .to_string();
    let settings = [
        ("DB_HOST", "127.0.0.1"),
        ("DB_PORT", &port),
        ("DB_USER", "me"),
        ("DB_PASS_FILE", &file),
        ("DB_NAME", "chats"),
        ("DB_SSLMODE", "disable"),
    ];
    let checking = Process::output_with(folder.path(), &settings, &["check"]);
    // Ends with the answer: this Postgres lets no one in.
    let heard = async {
        tokio::select! {
            heard = heard_password(listener) => heard,
            said = checking => panic!("it did not ask Postgres: {said}"),
        }
    };
    assert_eq!(patiently("a password", heard).await, " hunter2 ");
}

#[tokio::test]
async fn the_metrics_token_may_stand_in_a_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write(folder.path(), "token", "0123456789abcdef\n");
    let process = Process::start(folder.path(), &[("METRICS_TOKEN_FILE", &file)]).await;
    let client = process.client();
    client
        .get("/metrics")
        .await
        .expect_error(401, "unauthorized");
    let with = client.with_token("0123456789abcdef");
    with.send(with.request(Method::GET, "/metrics"))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_secret_that_is_given_twice_or_cannot_be_read_stops_the_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (full, empty) = (
        write(folder.path(), "full", "hunter2"),
        write(folder.path(), "empty", "\n"),
    );
    let large = write(folder.path(), "large", &"x".repeat(100_000));
    let away = folder.path().join("away").display().to_string();
    let here = folder.path().display().to_string();
    for name in ["DATABASE_URL", "DB_PASS", "NATS_URL", "METRICS_TOKEN"] {
        let in_file = format!("{name}_FILE");
        let given_twice = [(name, "hunter2"), (&in_file, &full)];
        for (settings, words) in [
            (&given_twice[..], [name, "both set"]),
            (&[(&in_file, &empty)], [&in_file, "empty"]),
            (&[(&in_file, &large)], [&in_file, "65536 bytes"]),
            (&[(&in_file, &away)], [&in_file, "No such file"]),
            (&[(&in_file, &here)], [&in_file, "directory"]),
        ] {
            let (status, complaint) = Process::refused(folder.path(), settings).await;
            assert_eq!(status.code(), Some(1), "{complaint}");
            for word in words {
                assert!(
                    complaint.contains(word),
                    "{settings:?}: {word}: {complaint}"
                );
            }
            assert!(!complaint.contains("hunter2"), "{complaint}");
        }
    }
}

#[tokio::test]
async fn a_wrong_secret_is_told_with_the_variable_and_the_file_that_it_came_from() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write(folder.path(), "secret", "hunter2");
    for name in ["DATABASE_URL", "NATS_URL", "METRICS_TOKEN"] {
        let in_file = format!("{name}_FILE");
        let (status, complaint) = Process::refused(folder.path(), &[(&in_file, &file)]).await;
        assert_eq!(status.code(), Some(1), "{complaint}");
        let start = format!("{in_file} ({file}): {name} ");
        assert!(complaint.contains(&start), "{complaint}");
        assert!(!complaint.contains("hunter2"), "{complaint}");
    }
}

#[tokio::test]
async fn secrets_that_came_as_flags_are_warned_of() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let check = async |settings: &[(&str, &str)], flags: &[&str]| {
        let args = [&["check"], flags].concat();
        Process::output_with(folder.path(), settings, &args).await
    };
    for (flag, value) in [
        ("--database-url", "postgres://me:hunter2@127.0.0.1:1/chats"),
        ("--db-pass", "hunter2"),
        ("--nats-url", "nats://hunter2@127.0.0.1:1"),
        ("--metrics-token", "hunter2hunter2hunter2"),
    ] {
        let name = flag
            .trim_start_matches('-')
            .replace('-', "_")
            .to_ascii_uppercase();
        let place = [
            ("DB_HOST", "127.0.0.1"),
            ("DB_PORT", "1"),
            ("DB_USER", "me"),
            ("DB_NAME", "chats"),
        ];
        let said = check(&place, &[flag, value]).await;
        let warned = format!("{flag} holds a secret");
        assert!(
            said.contains(&warned) && said.contains(&format!("{name}_FILE")),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
        let quiet = check(&[&place[..], &[(&name, value)]].concat(), &[]).await;
        assert!(
            quiet.contains("settings: right") && !quiet.contains("holds a secret"),
            "{quiet}"
        );
    }
    let plain = check(&[], &["--database-url=sqlite://a.db"]).await;
    assert!(!plain.contains("holds a secret"), "{plain}");
    let flags = ["--metrics-token=hunter2hunter2hunter2"];
    let process = Process::start_with(folder.path(), &[], &flags).await;
    assert!(
        process.said.contains("--metrics-token holds a secret"),
        "{}",
        process.said
    );
}
