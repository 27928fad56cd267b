//! The audit events of the log, with user and address: the table of `docs/THREAT-MODEL.md`.

use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path};
use testkit::{Database, Person, Process, Store, apply, both_stores, rstest};

async fn start(database: &Database, more: &[(&str, &str)]) -> Process {
    let mut settings = vec![
        ("DATABASE_URL", database.url.as_str()),
        ("AUTH", "required"),
        ("LOG_FORMAT", "json"),
    ];
    settings.extend_from_slice(more);
    Process::start(database.folder.path(), &settings).await
}

/// The lines of these events, in order.
fn events(log: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.collect()
}

/// The event of this name that has these fields.
fn find<'a>(events: &'a [Value], name: &str, fields: &Value) -> &'a Value {
    let has = |event: &Value| {
        let wanted = fields.as_object().expect("fields");
        event["message"] == name && wanted.iter().all(|(key, value)| event[key] == *value)
    };
    let found = events.iter().find(|event| has(event));
    found.unwrap_or_else(|| panic!("{name} {fields} is not in the log"))
}

/// From where the request of an event came, and who asked.
fn asked<'a>(event: &'a Value, field: &str) -> &'a Value {
    &event["span"][field]
}

#[apply(both_stores)]
async fn who_did_what_is_logged_with_where_from(store: Store) {
    let database = Database::new(store).await;
    let process = start(&database, &[]).await;
    let client = process.client();
    let (carl, dora) = (
        Person::sign_up(&client, "carl").await,
        Person::sign_up(&client, "dora").await,
    );
    let wrong = json!({ "username": "carl", "password": "not at all" });
    client
        .post("/login", wrong)
        .await
        .expect_error(401, "unauthorized");
    let chat = carl.chat("general").await;
    carl.add(chat, &dora, "participant").await;
    carl.add(chat, &dora, "admin").await;
    let hers = format!("/chat/{chat}/user/{}", dora.id);
    carl.client.delete(&hers).await.expect(204);
    let change = json!({ "password": "battery staple" });
    let me = format!("/user/{}", dora.id);
    dora.client.put(&me, change).await.expect(200);
    carl.client
        .delete(&format!("/chat/{chat}"))
        .await
        .expect(204);
    carl.client.post("/logout", json!({})).await.expect(204);
    dora.client.delete(&me).await.expect(204);

    let (_, log) = process.stop().await;
    let events = events(&log);
    let (c, d) = (carl.id, dora.id);
    for (name, fields) in [
        ("login", json!({ "user": c })),
        ("login failed", json!({ "user": c })),
        (
            "member added",
            json!({ "user": d, "chat": chat, "role": "participant", "by": c }),
        ),
        (
            "role changed",
            json!({ "user": d, "chat": chat, "role": "admin", "by": c }),
        ),
        (
            "member removed",
            json!({ "user": d, "chat": chat, "by": c }),
        ),
        ("password changed", json!({ "user": d })),
        ("chat deleted", json!({ "chat": chat, "by": c })),
        ("session ended", json!({ "user": c })),
        ("user deleted", json!({ "user": d })),
    ] {
        let event = find(&events, name, &fields);
        assert_eq!(asked(event, "from"), "127.0.0.1", "{event}");
    }
}

#[apply(both_stores)]
async fn what_expires_is_logged(store: Store) {
    let database = Database::new(store).await;
    let process = start(&database, &[("SESSION_SWEEP_SECONDS", "0.05")]).await;
    let carl = Person::sign_up(&process.client(), "carl").await;
    let chat = carl.chat("general").await;
    let mut socket = process.socket().await;
    socket.ask("connect-chat", carl.connect(chat)).await;
    let expire = "UPDATE session SET expires_at = '2020-01-01T00:00:00+00:00'";
    database.run(expire).await;
    assert_eq!(socket.closed().await, 4001);
    let (_, log) = process.stop().await;
    let event = find(
        &events(&log),
        "session expired",
        &json!({ "user": carl.id }),
    )
    .clone();
    assert!(event["session"].is_i64(), "{event}");
}

#[apply(both_stores)]
async fn what_is_refused_is_logged_also_where_it_is_hidden(store: Store) {
    let database = Database::new(store).await;
    let process = start(&database, &[]).await;
    let client = process.client();
    let (carl, otto) = (
        Person::sign_up(&client, "carl").await,
        Person::sign_up(&client, "otto").await,
    );
    let chat = carl.chat("general").await;
    let message = carl.say(chat, "Between us.").await;
    let hidden = |reply: testkit::Reply| assert_eq!(reply.status, 404);
    hidden(otto.client.get(&format!("/chat/{chat}")).await);
    hidden(otto.client.get(&format!("/message/{message}")).await);
    let session = &carl.client.list("/session").await[0]["sessionId"];
    hidden(otto.client.delete(&format!("/session/{session}")).await);
    let own = format!("/user/{}", carl.id);
    otto.client
        .delete(&own)
        .await
        .expect_error(403, "forbidden");
    let mut socket = process.socket().await;
    socket
        .refused("connect-chat", otto.connect(chat), "chat_not_found")
        .await;
    // What simply is not there is no news.
    client.get("/nowhere").await.expect_error(404, "not_found");
    let (_, log) = process.stop().await;
    let events = events(&log);
    for code in [
        "chat_not_found",
        "message_not_found",
        "session_not_found",
        "forbidden",
    ] {
        let event = find(&events, "refused", &json!({ "code": code }));
        assert_eq!(asked(event, "from"), "127.0.0.1", "{event}");
    }
    let on_socket =
        |event: &&Value| event["message"] == "refused" && event["span"]["name"] == "socket";
    assert!(
        events.iter().find(on_socket).is_some(),
        "refused on a socket"
    );
    let not_found = |event: &Value| event["message"] == "refused" && event["code"] == "not_found";
    assert!(!events.iter().any(not_found));
}

/// The table names each event that the sources log, and no other.
#[test]
fn every_event_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/THREAT-MODEL.md")).expect("the document");
    let (_, table) = text.split_once("## Events").expect("the section");
    let (table, _) = table.split_once("\n## ").expect("the next section");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let mut logged = BTreeSet::from(["refused", "command carried out", "command refused"]);
    let services = [
        "login",
        "member",
        "user",
        "large_deletion",
        "chat",
        "session",
        "janitor",
    ];
    let services: Vec<String> = services
        .map(|name| root.join(format!("src/service/{name}.rs")))
        .map(|path| fs::read_to_string(path).expect("a source"))
        .into();
    for source in &services {
        for call in source.split("tracing::info!(").skip(1) {
            let (arguments, _) = call.split_once("\")").expect("a message at the end");
            logged.extend(arguments.rsplit('"').next());
        }
    }
    assert_eq!(listed, logged);
}
