//! The scenario that compares reads in the largest chat of a large database with reads in a chat of 200 messages.
//! Both chats have equal members, and both answers an equal number of rows.

mod database;

use super::super::{
    caller::Caller,
    database::Store,
    dialog::Dialog,
    growth::{LARGEST, MEMBER_OF_ALL, Sizes},
    http::Http,
    large::{LargeDatabase, Layout},
    latencies::Latencies,
    process::Process,
};
use database::{Ids, PAGE, SMALL};
use serde_json::{Value, json};
use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// The number of measured reads of each kind in each chat, and the number of reads before them.
const TIMES: usize = 300;
const WARM_UP: usize = 20;
/// The limits of the 99th percentile in the largest chat: a multiple of that in the small chat, and a difference, in
/// milliseconds. Only a read beyond both is too slow.
const MOST_TIMES: f64 = 2.0;
const MOST_MORE: f64 = 1.0;
/// The time limit for the server to compare the search index with the log.
const INDEX_LIMIT: Duration = Duration::from_secs(120);
/// The token of the metrics.
const METRICS: &str = "0123456789abcdef";

/// Builds the database, starts the server, and prints the latencies of each read.
///
/// # Errors
/// A read in the largest chat is too slow.
pub async fn reads(store: Store, sizes: Sizes) -> Result<(), String> {
    let ids = Ids::new(sizes);
    let layout = Layout {
        scenario: "reads",
        sizes,
        additions: ids.additions(),
        users: vec![MEMBER_OF_ALL, ids.few],
    };
    let large = LargeDatabase::build(store, layout).await?;
    let settings = [
        ("AUTH", "required"),
        ("RATE_LIMIT", "off"),
        ("METRICS_TOKEN", METRICS),
    ];
    let mut server = Process::start(&large.database, &settings).await?;
    let measured = measure(&large, server.port, &ids).await;
    server.must_answer().await?;
    drop(server);
    large.remove().await?;
    let slow = measured?;
    match slow.is_empty() {
        true => Ok(()),
        false => Err(slow.join("\n")),
    }
}

/// Measures every read. Returns the lines of the reads that are too slow.
async fn measure(large: &LargeDatabase, port: u16, ids: &Ids) -> Result<Vec<String>, String> {
    await_index(port).await?;
    let failed = |e: std::io::Error| format!("no connection: {e}");
    let mut http = Http::open(port).await.map_err(failed)?;
    let mut slow = Vec::new();
    for read in ids.reads() {
        let (user, path) = &read.large;
        let in_large = (large.caller(*user, Ipv4Addr::LOCALHOST), path.as_str());
        let (user, path) = &read.small;
        let in_small = (large.caller(*user, Ipv4Addr::LOCALHOST), path.as_str());
        let times = alternate(&mut http, [in_large, in_small]).await;
        let times = times.map_err(|e| format!("{}: {e}", read.name))?;
        let line = compare(read.name, &times);
        slow.extend(line.filter(|_| read.judged));
    }
    let caller = large.caller(MEMBER_OF_ALL, Ipv4Addr::LOCALHOST);
    let times = resume(port, &caller, ids).await?;
    slow.extend(compare("resumed WebSocket, 50 messages", &times));
    Ok(slow)
}

/// Waits until the server knows of no chat that is not in the search index.
async fn await_index(port: u16) -> Result<(), String> {
    let caller = Caller {
        token: Some(METRICS.to_owned()),
        ..Caller::LOCAL
    };
    let failed = |e: std::io::Error| format!("no metrics: {e}");
    let deadline = Instant::now() + INDEX_LIMIT;
    while Instant::now() < deadline {
        // The comparison begins with the server.
        sleep(Duration::from_secs(1)).await;
        let mut http = Http::open_as(port, &caller).await.map_err(failed)?;
        let metrics = http.get("/metrics").await.map_err(failed)?;
        let metrics = String::from_utf8_lossy(metrics);
        let mut lines = metrics.lines();
        let waiting = lines.find_map(|line| line.strip_prefix("messaging_search_chats_waiting "));
        if waiting.ok_or("no metric of the search index")? == "0" {
            return Ok(());
        }
    }
    println!("reads: the search index did not catch up within {INDEX_LIMIT:?}");
    Ok(())
}

/// Sends two requests in turn. Returns the latencies of each.
async fn alternate(
    http: &mut Http,
    requests: [(Caller, &str); 2],
) -> Result<[Latencies; 2], String> {
    let mut times = [Vec::new(), Vec::new()];
    let mut rows = [0; 2];
    for n in 0..WARM_UP + TIMES {
        for (side, (caller, path)) in requests.iter().enumerate() {
            http.sign_in(caller);
            let begun = Instant::now();
            let body = http.get(path).await.map_err(|e| format!("{path}: {e}"))?;
            let took = begun.elapsed();
            match n {
                0 => rows[side] = count_rows(body),
                WARM_UP.. => times[side].push(took),
                _ => {}
            }
        }
    }
    match rows[0] == rows[1] {
        true => Ok(times.map(|times| Latencies::of(&times))),
        false => Err(format!(
            "{} and {} rows cannot be compared",
            rows[0], rows[1]
        )),
    }
}

fn count_rows(body: &[u8]) -> usize {
    match serde_json::from_slice(body) {
        Ok(Value::Array(rows)) => rows.len(),
        _ => 1,
    }
}

/// Connects a socket to both chats in turn, with 50 messages to replay. Returns the latencies of each.
async fn resume(port: u16, caller: &Caller, ids: &Ids) -> Result<[Latencies; 2], String> {
    let mut dialog = Dialog::open(port, caller).await?;
    let mut times = [Vec::new(), Vec::new()];
    // A message takes two numbers in both chats.
    let chats = [
        (LARGEST, ids.base + 2 * (SMALL - PAGE)),
        (ids.small, 2 * (SMALL - PAGE)),
    ];
    for n in 0..WARM_UP + TIMES {
        for (side, (chat, since)) in chats.iter().enumerate() {
            let connect = json!({ "customerId": MEMBER_OF_ALL, "chatId": chat, "since": since });
            let begun = Instant::now();
            let messages = dialog.ask("connect-chat", &connect).await?;
            let took = begun.elapsed();
            if messages as i64 != PAGE {
                return Err(format!("{messages} messages were replayed in chat {chat}"));
            }
            if n >= WARM_UP {
                times[side].push(took);
            }
            dialog.ask("leave-chat", &json!({ "chatId": chat })).await?;
        }
    }
    Ok(times.map(|times| Latencies::of(&times)))
}

/// Prints the latencies of a read. Returns the line if the largest chat is too slow.
fn compare(name: &str, [large, small]: &[Latencies; 2]) -> Option<String> {
    let (in_large, in_small) = (large.ms(990), small.ms(990));
    let line = format!(
        "reads: {name}: largest {}, small {}, ratio of p99 {:.2}",
        large.text(),
        small.text(),
        in_large / in_small
    );
    println!("{line}");
    let is_slow = in_large > MOST_TIMES * in_small && in_large - in_small > MOST_MORE;
    is_slow.then_some(line)
}
