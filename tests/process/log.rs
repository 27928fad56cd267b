//! A log that is not read, and requests without a line.

use reqwest::Method;
use serde_json::Value;
use std::{net::SocketAddr, process::Stdio};
use testkit::{Client, Database, Process, Store, apply, both_stores, patiently, rstest};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
};

const TOKEN: &str = "only-for-prometheus";
/// Requests that are refused with two long lines of the log each: more than the buffer and the pipe take.
const FLOOD: usize = 6000;

/// A server with a log that is read up to its first request, and then left in the pipe.
struct Unread {
    child: Child,
    log: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Unread {
    async fn start(database: &Database) -> Self {
        let mut child = Command::new(testkit::server_binary())
            .env_clear()
            .envs([
                ("PORT", "0"),
                ("DATABASE_URL", &database.url),
                ("AUTH", "required"),
                ("RATE_LIMIT", "off"),
                ("METRICS_TOKEN", TOKEN),
            ])
            .current_dir(database.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary");
        let mut log = BufReader::new(child.stdout.take().expect("its log"));
        let listening = async {
            loop {
                let mut line = String::new();
                log.read_line(&mut line).await.expect("a line");
                if let Some((_, rest)) = line.split_once("listening on http://") {
                    let end = rest.find('"').expect("the end of the address");
                    return rest[..end].parse().expect("an address");
                }
            }
        };
        let address = patiently("the binary to listen", listening).await;
        Self {
            child,
            log,
            address,
        }
    }

    /// Asks so often without signing in that the log takes more than its buffer holds.
    async fn flood(&self) {
        let stream = TcpStream::connect(self.address)
            .await
            .expect("a connection");
        let (reader, mut writer) = stream.into_split();
        let id = "x".repeat(128);
        let request = format!(
            "GET /chat HTTP/1.1\r\nHost: {}\r\nx-request-id: {id}\r\n\r\n",
            self.address
        );
        let writing = tokio::spawn(async move {
            for _ in 0..FLOOD {
                writer
                    .write_all(request.as_bytes())
                    .await
                    .expect("a request");
            }
            writer
        });
        let mut lines = BufReader::new(reader).lines();
        let answers = async {
            let mut answered = 0;
            while answered < FLOOD {
                let line = lines.next_line().await.expect("an answer").expect("a line");
                answered += usize::from(line.contains("HTTP/1.1 401"));
            }
        };
        patiently("every request to be answered", answers).await;
        drop(writing.await.expect("the writer"));
    }

    async fn dropped(&self) -> f64 {
        let client = Client::new(self.address).with_token(TOKEN);
        let answer = client.request(Method::GET, "/metrics").send().await;
        let text = answer.expect("an answer").text().await.expect("a text");
        let name = "messaging_log_lines_dropped_total ";
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.expect("the metric").parse().expect("a number")
    }

    async fn line(&mut self) -> Value {
        let mut line = String::new();
        self.log.read_line(&mut line).await.expect("the log");
        serde_json::from_str(&line).expect("a whole line")
    }

    async fn terminate(&mut self) {
        let id = self.child.id().expect("a running process").to_string();
        let kill = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(kill.expect("kill").success());
    }

    async fn ended(&mut self) -> Option<i32> {
        let ended = patiently("the binary to stop", self.child.wait()).await;
        ended.expect("how it ended").code()
    }
}

#[apply(both_stores)]
async fn a_log_that_is_not_read_holds_nothing_up(store: Store) {
    let database = Database::new(store).await;
    let mut server = Unread::start(&database).await;
    server.flood().await;
    let client = Client::new(server.address);
    client.get("/health/live").await.expect(200);
    client.get("/health/ready").await.expect(200);
    let dropped = server.dropped().await;
    assert!(dropped > 0.0, "{dropped}");

    // Read again, the log goes on: every line is whole, one stands in the gap and tells how many are
    // missing there, and the last ones are written before the process ends.
    let mut lines = Vec::new();
    let mut told = 0;
    while told == 0 {
        let line = patiently("the log to go on", server.line()).await;
        told += missing(&line);
        lines.push(line);
    }
    server.terminate().await;
    let mut rest = String::new();
    let reading = server.log.read_to_string(&mut rest);
    patiently("the log's end", reading).await.expect("the log");
    assert_eq!(server.ended().await, Some(0));
    lines.extend(rest.lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect("a whole line");
        line
    }));
    let told: u64 = lines.iter().map(missing).sum();
    assert!(told as f64 >= dropped, "{told} of {dropped}");
    assert_eq!(lines.last().expect("a line")["message"], "stopped");
}

/// Lines that this line says are missing before it.
fn missing(line: &Value) -> u64 {
    let of_gap = line["message"] == "log lines were dropped, because the log was not read in time";
    let lines = line["lines"].as_u64().filter(|_| of_gap);
    lines.unwrap_or_default()
}

#[tokio::test]
async fn a_server_whose_log_is_not_read_stops_in_time() {
    let mut server = Unread::start(&Database::new(Store::Sqlite).await).await;
    server.flood().await;
    server.terminate().await;
    assert_eq!(server.ended().await, Some(0));
}

async fn serve(database: &Database, settings: &[(&str, &str)]) -> Process {
    let mut all = vec![("DATABASE_URL", database.url.as_str())];
    all.extend_from_slice(settings);
    Process::start(database.folder.path(), &all).await
}

#[apply(both_stores)]
async fn each_line_has_its_span_once(store: Store) {
    let database = Database::new(store).await;
    let server = serve(&database, &[("AUTH", "required")]).await;
    let asked = server.client();
    let asked = asked
        .request(Method::GET, "/chat")
        .header("x-request-id", "the-only-one");
    server
        .client()
        .send(asked)
        .await
        .expect_error(401, "unauthorized");
    let (_, log) = server.stop().await;
    let of_request: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("the-only-one"))
        .collect();
    assert_eq!(of_request.len(), 2, "{of_request:#?}");
    for line in of_request {
        assert_eq!(line.matches("the-only-one").count(), 1, "{line}");
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(line["span"]["id"], "the-only-one");
    }
}

#[apply(both_stores)]
async fn what_is_routine_has_no_line(store: Store) {
    let database = Database::new(store).await;
    for (level, lines) in [("info", 0), ("messaging_api=debug", 3)] {
        // The second start finds every table there already.
        let server = serve(&database, &[("LOG", level)]).await;
        let client = server.client();
        client.get("/health/live").await.expect(200);
        client.get("/health/ready").await.expect(200);
        let scrape = client.request(Method::GET, "/metrics").send().await;
        assert_eq!(scrape.expect("an answer").status(), 200);
        let started = server.said.clone();
        let (_, log) = server.stop().await;
        assert_eq!(log.matches("\"answered\"").count(), lines, "{log}");
        let log = started + &log;
        assert!(!log.contains("already exists"), "{log}");
    }
}
