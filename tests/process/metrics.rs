//! `/metrics` in the formats that are asked for, the process, and how much is stored.

use reqwest::Method;
use std::process::Stdio;
use testkit::{
    Client, Database, PASSWORD, Process, Room, Server, Store, apply, both_stores, patiently, rstest,
};
use tokio::{io::AsyncWriteExt, process::Command};

const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The type and the text that are answered to `accept`.
async fn scrape(client: &Client, accept: Option<&str>) -> (String, String) {
    let mut request = client.request(Method::GET, "/metrics");
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"]
        .to_str()
        .expect("a type")
        .to_owned();
    (kind, answer.text().await.expect("a text"))
}

#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let name = format!("{series} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    let value = value.unwrap_or_else(|| panic!("no {series} in {text}"));
    value.parse().expect("a number")
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
#[ignore = "needs Postgres and promtool: scripts/with-postgres cargo test"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_finds_nothing_wrong(#[case] store: Store) {
    let room = Room::open(store).await;
    let _socket = room.enter(room.carl).await;
    room.say("Hello.").await;
    room.client.login("carl", PASSWORD).await;
    room.client
        .get("/nowhere")
        .await
        .expect_error(404, "not_found");
    let (_, text) = scrape(&room.client, None).await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of the package prometheus");
    let mut input = promtool.stdin.take().expect("its input");
    input
        .write_all(text.as_bytes())
        .await
        .expect("room to write");
    drop(input);
    let ended = patiently("promtool", promtool.wait_with_output())
        .await
        .expect("how it ended");
    let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(ended.status.success(), "{said:?}");
    assert_eq!(said, ["", ""]);
    room.close().await;
}

#[apply(both_stores)]
async fn each_format_is_given_where_it_is_asked_for(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    for (accept, kind) in [
        (None, PLAIN),
        (Some("text/plain;version=0.0.4"), PLAIN),
        (
            Some("application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.3"),
            OPEN,
        ),
        (Some("application/openmetrics-text"), OPEN),
        (Some("text/html,*/*;q=0.8"), PLAIN),
    ] {
        let (told, text) = scrape(&client, accept).await;
        assert_eq!(told, kind, "{accept:?}");
        assert_eq!(text.ends_with("# EOF\n"), kind == OPEN, "{accept:?}");
        let counter = match kind {
            PLAIN => "# TYPE messaging_messages_committed_total counter",
            _ => "# TYPE messaging_messages_committed counter",
        };
        assert!(text.lines().any(|line| line == counter), "{text}");
    }
    server.stop().await;
}

#[apply(both_stores)]
async fn the_process_and_what_is_stored_are_told(store: Store) {
    let database = Database::new(store).await;
    let settings = [("DATABASE_URL", database.url.as_str())];
    let begun = std::time::SystemTime::now();
    let server = Process::start(database.folder.path(), &settings).await;
    let client = server.client();
    let user = client.new_user("carl").await;
    client.new_user("sigmund").await;
    let chat = client.new_chat("general").await;
    let gone = client.new_chat("gone").await;
    client.delete(&format!("/chat/{gone}")).await.expect(204);
    client.say_many(user, chat, 7).await;
    client.login("carl", PASSWORD).await;
    let (_, text) = scrape(&client, None).await;
    for (series, stored) in [
        ("users", 2.0),
        ("chats", 1.0),
        ("messages", 7.0),
        ("sessions", 1.0),
    ] {
        assert_eq!(
            value(&text, &format!("messaging_{series}")),
            stored,
            "{series}"
        );
    }
    assert!(value(&text, "messaging_database_size_bytes") > 10_000.0);

    assert!(value(&text, "process_cpu_seconds_total") > 0.0);
    let memory = value(&text, "process_resident_memory_bytes");
    assert!(
        memory > 1e6 && memory <= value(&text, "process_virtual_memory_bytes"),
        "{memory}"
    );
    let files = value(&text, "process_open_fds");
    assert!(
        files > 5.0 && files < value(&text, "process_max_fds"),
        "{files}"
    );
    let begun = begun
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64();
    let started = value(&text, "process_start_time_seconds");
    assert!(
        (begun - 1.0..begun + 90.0).contains(&started),
        "{started} after {begun}"
    );
    // Each open connection is a file.
    let idle =
        [(); 10].map(|()| std::net::TcpStream::connect(server.address).expect("a connection"));
    let more =
        async { while value(&scrape(&client, None).await.1, "process_open_fds") < files + 10.0 {} };
    patiently("the files of ten connections", more).await;
    drop(idle);
}

#[apply(both_stores)]
async fn many_rows_are_estimated(store: Store) {
    const ROWS: i64 = 150_000;
    let room = Room::open(store).await;
    room.server
        .database
        .fill(room.chat, room.carl, ROWS, "x")
        .await;
    if store == Store::Postgres {
        room.server
            .database
            .execute("ANALYZE message".to_owned())
            .await;
    }
    let (_, text) = scrape(&room.client, None).await;
    assert_eq!(value(&text, "messaging_messages"), ROWS as f64);
    room.close().await;
}
