//! Rate limits of sockets that join and leave repeatedly, and of frames other than messages.

use serde_json::{Value, json};
use std::time::Instant;
use testkit::{Room, Socket, Store, apply, both_stores, patiently, rstest};

const FAST: [&str; 3] = [
    "--rate-limit=on",
    "--frames-per-second=1000",
    "--messages-per-second=1000",
];

/// Returns how many `join` and how many `leave` frames of the user there are.
fn passages(frames: &[Value], user: i64) -> (usize, usize) {
    let count = |kind: &str| {
        let of_kind = frames.iter().filter(|frame| frame["type"] == kind);
        of_kind.filter(|frame| frame["customerId"] == user).count()
    };
    (count("join"), count("leave"))
}

#[apply(both_stores)]
async fn who_comes_and_goes_again_and_again_is_told_of_seldom(store: Store) {
    const TIMES: usize = 40;
    let room = Room::open_with(store, &FAST).await;
    let mut watcher = room.enter(room.sigmund).await;
    let mut restless = room.server.socket().await;
    restless.enter(room.carl, room.chat).await;
    let begin = Instant::now();
    for _ in 0..TIMES {
        restless.ask("leave-chat", json!(room.chat)).await;
        restless.enter(room.carl, room.chat).await;
    }
    let seconds = begin.elapsed().as_secs() as usize;
    restless.say(room.chat, "Still here.").await;
    let mut frames = watcher.frames_before("Still here.").await;
    let (came, went) = passages(&frames, room.carl);
    assert!(went <= 5 + seconds + 1, "{went} in {seconds} s");
    assert!(went < TIMES || seconds > 30, "{went}");
    assert!(came == went + 1 || came == went, "{came} and {went}");
    // The rate limit dropped notices, but the list of online users is right.
    let mut newcomer = room.server.socket().await;
    let online = newcomer.enter(room.sigmund, room.chat).await["online"].clone();
    let names = online.as_array().expect("a list").iter();
    assert_eq!(
        names.filter(|who| who["customerId"] == room.carl).count(),
        1
    );
    restless.ask("leave-chat", json!(room.chat)).await;
    let left = |frame: &Value| frame["type"] == "leave" && frame["customerId"] == room.carl;
    frames.extend(watcher.frames_until(left).await);
    let (came, went) = passages(&frames, room.carl);
    assert_eq!(came, went);
    // The hub drops the chat after its last subscription.
    drop((watcher, newcomer, restless));
    let gone = async {
        while room.server.hub_stats().chats > 0 {
            tokio::task::yield_now().await;
        }
    };
    patiently("the chat to be left", gone).await;
    room.close().await;
}

/// Sends a frame repeatedly until it is refused as too fast. Returns how many were accepted, and the refusal.
async fn until_too_fast(socket: &mut Socket, frame: &Value) -> (usize, Value) {
    for sent in 0..1000 {
        let mut frame = frame.clone();
        frame["id"] = json!(sent);
        socket.send(frame).await;
        let mut frames = socket.frames_until(|answer| answer["id"] == sent).await;
        let answer = frames.pop().expect("an answer");
        if answer["content"]["code"] == "rate_limited" {
            return (sent, answer["content"].clone());
        }
    }
    panic!("a thousand of {frame}");
}

fn tells_when(refusal: &Value) {
    let wait = refusal["retryAfterMs"].as_u64();
    assert!(
        wait.is_some_and(|wait| (1..=1000).contains(&wait)),
        "{refusal}"
    );
}

const SLOW: [&str; 4] = [
    "--rate-limit=on",
    "--messages-per-second=1",
    "--burst-seconds=20",
    "--frames-per-second=1000",
];

#[apply(both_stores)]
async fn connecting_is_paced_like_messages(store: Store) {
    let room = Room::open_with(store, &SLOW).await;
    let mut socket = room.enter(room.carl).await;
    let content = json!({ "chatId": room.chat });
    let connect = json!({ "type": "connect-chat", "content": content });
    let begin = Instant::now();
    let (done, refusal) = until_too_fast(&mut socket, &connect).await;
    assert!(done <= 20 + begin.elapsed().as_secs() as usize, "{done}");
    tells_when(&refusal);
    // The limit holds on a new socket too. Messages and other users have limits of their own.
    let mut other = room.server.socket().await;
    let connect = json!({ "type": "connect-chat",
        "content": { "chatId": room.chat, "customerId": room.carl } });
    let (done, refusal) = until_too_fast(&mut other, &connect).await;
    assert!(done < 10, "{done}");
    tells_when(&refusal);
    socket.say(room.chat, "I stay.").await;
    room.enter(room.sigmund).await;
    room.close().await;
}

#[apply(both_stores)]
async fn frames_that_are_no_messages_are_paced_over_all_sockets(store: Store) {
    let room = Room::open_with(store, &SLOW).await;
    let (mut one, mut other) = (room.enter(room.carl).await, room.enter(room.carl).await);
    let mut calm = room.enter(room.sigmund).await;
    let said = one.say(room.chat, "Read this.").await;
    let begin = Instant::now();
    let (done, refusal) = until_too_fast(&mut one, &json!({ "type": "dance" })).await;
    assert!(done <= 20 + begin.elapsed().as_secs() as usize, "{done}");
    tells_when(&refusal);
    let content = json!({ "chatId": room.chat, "messageId": said["messageId"] });
    let kinds = [
        json!({ "type": "mark-read", "content": content }),
        json!({ "type": "start-typing", "content": { "chatId": room.chat } }),
        json!({ "type": "leave-chat", "content": room.chat + 1 }),
        json!({ "type": "send-message", "content": 7 }),
    ];
    for frame in kinds {
        let (done, refusal) = until_too_fast(&mut other, &frame).await;
        assert!(done < 10, "{done} of {frame}");
        tells_when(&refusal);
    }
    // Messages and other users have limits of their own. Leaving is always allowed.
    other.say(room.chat, "I can write.").await;
    calm.ask("mark-read", content).await;
    other.ask("leave-chat", json!(room.chat)).await;
    room.close().await;
}

#[apply(both_stores)]
async fn frames_before_connecting_are_requests_of_their_address(store: Store) {
    let flags = [
        "--rate-limit=on",
        "--requests-per-second=1",
        "--burst-seconds=20",
        "--frames-per-second=1000",
    ];
    let room = Room::open_with(store, &flags).await;
    let mut socket = room.server.socket().await;
    let begin = Instant::now();
    let (done, refusal) = until_too_fast(&mut socket, &json!({ "type": "dance" })).await;
    assert!(done <= 20 + begin.elapsed().as_secs() as usize, "{done}");
    tells_when(&refusal);
    let refused = async {
        loop {
            let reply = room.client.get("/chat").await;
            if reply.status == 429 {
                return;
            }
        }
    };
    patiently("a request too many", refused).await;
    room.close().await;
}
