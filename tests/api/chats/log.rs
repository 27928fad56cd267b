//! The log of a chat beyond its messages: memberships and the chat itself take numbers, are told live, and are
//! replayed.

use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::SocketAddr};
use testkit::{
    Person, RawSocket, Room, Server, Socket, Store, apply, both_stores, change, field, number,
    rstest, told,
};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

/// A chat of carl's with dora in it. Otto is a stranger.
struct Scene {
    server: Server,
    carl: Person,
    dora: Person,
    otto: Person,
    chat: i64,
}

impl Scene {
    async fn open(store: Store) -> Self {
        let server = Server::start_required(store).await;
        let (carl, dora) = (server.person("carl").await, server.person("dora").await);
        let otto = server.person("otto").await;
        let chat = carl.chat("general").await;
        carl.add(chat, &dora, "participant").await;
        Self {
            server,
            carl,
            dora,
            otto,
            chat,
        }
    }

    /// The changes after a number, as the route lists them page by page.
    async fn pages(&self, since: i64, limit: usize) -> Vec<Vec<Value>> {
        let path = format!("/chat/{}/change?since={since}&limit={limit}", self.chat);
        self.carl.client.pages(&path).await
    }

    /// The number of the chat's latest change.
    async fn head(&self) -> i64 {
        let changes = self.pages(0, 1000).await.concat();
        changes.last().map_or(0, |change| number(change, "seq"))
    }

    fn place(&self, member: &Person) -> String {
        format!("/chat/{}/user/{}", self.chat, member.id)
    }

    /// Makes a user a member with this role, or gives a member this role. Returns the membership.
    async fn set(&self, by: &Person, member: &Person, role: &str) -> Value {
        let body = json!({ "role": role });
        let reply = by.client.put(&self.place(member), body).await;
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
        reply.body
    }

    async fn remove(&self, by: &Person, member: &Person) {
        let removed = by.client.delete(&self.place(member)).await;
        removed.expect(204);
    }

    /// Changes the chat. Returns it.
    async fn update(&self, by: &Person, body: Value) -> Value {
        let path = format!("/chat/{}", self.chat);
        by.client.put(&path, body).await.expect(200)
    }

    /// A socket of a client of the original API, past its own join.
    async fn original(&self, user: &Person) -> Socket {
        let mut socket = self.server.socket().await;
        let content = user.connect(self.chat);
        socket
            .send(json!({ "type": "connect-chat", "content": content }))
            .await;
        socket.expect("join").await;
        socket
    }

    /// The report of a changed membership. Without a role it has ended, and has no time of joining.
    fn member(
        &self,
        member: &Person,
        (role, joined): (Option<&str>, &Value),
        by: &Person,
        seq: i64,
    ) -> Value {
        let joined = role.map(|_| joined);
        let content = json!({
            "customerId": member.id, "username": member.name, "role": role, "joinedAt": joined
        });
        self.report("update-member", &content, by, seq)
    }

    fn report(&self, kind: &str, content: &Value, by: &Person, seq: i64) -> Value {
        json!({
            "type": kind, "content": content, "chatId": self.chat, "customerId": by.id, "seq": seq
        })
    }
}

/// The changes that a socket is sent before the message with this text.
async fn changes_before(socket: &mut Socket, text: &str) -> Vec<Value> {
    let mut frames = socket.frames_before(text).await;
    frames.retain(|frame| change(frame).is_some());
    frames
}

/// The changes that a socket of a user is sent when it resumes after a number, and the content of its ack.
async fn resumed(scene: &Scene, user: &Person, since: i64) -> (Vec<Value>, Value) {
    let mut socket = scene.server.socket().await;
    let mut content = user.connect(scene.chat);
    content["since"] = json!(since);
    socket
        .send(json!({ "type": "connect-chat", "id": "resume", "content": content }))
        .await;
    let mut frames = socket.frames_until(|frame| frame["id"] == "resume").await;
    let ack = frames.pop().expect("an ack");
    assert_eq!(ack["type"], "ack", "{ack}");
    (frames, ack["content"].clone())
}

/// Replayed frames without the mark of a replay, which each of them must have.
fn unmarked(mut frames: Vec<Value>) -> Vec<Value> {
    for frame in &mut frames {
        let mark = frame
            .as_object_mut()
            .and_then(|frame| frame.remove("replay"));
        assert_eq!(mark, Some(json!(true)), "{frame}");
    }
    frames
}

#[apply(both_stores)]
async fn each_change_is_told_live_and_clients_of_the_original_are_sent_messages_alone(
    store: Store,
) {
    let scene = Scene::open(store).await;
    let Scene {
        carl, dora, otto, ..
    } = &scene;
    let mut socket = dora.enter(&scene.server, scene.chat).await;
    let mut original = scene.original(dora).await;
    let head = scene.head().await;
    let first = scene.set(carl, otto, "participant").await["joinedAt"].clone();
    scene.set(carl, otto, "admin").await;
    let renamed = scene.update(otto, json!({ "chatName": "noise" })).await;
    let told = json!({ "topic": "Sheet music", "data": { "colour": "red" } });
    let told = scene.update(carl, told).await;
    scene.set(carl, otto, "participant").await;
    scene.remove(carl, otto).await;
    let second = scene.set(carl, otto, "participant").await["joinedAt"].clone();
    scene.remove(otto, otto).await;
    carl.say(scene.chat, "the end").await;
    let participant = Some("participant");
    let expected = [
        scene.member(otto, (participant, &first), carl, head + 1),
        scene.member(otto, (Some("admin"), &first), carl, head + 2),
        scene.report("update-chat", &renamed, otto, head + 3),
        scene.report("update-chat", &told, carl, head + 4),
        scene.member(otto, (participant, &first), carl, head + 5),
        scene.member(otto, (None, &first), carl, head + 6),
        scene.member(otto, (participant, &second), carl, head + 7),
        scene.member(otto, (None, &second), otto, head + 8),
    ];
    assert_eq!(changes_before(&mut socket, "the end").await, expected);
    let next = original.next().await;
    assert_eq!(next["content"]["content"], "the end", "{next}");
    assert_eq!(change(&next), Some(head + 9));
    scene.server.stop().await;
}

#[apply(both_stores)]
async fn connecting_for_the_first_time_is_told_and_an_unnamed_caller_is_null(store: Store) {
    let room = Room::open(store).await;
    let mut watcher = room.enter(room.sigmund).await;
    let path = format!("/user/chat/{}", room.chat);
    let mut carl = room.server.socket().await;
    let content = json!({ "customerId": room.carl, "chatId": room.chat });
    carl.send(json!({ "type": "connect-chat", "id": 1, "content": content }))
        .await;
    let ack = carl.expect("ack").await;
    assert_eq!(ack["content"]["seq"], 2, "with the own membership");
    carl.expect("join").await;
    carl.close().await;
    room.enter(room.carl).await.close().await;
    room.say("both are in").await;
    let frames = changes_before(&mut watcher, "both are in").await;
    let members = room.client.list(&path).await;
    let joined = &members.iter().find(|m| m["customerId"] == room.carl);
    let joined = &joined.expect("carl")["joinedAt"];
    let member = |role: &str| {
        json!({
            "customerId": room.carl, "username": "carl", "role": role, "joinedAt": joined
        })
    };
    // The first number is that of sigmund's membership. The second socket of carl's takes none.
    let expected = json!({
        "type": "update-member", "content": member("participant"), "chatId": room.chat,
        "customerId": room.carl, "seq": 2
    });
    assert_eq!(frames, [expected]);

    let path = format!("/chat/{}", room.chat);
    let renamed = json!({ "chatName": "noise" });
    let renamed = room.client.put(&path, renamed).await.expect(200);
    let path = format!("{path}/user/{}", room.carl);
    let admin = room.client.put(&path, json!({ "role": "admin" })).await;
    admin.expect(200);
    for (kind, content, seq) in [
        ("update-chat", renamed, 4),
        ("update-member", member("admin"), 5),
    ] {
        let expected = json!({
            "type": kind, "content": content, "chatId": room.chat, "customerId": null, "seq": seq
        });
        assert_eq!(watcher.until(kind).await, expected);
    }
    room.close().await;
}

#[apply(both_stores)]
async fn where_nothing_changes_no_number_is_taken_and_nothing_is_told(store: Store) {
    let scene = Scene::open(store).await;
    let Scene {
        carl, dora, otto, ..
    } = &scene;
    let body = json!({ "topic": "Sheet music", "data": { "colour": "red" } });
    scene.update(carl, body.clone()).await;
    let mut socket = dora.enter(&scene.server, scene.chat).await;
    let head = scene.head().await;
    scene.set(carl, dora, "participant").await;
    let bare = carl.client.put(&scene.place(dora), json!({})).await;
    bare.expect(200);
    let path = format!("/chat/user/{}?chat_id={}", dora.id, scene.chat);
    carl.client.get(&path).await.expect(200);
    scene.update(carl, json!({ "chatName": "general" })).await;
    scene.update(carl, body).await;
    // A refused request takes no number.
    let stranger = carl.client.delete(&scene.place(otto)).await;
    stranger.expect_error(404, "member_not_found");
    let mine = carl.client.delete(&scene.place(carl)).await;
    mine.expect_error(403, "forbidden");
    let path = format!("/chat/{}", scene.chat);
    let theirs = dora.client.put(&path, json!({ "topic": "Mine" })).await;
    theirs.expect_error(403, "forbidden");
    let id = carl.say(scene.chat, "the end").await;
    let told = socket.frames_before("the end").await;
    let told: Vec<&Value> = told.iter().filter(|f| f["type"] != "join").collect();
    assert!(told.is_empty(), "{told:?}");
    let message = carl.client.get(&format!("/message/{id}")).await.expect(200);
    assert_eq!(message["seq"], head + 1);
    scene.server.stop().await;
}

#[apply(both_stores)]
async fn a_client_that_was_away_gets_each_thing_once_in_its_present_state(store: Store) {
    let scene = Scene::open(store).await;
    let Scene {
        carl, dora, otto, ..
    } = &scene;
    let old = carl.say(scene.chat, "old").await;
    let since = scene.head().await;
    let message = |id: i64| format!("/message/{id}");
    let one = carl.say(scene.chat, "one").await;
    let two = carl.say(scene.chat, "two").await;
    scene.set(carl, otto, "participant").await;
    scene.update(carl, json!({ "chatName": "noise" })).await;
    let edit = json!({ "content": "one, edited" });
    carl.client.put(&message(one), edit).await.expect(200);
    scene.set(carl, otto, "admin").await;
    let chat = scene.update(otto, json!({ "topic": "Sheet music" })).await;
    scene.remove(carl, otto).await;
    carl.client.delete(&message(two)).await.expect(204);
    let edit = json!({ "content": "old, edited" });
    carl.client.put(&message(old), edit).await.expect(200);
    let three = carl.say(scene.chat, "three").await;
    let stored = async |id: i64| carl.client.get(&message(id)).await.expect(200);
    let expected = [
        told("send-message", &stored(one).await),
        scene.report("update-chat", &chat, otto, since + 7),
        scene.member(otto, (None, &Value::Null), carl, since + 8),
        scene.report("delete-message", &json!(two), carl, since + 9),
        told("update-message", &stored(old).await),
        told("send-message", &stored(three).await),
    ];
    let numbers: Vec<i64> = expected.iter().filter_map(change).collect();
    assert_eq!(numbers, [5, 7, 8, 9, 10, 11].map(|n| since + n));

    let (replayed, ack) = resumed(&scene, dora, since).await;
    assert_eq!(unmarked(replayed), expected);
    assert_eq!(ack["seq"], since + 11);
    let (none, _) = resumed(&scene, dora, since + 11).await;
    assert!(none.is_empty(), "{none:?}");

    let pages = scene.pages(since, 2).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
    assert_eq!(pages.concat(), expected);
    let path = format!("/chat/{}/change?since={since}&limit=4", scene.chat);
    let reply = dora.client.get(&path).await;
    let epoch = reply.header("log-epoch").to_owned();
    assert_eq!(ack["epoch"], epoch);
    let named = format!("{path}&epoch={epoch}");
    assert_eq!(dora.client.pages(&named).await.concat(), expected);
    let other = dora.client.get(&format!("{path}&epoch=another")).await;
    other.expect_error(400, "invalid_field");
    scene.server.stop().await;
}

#[apply(both_stores)]
async fn a_client_of_the_original_is_replayed_nothing_and_resumes_with_all(store: Store) {
    let scene = Scene::open(store).await;
    let Scene {
        carl, dora, otto, ..
    } = &scene;
    let mut original = scene.original(dora).await;
    let head = scene.head().await;
    scene.set(carl, otto, "participant").await;
    // With `since` the socket is one of the original's no more.
    let mut content = dora.connect(scene.chat);
    content["since"] = json!(head);
    original
        .send(json!({ "type": "connect-chat", "content": content }))
        .await;
    let replayed = original.until("update-member").await;
    assert_eq!(
        (change(&replayed), &replayed["replay"]),
        (Some(head + 1), &json!(true))
    );
    scene.remove(carl, otto).await;
    let live = original.until("update-member").await;
    assert_eq!(
        (change(&live), live.get("replay")),
        (Some(head + 2), None),
        "{live}"
    );
    scene.server.stop().await;
}

#[apply(both_stores)]
async fn the_end_of_a_user_is_told_and_the_server_appoints_the_successor(store: Store) {
    let scene = Scene::open(store).await;
    let Scene {
        carl, dora, otto, ..
    } = &scene;
    scene.set(carl, otto, "participant").await;
    let mut socket = dora.enter(&scene.server, scene.chat).await;
    let mut original = scene.original(dora).await;
    let head = scene.head().await;
    let path = format!("/user/{}", carl.id);
    carl.client.delete(&path).await.expect(204);
    let live = [
        socket.until("update-member").await,
        socket.until("update-member").await,
    ];
    assert_eq!(live.each_ref().map(change), [head + 1, head + 2].map(Some));
    let of = |frames: &[Value], user: &Person| {
        let mut of = frames.iter();
        let found = of.find(|frame| frame["content"]["customerId"] == user.id);
        found.expect("a report").clone()
    };
    let (ended, promoted) = (of(&live, carl), of(&live, dora));
    assert_eq!(ended["customerId"], carl.id);
    assert_eq!(ended["content"]["role"], Value::Null);
    assert_eq!(ended["content"]["joinedAt"], Value::Null);
    assert_eq!(promoted["customerId"], Value::Null, "the server");
    assert_eq!(promoted["content"]["role"], "admin");
    assert_eq!(promoted["content"]["username"], "dora");
    // The same for a client that was away. The name is gone with the user.
    let (replayed, _) = resumed(&scene, otto, head).await;
    let replayed = unmarked(replayed);
    assert_eq!(of(&replayed, dora), promoted);
    let mut nameless = ended;
    nameless["content"]["username"] = Value::Null;
    assert_eq!(of(&replayed, carl), nameless);
    assert_eq!(replayed.len(), 2);
    dora.say(scene.chat, "the end").await;
    let frames = original.frames_before("the end").await;
    assert!(
        frames.iter().all(|frame| change(frame).is_none()),
        "{frames:?}"
    );
    scene.server.stop().await;
}

#[apply(both_stores)]
async fn users_who_connect_at_once_take_a_number_each(store: Store) {
    const USERS: i64 = 1_000;
    rlimit::increase_nofile_limit(u64::MAX).expect("a limit of open files");
    let room = Room::of_members(store).await;
    let users = format!(
        "{} INSERT INTO customer (username, password, created_at) \
         SELECT 'user ' || n, '!', '2026-01-01T00:00:00.000000+00:00' FROM numbers",
        numbers(store, USERS)
    );
    room.server.database.run(&users).await;
    let named = "SELECT min(customer_id) FROM customer WHERE username LIKE 'user %'";
    let first = room.server.database.number(named).await;
    let watcher = room.enter(room.carl).await;
    let opening = (0..USERS).map(|_| RawSocket::open(room.server.address));
    let sockets = join_all(opening).await;
    let mut connecting = JoinSet::new();
    for (user, socket) in (first..).zip(sockets) {
        connecting.spawn(until_acked(socket, room.server.address, user, room.chat));
    }
    let watching = followed(&room, watcher, USERS);
    let (_, heard) = tokio::join!(connecting.join_all(), watching);
    assert_eq!(heard, (1..=USERS).collect::<Vec<_>>());

    let path = format!("/chat/{}/change?limit=1000", room.chat);
    let changes = room.client.list(&path).await;
    assert_eq!(
        field(&changes, "seq"),
        (1..=USERS).collect::<Vec<_>>(),
        "and no more of them"
    );
    let mut members = BTreeSet::new();
    for change in &changes {
        assert_eq!(change["type"], "update-member");
        assert_eq!(change["content"]["role"], "participant");
        assert_eq!(change["content"]["customerId"], change["customerId"]);
        members.insert(number(change, "customerId"));
    }
    assert_eq!(members, (first..first + USERS).collect());
    assert_eq!(room.say("the next").await["seq"], USERS + 1);
    room.close().await;
}

/// Connects a user to a chat, and again on another socket as long as a busy machine has no time for it.
async fn until_acked(mut socket: RawSocket, address: SocketAddr, user: i64, chat: i64) {
    let content = json!({ "customerId": user, "chatId": chat });
    let connect = json!({ "type": "connect-chat", "id": 1, "content": content });
    loop {
        socket.send(connect.clone()).await;
        while let Some((first, payload)) = socket.next().await {
            if first != 0x81 {
                continue;
            }
            let frame: Value = serde_json::from_slice(&payload).expect("JSON");
            if frame["id"] == 1 {
                if frame["type"] == "ack" {
                    return;
                }
                assert_eq!(frame["content"]["code"], "unavailable", "{frame}");
                break;
            }
        }
        socket = RawSocket::open(address).await;
    }
}

/// The numbers of the changes that a socket of carl's is sent up to the last. If a busy machine closes it as too slow,
/// a next one resumes.
async fn followed(room: &Room, mut socket: Socket, last: i64) -> Vec<i64> {
    let mut heard = Vec::new();
    while heard.last() != Some(&last) {
        match socket.next_raw().await {
            Some(Message::Text(text)) => {
                let frame: Value = serde_json::from_str(&text).expect("JSON");
                heard.extend(change(&frame));
            }
            Some(Message::Close(_)) | None => {
                let seen = heard.last().copied().unwrap_or(0);
                let content =
                    json!({ "customerId": room.carl, "chatId": room.chat, "since": seen });
                socket = room.server.socket().await;
                socket
                    .send(json!({ "type": "connect-chat", "id": "resume", "content": content }))
                    .await;
            }
            Some(_) => {}
        }
    }
    heard
}

/// The beginning of a statement: a table of the numbers from 1.
fn numbers(store: Store, most: i64) -> String {
    match store {
        Store::Sqlite => format!(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL \
             SELECT n + 1 FROM numbers WHERE n < {most})"
        ),
        Store::Postgres => format!("WITH numbers AS (SELECT generate_series(1, {most}) AS n)"),
    }
}

#[apply(both_stores)]
async fn changes_of_all_kinds_at_once_are_numbered_without_a_gap(store: Store) {
    const ROUNDS: usize = 40;
    let scene = Scene::open(store).await;
    let Scene {
        carl, dora, otto, ..
    } = &scene;
    let gustav = scene.server.person("gustav").await;
    scene.set(carl, &gustav, "participant").await;
    let listener = dora.enter(&scene.server, scene.chat).await;
    let original = scene.original(dora).await;
    // Read meanwhile: a socket that falls behind would get the present state alone.
    let until_the_end = |mut socket: Socket| {
        let is_last = |frame: &Value| frame["content"]["content"] == "the end";
        tokio::spawn(async move { socket.frames_until(is_last).await })
    };
    let (listening, listening_of_old) = (until_the_end(listener), until_the_end(original));
    let head = scene.head().await;
    let talking = async |who: &Person| {
        for n in 0..ROUNDS {
            let id = who.say(scene.chat, &n.to_string()).await;
            let path = format!("/message/{id}");
            match n % 3 {
                0 => {
                    let edit = json!({ "content": "edited" });
                    who.client.put(&path, edit).await.expect(200);
                }
                1 => {
                    who.client.delete(&path).await.expect(204);
                }
                _ => {}
            }
        }
    };
    let adding = async {
        for _ in 0..ROUNDS {
            scene.set(carl, otto, "participant").await;
            scene.set(carl, otto, "admin").await;
            scene.remove(carl, otto).await;
        }
    };
    let naming = async {
        for n in 0..ROUNDS {
            let (name, topic) = (format!("name {n}"), format!("topic {n}"));
            scene
                .update(carl, json!({ "chatName": name, "topic": topic }))
                .await;
        }
    };
    let leaving = async {
        talking(&gustav).await;
        let path = format!("/user/{}", gustav.id);
        gustav.client.delete(&path).await.expect(204);
    };
    tokio::join!(talking(carl), talking(dora), adding, naming, leaving);
    let last = carl.say(scene.chat, "the end").await;
    let last = format!("/message/{last}");
    let last = number(&carl.client.get(&last).await.expect(200), "seq");

    let frames = listening.await.expect("the listener");
    let heard: Vec<i64> = frames.iter().filter_map(change).collect();
    assert_eq!(heard, (head + 1..=last).collect::<Vec<_>>());
    for kind in [
        "send-message",
        "update-message",
        "delete-message",
        "update-member",
        "update-chat",
    ] {
        let told = frames.iter().filter(|frame| frame["type"] == kind);
        assert!(told.count() >= ROUNDS / 3, "{kind}");
    }
    // A client of the original is sent the same without the types that it does not know.
    let known = |frame: &&Value| !["update-member", "update-chat"].contains(&kind(frame));
    let mut of_original = listening_of_old.await.expect("the listener");
    of_original.retain(|frame| change(frame).is_some());
    let changes = frames.iter().filter(|frame| change(frame).is_some());
    let expected: Vec<Value> = changes.filter(known).cloned().collect();
    assert_eq!(of_original, expected);

    let stored = scene.pages(0, 100).await.concat();
    let numbers: Vec<i64> = stored.iter().filter_map(change).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(numbers.last(), Some(&last));
    let database = scene.server.stop().await;
    database.command(&["check"]).await.expect_success();
}

fn kind(frame: &Value) -> &str {
    frame["type"].as_str().unwrap_or_default()
}

#[apply(both_stores)]
async fn data_are_given_back_byte_for_byte(store: Store) {
    const DATA: [&str; 2] = [
        r#"{"b": 1.0,"a":[1e3, -0,{ }],  "ü":"\u00fc\/ \\u0000 ü", "big":12345678901234567890123}"#,
        "{\n\t\"z\" : null}",
    ];
    let scene = Scene::open(store).await;
    let Scene { carl, dora, .. } = &scene;
    let text = async |request: reqwest::RequestBuilder| -> String {
        let reply = request.header("content-type", "application/json").send();
        let reply = testkit::patiently("an answer", reply).await;
        let reply = reply.expect("an answer");
        assert!(reply.status().is_success(), "{reply:?}");
        reply.text().await.expect("a text")
    };
    let client = &carl.client;
    let path = format!("/chat/{}", scene.chat);
    let mut socket = dora.enter(&scene.server, scene.chat).await;
    for data in DATA {
        let within = format!("\"data\":{data}");
        let body = format!("{{{within}}}");
        let put = text(
            client
                .request(reqwest::Method::PUT, &path)
                .body(body.clone()),
        )
        .await;
        let found = text(client.request(reqwest::Method::GET, &path)).await;
        let listed = format!("{path}/change?since={}", scene.head().await - 1);
        let listed = text(client.request(reqwest::Method::GET, &listed)).await;
        let mine = format!("/user/{}/chat", carl.id);
        let mine = text(client.request(reqwest::Method::GET, &mine)).await;
        let body = format!("{{\"chatName\":\"new\",{}", &body[1..]);
        let made = text(client.request(reqwest::Method::POST, "/chat").body(body)).await;
        let told = loop {
            let frame = socket.next_raw().await.expect("a frame");
            let frame = frame.to_text().unwrap_or_default().to_owned();
            if frame.contains("update-chat") {
                break frame;
            }
        };
        for given in [put, found, listed, mine, made, told] {
            assert!(given.contains(&within), "{data}: {given}");
        }
    }
    // Null removes them, and the topic.
    scene.update(carl, json!({ "topic": "Sheet music" })).await;
    let bare = scene
        .update(carl, json!({ "topic": null, "data": null }))
        .await;
    testkit::assert_keys(&bare, &["chatId", "chatName", "createdAt"]);
    assert_eq!(client.get(&path).await.expect(200), bare);
    scene.server.stop().await;
}

#[apply(both_stores)]
async fn wrong_data_and_empty_changes_are_refused(store: Store) {
    let scene = Scene::open(store).await;
    let client = &scene.carl.client;
    let path = format!("/chat/{}", scene.chat);
    let head = scene.head().await;
    let long = |bytes: usize| json!({ "a": "x".repeat(bytes - r#"{"a":""}"#.len()) });
    let cases = [
        (json!({ "data": long(4097) }), 413, "too_large"),
        (json!({ "data": [1] }), 400, "invalid_field"),
        (json!({ "data": "x" }), 400, "invalid_field"),
        (json!({ "data": 7 }), 400, "invalid_field"),
        (json!({ "data": { "a": "\0" } }), 400, "invalid_field"),
        (json!({ "data": { "\0": 1 } }), 400, "invalid_field"),
        (json!({ "topic": "" }), 400, "invalid_field"),
        (json!({ "topic": " " }), 400, "invalid_field"),
        (json!({ "topic": "a\nb" }), 400, "invalid_field"),
        (json!({ "topic": "x".repeat(1001) }), 400, "invalid_field"),
        (json!({ "topic": 7 }), 400, "invalid_field"),
    ];
    for (body, status, code) in cases {
        let refused = client.put(&path, body.clone()).await;
        refused.expect_error(status, code);
        let mut new = body;
        new["chatName"] = json!("new");
        let refused = client.post("/chat", new).await;
        refused.expect_error(status, code);
    }
    for empty in [
        json!({}),
        json!({ "chatName": null }),
        json!({ "other": 1 }),
    ] {
        let refused = client.put(&path, empty).await;
        refused.expect_error(400, "invalid_field");
    }
    assert_eq!(scene.head().await, head);
    assert_eq!(client.list("/chat").await.len(), 1);
    let longest = json!({ "data": long(4096), "topic": "ü".repeat(1000) });
    let chat = scene.update(&scene.carl, longest.clone()).await;
    assert_eq!(
        (&chat["data"], &chat["topic"]),
        (&longest["data"], &longest["topic"])
    );
    scene.server.stop().await;
}
