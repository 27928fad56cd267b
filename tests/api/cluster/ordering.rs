//! A message sent through one node arrives on every node, once and in order.

use serde_json::{Value, json};
use testkit::Cluster;
use testkit::{change, history, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_message_comes_live_on_every_node_in_the_same_frame() {
    let cluster = Cluster::open(3).await;
    let mut near = cluster.enter(0, cluster.sigmund).await;
    let mut far = [
        cluster.enter(1, cluster.sigmund).await,
        cluster.enter(2, cluster.sigmund).await,
    ];
    for socket in &mut far {
        cluster.until_heard(0, socket).await;
    }
    let said = cluster.say(0, "to everyone").await;
    let expected = told("send-message", &said);
    for socket in far.iter_mut().chain([&mut near]) {
        let frames = socket
            .frames_until(|frame| change(frame) == said["seq"].as_i64())
            .await;
        assert_eq!(frames.last(), Some(&expected));
    }
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn edits_and_deletes_come_on_every_node() {
    let cluster = Cluster::open(2).await;
    let mut sigmund = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard(0, &mut sigmund).await;
    let message = cluster.say(0, "a draft").await;
    let path = format!("/message/{}", message["messageId"]);
    let client = cluster.client(0);
    let edited = client.put(&path, json!({ "content": "final" })).await;
    let edited = edited.expect(200);
    let by = format!("{path}?customerId={}", cluster.carl);
    cluster.client(1).delete(&by).await.expect(204);
    sigmund.until("send-message").await;
    assert_eq!(
        sigmund.until("update-message").await,
        told("update-message", &edited)
    );
    let deleted = sigmund.until("delete-message").await;
    assert_eq!(deleted["content"], message["messageId"]);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn changes_of_members_and_of_the_chat_come_live_on_every_node() {
    let cluster = Cluster::open(2).await;
    let chat = cluster.chat;
    let mut near = cluster.enter(0, cluster.sigmund).await;
    let mut far = cluster.enter(1, cluster.sigmund).await;
    let mut original = cluster.nodes[1].socket().await;
    let content = json!({ "customerId": cluster.carl, "chatId": chat });
    original
        .send(json!({ "type": "connect-chat", "content": content }))
        .await;
    cluster.until_heard(0, &mut far).await;
    let head = cluster.say(0, "the beginning").await;
    let head = head["seq"].as_i64().expect("a number");
    let client = cluster.client(0);
    let dora = client.new_user("dora").await;
    let place = format!("/chat/{chat}/user/{dora}");
    let added = client.put(&place, json!({ "role": "admin" })).await;
    let joined = added.expect(201)["joinedAt"].clone();
    let renamed = json!({ "chatName": "noise", "topic": "Sheet music" });
    let renamed = client.put(&format!("/chat/{chat}"), renamed).await;
    let renamed = renamed.expect(200);
    client.delete(&place).await.expect(204);
    let last = cluster.say(0, "the end").await;
    let member = |role: Option<&str>| {
        let joined = role.map(|_| &joined);
        json!({ "customerId": dora, "username": "dora", "role": role, "joinedAt": joined })
    };
    let report = |kind: &str, content: Value, n: i64| {
        json!({
            "type": kind, "content": content, "chatId": chat, "customerId": null, "seq": head + n
        })
    };
    let expected = [
        report("update-member", member(Some("admin")), 1),
        report("update-chat", renamed, 2),
        report("update-member", member(None), 3),
        told("send-message", &last),
    ];
    for socket in [&mut near, &mut far] {
        socket.frames_before("the beginning").await;
        let mut frames = socket
            .frames_until(|frame| change(frame) == Some(head + 4))
            .await;
        frames.retain(|frame| change(frame).is_some());
        assert_eq!(frames, expected);
    }
    original.frames_before("the beginning").await;
    assert_eq!(original.next().await, expected[3]);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn two_nodes_that_send_to_one_chat_number_without_a_gap() {
    const EACH: usize = 300;
    let cluster = Cluster::open(3).await;
    let mut listener = cluster.enter(2, cluster.sigmund).await;
    let mut senders = [
        cluster.enter(0, cluster.carl).await,
        cluster.enter(1, cluster.sigmund).await,
    ];
    let texts: Vec<String> = (0..EACH).map(|n| n.to_string()).collect();
    let [one, two] = &mut senders;
    let (chat, all) = (cluster.chat, 2 * EACH as i64);
    let listening = listener.frames_until(|frame| change(frame) == Some(all));
    let (first, second, frames) = tokio::join!(
        one.say_all(chat, &texts),
        two.say_all(chat, &texts),
        listening
    );
    let heard: Vec<i64> = frames.iter().filter_map(change).collect();
    assert_eq!(heard, (1..=all).collect::<Vec<i64>>());
    for acks in [&first, &second] {
        let seqs: Vec<i64> = acks.iter().filter_map(|ack| ack["seq"].as_i64()).collect();
        assert!(seqs.is_sorted(), "a sender's messages keep their order");
    }
    let ids = |list: &[Value]| -> Vec<i64> {
        let ids = list.iter().filter_map(|m| m["messageId"].as_i64());
        ids.collect()
    };
    let mut acked = [ids(&first), ids(&second)].concat();
    acked.sort_unstable();
    let stored = history(&cluster.client(0), chat).await;
    assert_eq!(ids(&stored), acked, "ids grow with the numbers");
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_socket_resumes_on_another_node() {
    let cluster = Cluster::open(2).await;
    let socket = cluster.enter(0, cluster.sigmund).await;
    cluster.say(1, "one").await;
    socket.close().await;
    cluster.say(0, "two").await;
    cluster.say(1, "three").await;
    let mut socket = cluster.nodes[1].socket().await;
    let content = json!({ "customerId": cluster.sigmund, "chatId": cluster.chat, "since": 1 });
    socket.enter_with(content).await;
    cluster.until_heard(0, &mut socket).await;
    let mut again = cluster.nodes[0].socket().await;
    let content = json!({ "customerId": cluster.carl, "chatId": cluster.chat, "since": 1 });
    again
        .send(json!({ "type": "connect-chat", "id": 1, "content": content }))
        .await;
    let frames = again.frames_until(|frame| frame["id"] == 1).await;
    let seqs: Vec<i64> = frames.iter().filter_map(change).collect();
    let ack = frames.last().expect("the ack");
    let head = ack["content"]["seq"].as_i64().expect("a number");
    assert_eq!(seqs, (2..=head).collect::<Vec<i64>>());
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_send_repeated_on_another_node_is_one_message() {
    const SENDS: usize = 30;
    let cluster = Cluster::open(2).await;
    let path = format!("/chat/{}/message", cluster.chat);
    for n in 0..SENDS {
        let body = json!({
            "customerId": cluster.carl, "content": "once", "clientMessageId": format!("key {n}")
        });
        let (here, there) = (cluster.client(0), cluster.client(1));
        let (one, two) = tokio::join!(
            here.post(&path, body.clone()),
            there.post(&path, body.clone())
        );
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 201]);
        assert_eq!(one.body, two.body);
    }
    let stored = history(&cluster.client(0), cluster.chat).await;
    assert_eq!(stored.len(), SENDS);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_batch_of_large_messages_comes_whole() {
    let cluster = Cluster::open(2).await;
    let mut carl = cluster.enter(0, cluster.carl).await;
    let mut sigmund = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard(0, &mut sigmund).await;
    // Six bytes each as JSON: some 54 KiB a message, and in all more than one message to NATS holds.
    let texts: Vec<String> = (0..20)
        .map(|n| format!("{n}{}", "\u{1}".repeat(9_000)))
        .collect();
    let sending = carl.say_all(cluster.chat, &texts);
    let listening = sigmund.frames_until(|frame| {
        let text = frame["content"]["content"].as_str().unwrap_or_default();
        text.starts_with("19")
    });
    let (acks, frames) = tokio::join!(sending, listening);
    let sent: Vec<&Value> = acks.iter().collect();
    let heard: Vec<&Value> = frames
        .iter()
        .filter(|frame| change(frame).is_some())
        .map(|frame| &frame["content"])
        .collect();
    assert_eq!(heard[heard.len() - sent.len()..], sent);
    cluster.close().await;
}
