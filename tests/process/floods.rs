//! What comes too fast is counted, and has a line of the log once a second.

use reqwest::Method;
use serde_json::{Value, json};
use std::time::Instant;
use testkit::{Database, Process, Store, apply, both_stores, rstest};

/// Requests, and frames, that are far too many.
const FLOOD: usize = 300;

#[apply(both_stores)]
async fn every_refusal_by_rate_is_in_a_line_or_counted_by_one(store: Store) {
    let database = Database::new(store).await;
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("RATE_LIMIT", "on"),
        ("REQUESTS_PER_SECOND", "20"),
        ("FRAMES_PER_SECOND", "1"),
        ("BURST_SECONDS", "1"),
    ];
    let server = Process::start(database.folder.path(), &settings).await;
    let client = server.client();
    let user = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    let mut socket = server.socket().await;
    let begun = Instant::now();
    let mut refused = 0;
    for _ in 0..FLOOD {
        let request = client.request(Method::GET, "/health/../user");
        refused += u64::from(request.send().await.expect("an answer").status() == 429);
    }
    // A socket is told of its first hundred frames.
    let content = json!({ "customerId": user, "chatId": chat });
    socket
        .send(json!({ "type": "connect-chat", "id": 0, "content": content }))
        .await;
    for n in 1..=50 {
        let content = json!({ "chatId": chat });
        socket
            .send(json!({ "type": "start-typing", "id": n, "content": content }))
            .await;
    }
    let answers = socket.frames_until(|frame| frame["id"] == 50).await;
    let too_fast = answers
        .iter()
        .filter(|frame| frame["content"]["code"] == "rate_limited");
    refused += too_fast.count() as u64;
    let seconds = begun.elapsed().as_secs();
    let (_, log) = server.stop().await;

    assert!(refused > 100, "{refused}");
    let lines = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let lines: Vec<Value> = lines.collect();
    let lines = lines.iter().filter(|line| line["code"] == "rate_limited");
    let lines: Vec<&Value> = lines.collect();
    let left_out = lines
        .iter()
        .map(|line| line["left_out"].as_u64().expect("a number"));
    let with_line = lines.iter().filter(|line| line["why"].is_string()).count() as u64;
    assert_eq!(with_line + left_out.sum::<u64>(), refused, "{lines:#?}");
    // At most one line as it happens and one that sums up, for each second begun.
    assert!(lines.len() as u64 <= 2 * (seconds + 2), "{lines:#?}");
    assert!(!log.contains("\"status\":429"), "{log}");
}
