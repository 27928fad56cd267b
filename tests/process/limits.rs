//! The limit of open files, against which `MAX_CONNECTIONS` is held.

use reqwest::Method;
use std::process::Stdio;
use tempfile::TempDir;
use testkit::{Client, patiently};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

/// Starts the binary with so many files.
fn start(folder: &TempDir, files: u32, most: &str) -> Child {
    let binary = testkit::server_binary();
    let binary = binary.display();
    let script = format!("ulimit -n {files} && exec {binary}");
    Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .envs([("PORT", "0"), ("MAX_CONNECTIONS", most)])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a shell")
}

/// The log up to where it listens, and what `/metrics` says of connections.
async fn limit(files: u32, most: &str) -> (String, f64) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = start(&folder, files, most);
    let mut log = BufReader::new(child.stdout.take().expect("its log")).lines();
    let mut said = String::new();
    let listening = async {
        loop {
            let line = log.next_line().await.expect("a line").expect("a line");
            if let Some((_, rest)) = line.split_once("listening on http://") {
                let end = rest.find('"').expect("the end of the address");
                return rest[..end].parse().expect("an address");
            }
            said.push_str(&line);
        }
    };
    let address = patiently("the binary to listen", listening).await;
    let scrape = Client::new(address).request(Method::GET, "/metrics").send();
    let text = scrape
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a text");
    let name = "messaging_connections_max ";
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.expect("the metric").parse().expect("a number");
    (said, value)
}

#[tokio::test]
async fn max_connections_is_lowered_to_what_the_files_allow() {
    let (said, most) = limit(1000, "50000").await;
    assert!(said.contains("MAX_CONNECTIONS is lowered"), "{said}");
    assert!((500.0..1000.0).contains(&most), "{most}");
    // Where they allow it, it stays.
    let (said, most) = limit(1000, "500").await;
    assert!(!said.contains("MAX_CONNECTIONS"), "{said}");
    assert_eq!(most, 500.0);
}

#[tokio::test]
async fn a_limit_without_room_for_connections_stops_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = start(&folder, 100, "50000");
    let ended = patiently("the binary to refuse", child.wait())
        .await
        .expect("how it ended");
    assert_eq!(ended.code(), Some(1));
    let mut complaint = String::new();
    let errors = child.stderr.as_mut().expect("its errors");
    errors
        .read_to_string(&mut complaint)
        .await
        .expect("its errors");
    assert!(
        complaint.contains("the limit of open files is 100"),
        "{complaint}"
    );
    assert!(complaint.contains("ulimit -n"), "{complaint}");
}
