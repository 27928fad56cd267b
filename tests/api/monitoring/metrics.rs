//! `/metrics`: its counts, its access rule, and the truth of its documentation.

use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path};
use testkit::{Client, PASSWORD, Process, Room, Server, Store, apply, both_stores, rstest};

/// Returns the text of `GET /metrics`, asked with the token of the client, if it has one.
pub(crate) async fn scrape(client: &Client) -> String {
    let request = client.request(Method::GET, "/metrics");
    let request = request.header("accept", "application/openmetrics-text;version=1.0.0");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().expect("a type");
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = answer.text().await.expect("a text");
    assert!(text.ends_with("# EOF\n"), "{text}");
    text
}

/// Returns the value of one series, or `None` if the text has no such series.
pub(crate) fn find(text: &str, series: &str) -> Option<f64> {
    let name = format!("messaging_{series} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name))?;
    Some(value.parse().expect("a number"))
}

#[track_caller]
pub(crate) fn value(text: &str, series: &str) -> f64 {
    find(text, series).unwrap_or_else(|| panic!("no {series} in {text}"))
}

#[apply(both_stores)]
async fn messages_and_their_way_are_counted(store: Store) {
    let room = Room::open(store).await;
    let before = scrape(&room.client).await;
    assert_eq!(value(&before, "publication_seconds_count"), 0.0);
    assert_eq!(
        value(&before, "messages_committed_total{change=\"sent\"}"),
        0.0
    );
    room.client.say_many(room.carl, room.chat, 20).await;
    let message = room.say("to be changed").await;
    let path = format!("/message/{}", message["messageId"]);
    let change = json!({ "content": "changed", "customerId": room.carl });
    room.client.put(&path, change).await.expect(200);
    let path = format!("{path}?customerId={}", room.carl);
    room.client.delete(&path).await.expect(204);

    let text = scrape(&room.client).await;
    for (change, count) in [("sent", 21.0), ("edited", 1.0), ("deleted", 1.0)] {
        let series = format!("messages_committed_total{{change=\"{change}\"}}");
        assert_eq!(value(&text, &series), count, "{change}");
    }
    assert_eq!(value(&text, "publication_seconds_count"), 23.0);
    let whole = "publication_seconds_bucket{le=\"+Inf\"}";
    assert_eq!(value(&text, whole), 23.0);
    let sum = value(&text, "publication_seconds_sum");
    assert!(sum > 0.0 && sum < 23.0 * 30.0, "{sum}");
    let batches = value(&text, "batch_changes_count");
    assert!((3.0..=23.0).contains(&batches), "{batches}");
    assert_eq!(value(&text, "batch_changes_sum"), 23.0);
    assert_eq!(value(&text, "commit_seconds_count"), batches);
    assert_eq!(value(&text, "queue_depth"), 0.0);
    let open = value(&text, "database_connections");
    assert!(open >= 1.0 && open <= value(&text, "database_connections_max"));
    assert!(value(&text, "database_connections_idle") <= open);
    room.close().await;
}

#[apply(both_stores)]
async fn sockets_chats_and_users_are_told(store: Store) {
    let room = Room::open(store).await;
    let text = scrape(&room.client).await;
    for series in ["sockets", "chats_in_memory", "users_online", "link_up"] {
        assert_eq!(value(&text, series), 0.0, "{series}");
    }
    let _carl = room.enter(room.carl).await;
    let _again = room.enter(room.carl).await;
    let _sigmund = room.enter(room.sigmund).await;
    let text = scrape(&room.client).await;
    assert_eq!(value(&text, "chats_in_memory"), 1.0);
    assert_eq!(value(&text, "users_online"), 2.0);
    assert!(value(&text, "sockets") >= 3.0);
    let open = value(&text, "connections");
    // The three sockets, and the connection of this request.
    assert!(open >= 4.0 && open <= value(&text, "connections_max"));
    room.close().await;
}

#[apply(both_stores)]
async fn a_replay_is_counted_with_each_message(store: Store) {
    let room = Room::of_members(store).await;
    room.client.say_many(room.carl, room.chat, 7).await;
    let (_socket, frames, _) = room.resume(room.sigmund, 2).await;
    assert_eq!(frames.len(), 5);
    let text = scrape(&room.client).await;
    assert_eq!(value(&text, "feed_replays_total"), 1.0);
    assert_eq!(value(&text, "feed_replayed_messages_total"), 5.0);
    for cause in ["overrun", "gap"] {
        let series = format!("feed_healings_total{{cause=\"{cause}\"}}");
        assert_eq!(value(&text, &series), 0.0, "{cause}");
    }
    room.close().await;
}

#[apply(both_stores)]
async fn requests_are_counted_by_template(store: Store) {
    let room = Room::open(store).await;
    for user in [room.carl, room.sigmund, room.carl] {
        room.client.get(&format!("/user/{user}")).await.expect(200);
    }
    let missing = room.client.get("/user/999999999").await;
    missing.expect_error(404, "user_not_found");
    for path in ["/nowhere/1", "/nowhere/2"] {
        let missing = room.client.get(path).await;
        missing.expect_error(404, "not_found");
    }
    let brewed = room.client.request(Method::TRACE, "/user");
    room.client.send(brewed).await;
    let text = scrape(&room.client).await;
    for (method, route, status, count) in [
        ("GET", "/user/{id}", "2xx", 3.0),
        ("GET", "/user/{id}", "4xx", 1.0),
        ("GET", "-", "4xx", 2.0),
        ("POST", "/user", "2xx", 2.0),
        ("other", "/user", "4xx", 1.0),
    ] {
        let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
        let series = format!("http_requests_total{{{labels}}}");
        assert_eq!(value(&text, &series), count, "{series}");
    }
    let series = "http_request_seconds_count{route=\"/user/{id}\"}";
    assert_eq!(value(&text, series), 4.0);
    room.close().await;
}

#[apply(both_stores)]
async fn logins_and_refusals_are_counted(store: Store) {
    let room = Room::open_with(store, &["--frames-per-second=1", "--rate-limit=on"]).await;
    let client = &room.client;
    client.login("carl", PASSWORD).await;
    let wrong = json!({ "username": "carl", "password": "not the password" });
    let refused = client.post("/login", wrong).await;
    refused.expect_error(401, "unauthorized");
    let mut socket = room.enter(room.carl).await;
    let elsewhere = json!({ "chatId": room.chat + 1000, "content": "Hello." });
    socket
        .refused("send-message", elsewhere, "not_connected")
        .await;
    // The bucket holds the requests of ten seconds.
    for n in 0..15 {
        let content = json!({ "chatId": room.chat });
        let frame = json!({ "type": "start-typing", "id": n, "content": content });
        socket.send(frame).await;
    }
    socket.frames_until(|frame| frame["id"] == 14).await;
    let text = scrape(client).await;
    assert_eq!(value(&text, "logins_total{outcome=\"succeeded\"}"), 1.0);
    assert_eq!(value(&text, "logins_total{outcome=\"failed\"}"), 1.0);
    let refusals = |code: &str, via: &str| {
        let series = format!("refusals_total{{code=\"{code}\",via=\"{via}\"}}");
        find(&text, &series).unwrap_or(0.0)
    };
    assert_eq!(refusals("unauthorized", "http"), 1.0);
    assert_eq!(refusals("not_connected", "ws"), 1.0);
    assert!(refusals("rate_limited", "ws") >= 3.0);
    room.close().await;
}

#[apply(both_stores)]
async fn no_id_and_no_name_is_told(store: Store) {
    let room = Room::open(store).await;
    let chat = room.client.new_chat("zanzibar").await;
    let user = room.client.new_user("rumpelstiltskin").await;
    room.client.say(user, chat, "abracadabra").await;
    room.client
        .get("/user/username/rumpelstiltskin")
        .await
        .expect(200);
    room.client.get("/zanzibar?x=abracadabra").await;
    let made_up = Method::from_bytes(b"ABRACADABRA").expect("a method");
    let made_up = room.client.request(made_up, "/user");
    room.client.send(made_up).await;
    let text = scrape(&room.client).await.to_lowercase();
    for word in ["zanzibar", "rumpelstiltskin", "abracadabra"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    assert!(text.contains("route=\"/user/username/{username}\""));
    room.close().await;
}

/// Returns the name of every metric after each event has happened once, as a PromQL expression names it.
async fn names(store: Store) -> BTreeSet<String> {
    let room = Room::open(store).await;
    room.client.login("carl", PASSWORD).await;
    room.client.get("/nowhere").await;
    let text = scrape(&room.client).await;
    room.close().await;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| {
            let (name, kind) = line.split_once(' ').expect("a name and a type");
            match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            }
        })
        .collect()
}

#[apply(both_stores)]
async fn the_document_names_what_the_server_says(store: Store) {
    let document = include_str!("../../../docs/METRICS.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<String> = rows
        .filter_map(|row| row.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(listed, names(store).await);
    assert!(listed.len() > 25, "{listed:?}");
}

#[tokio::test]
async fn in_required_mode_they_are_nobodys_without_a_token() {
    let server = Server::start_required(Store::Sqlite).await;
    let person = server.person("carl").await;
    for client in [&server.client(), &person.client] {
        client.get("/metrics").await.expect_error(404, "not_found");
    }
    server.stop().await;
}

#[tokio::test]
async fn with_a_token_they_are_for_who_shows_it() {
    let token = "only-for-prometheus";
    let flag = format!("--metrics-token={token}");
    for auth in ["--auth=required", "--auth=open"] {
        let server = Server::start_with(Store::Sqlite, &[auth, &flag]).await;
        let client = server.client();
        let person = server.person("carl").await;
        let wrong = client.with_token(&token[1..]);
        let longer = client.with_token(&format!("{token}x"));
        for client in [&client, &person.client, &wrong, &longer] {
            let refused = client.get("/metrics").await;
            assert_eq!(refused.header("www-authenticate"), "Bearer", "{auth}");
            refused.expect_error(401, "unauthorized");
        }
        let text = scrape(&client.with_token(token)).await;
        assert_eq!(
            value(&text, "refusals_total{code=\"unauthorized\",via=\"http\"}"),
            4.0
        );
        assert!(!text.contains(token));
        // The metrics token is valid for no other route.
        let me = client.with_token(token).get("/me").await;
        me.expect_error(401, "unauthorized");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_short_token_stops_the_start_and_is_not_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    for token in ["hunter2", "hunter2 hunter2 hunter2"] {
        let settings = [("METRICS_TOKEN", token)];
        let (status, complaint) = Process::refused(folder.path(), &settings).await;
        assert!(!status.success(), "{token:?} was taken");
        let told = complaint.contains("METRICS_TOKEN must be at least 16");
        assert!(told && !complaint.contains("hunter2"), "{complaint}");
    }
}

/// Collects the metrics that an expression names, without the suffixes of histograms.
fn asked_for(expression: &str, found: &mut BTreeSet<String>) {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    for word in words.filter(|word| word.starts_with("messaging_") || word.starts_with("process_"))
    {
        let ends = ["_bucket", "_count", "_sum"];
        let base = ends.iter().find_map(|end| word.strip_suffix(end));
        found.insert(base.unwrap_or(word).to_owned());
    }
}

/// Collects every `expr` of a document, at any depth.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some(text) if name == "expr" => found.push(text.to_owned()),
                    _ => expressions(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_ask_for_what_there_is() {
    let names = names(Store::Sqlite).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ops");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a file");
    let dashboard: Value = serde_json::from_str(&read("grafana.json")).expect("JSON");
    let alerts: Value = serde_saphyr::from_str(&read("alerts.yaml")).expect("YAML");
    for (document, least) in [(&dashboard, 15), (&alerts, 8)] {
        let (mut all, mut asked) = (Vec::new(), BTreeSet::new());
        expressions(document, &mut all);
        all.iter().for_each(|text| asked_for(text, &mut asked));
        assert!(all.len() >= least, "{} expressions", all.len());
        let unknown: Vec<_> = asked.difference(&names).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(asked.len() > 5, "{asked:?}");
    }
    for group in alerts["groups"].as_array().expect("groups") {
        for rule in group["rules"].as_array().expect("rules") {
            let told = rule["annotations"]["summary"].is_string();
            assert!(rule["alert"].is_string() && told, "{rule}");
        }
    }
}
