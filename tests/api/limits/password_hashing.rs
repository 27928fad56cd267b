//! Many passwords to hash at once. Each hash occupies a core for a while.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use testkit::{PASSWORD, Process, Reply, Server, Store, apply, both_stores, patiently, rstest};
use tokio::sync::Notify;

use testkit::RawHttp;

#[apply(both_stores)]
async fn new_and_tried_passwords_are_counted_together_by_address(store: Store) {
    let flags = [
        "--auth=required",
        "--rate-limit=on",
        "--passwords-per-second=1",
        "--burst-seconds=3",
    ];
    let server = Server::start_with(store, &flags).await;
    // A sign-up and a login.
    let carl = server.person("carl").await;
    let client = server.client();
    let own = format!("/user/{}", carl.id);
    let change = json!({ "password": "battery staple" });
    let login = json!({ "username": "carl", "password": "not at all" });
    let new = |n: usize| json!({ "username": format!("newcomer {n}"), "password": PASSWORD });
    // The bucket refills by one a second, so one of many requests in a row is refused, for each kind.
    for kind in ["sign-up", "login", "change"] {
        let refused = async {
            for n in 0.. {
                let reply = match kind {
                    "sign-up" => client.post("/user", new(n)).await,
                    "login" => client.post("/login", login.clone()).await,
                    _ => carl.client.put(&own, change.clone()).await,
                };
                let ours = reply.body["error"].to_string().contains("passwords");
                if reply.status == 429 && ours {
                    return reply;
                }
            }
            unreachable!("it goes on for ever")
        };
        let reply = patiently(kind, refused).await;
        assert!(!reply.header("retry-after").is_empty());
        reply.expect_error(429, "rate_limited");
    }
    // All kinds share one bucket: if it is empty for one kind, it is empty for another.
    let all = join(
        client.post("/user", new(1_000_000)),
        carl.client.put(&own, change),
    );
    let (one, two) = all.await;
    assert!([one.status, two.status].contains(&429), "{one:?} {two:?}");
    // Requests without a hash are not limited, and another address has a bucket of its own.
    carl.client.get("/me").await.expect(200);
    let body = new(2_000_000).to_string();
    let mut other = RawHttp::open_from(Ipv4Addr::new(127, 0, 0, 2), server.address).await;
    let headers = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let request = format!("POST /user HTTP/1.1\r\nHost: localhost\r\n{headers}");
    other.write(request.as_bytes()).await;
    assert_eq!(other.answer().await.expect("an answer").status, 201);
}

#[tokio::test]
async fn where_everyone_signs_in_passwords_are_held_to_a_pace_by_default() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let process = Process::start(folder.path(), &[("AUTH", "required")]).await;
    let client = process.client();
    // More than the bucket holds and regains in this time. The names are invalid, so that most requests
    // hash nothing.
    let tries = (0..400).map(|_| client.post("/user", json!({ "username": "", "password": "" })));
    let replies = join_all(tries).await;
    let held = |reply: &Reply| {
        reply.status == 429 && reply.body["error"].to_string().contains("passwords")
    };
    assert!(replies.iter().any(held));
}

/// Signs users up until it is dropped. Notifies `full` if a sign-up is refused with 503 because the queue
/// of hashes is full.
async fn sign_up(server: &Server, worker: usize, full: &Notify, made: &AtomicUsize) {
    let client = server.client();
    for n in 0.. {
        let body = json!({ "username": format!("{worker} {n}"), "password": PASSWORD });
        match client.post("/user", body).await.status {
            201 => drop(made.fetch_add(1, Ordering::Relaxed)),
            503 => full.notify_one(),
            other => panic!("a sign-up was answered {other}"),
        }
    }
}

#[apply(both_stores)]
async fn however_many_sign_up_one_can_sign_in(store: Store) {
    /// More sign-ups than may wait in the queue.
    const WORKERS: usize = 100;
    let flags = ["--auth=required", "--rate-limit=off", "--hashes-at-once=1"];
    let server = Server::start_with(store, &flags).await;
    let client = server.client();
    client.new_user("carl").await;
    let (full, made) = (Notify::new(), AtomicUsize::new(0));
    let crowd = join_all((0..WORKERS).map(|n| sign_up(&server, n, &full, &made)));
    let logins = async {
        patiently("the crowd to fill the line", full.notified()).await;
        for _ in 0..10 {
            client.login("carl", PASSWORD).await;
        }
    };
    tokio::select! {
        () = logins => {}
        _ = crowd => unreachable!("it goes on for ever"),
    }
    assert!(made.load(Ordering::Relaxed) > 0, "sign-ups go on too");
}

#[apply(both_stores)]
async fn two_hundred_logins_at_once_keep_no_list_waiting(store: Store) {
    let flags = ["--auth=required", "--rate-limit=off"];
    let server = Server::start_with(store, &flags).await;
    let carl = server.person("carl").await;
    let chat = carl.chat("general").await;
    let client = server.client();
    let crowd = (0..200).map(|_| client.post("/login", carl_again()));
    let mut times = Vec::new();
    let asking = async {
        for _ in 0..21 {
            let begin = Instant::now();
            let chats = carl.client.list("/chat").await;
            times.push(begin.elapsed());
            assert_eq!(chats[0]["chatId"], chat);
        }
    };
    // Some of these logins may be refused. Requests of signed-in users must stay fast.
    let (replies, ()) = join(join_all(crowd), asking).await;
    assert!(replies.iter().any(|reply| reply.status == 200));
    times.sort_unstable();
    assert!(times[10] < Duration::from_secs(1), "{times:?}");
}

fn carl_again() -> Value {
    json!({ "username": "carl", "password": PASSWORD })
}

/// The number of comparisons before the test fails: other tests share the processor.
const COMPARISONS: usize = 3;

#[apply(both_stores)]
async fn a_wrong_name_takes_as_long_as_a_wrong_password(store: Store) {
    let mut seen = Vec::new();
    for _ in 0..COMPARISONS {
        let (name, password) = wrong_logins(store).await;
        if name < 2 * password && password < 2 * name {
            return;
        }
        seen.push((name, password));
    }
    panic!("a wrong name and a wrong password took {seen:?}");
}

/// Returns the median time of a login with a wrong name and with a wrong password, measured in turns.
async fn wrong_logins(store: Store) -> (Duration, Duration) {
    const TRIES: usize = 25;
    let flags = [
        "--auth=required",
        "--rate-limit=off",
        "--trusted-proxies=127.0.0.1",
    ];
    let server = Server::start_with(store, &flags).await;
    let client = server.client();
    let mut times = [Vec::new(), Vec::new()];
    for n in 0..TRIES {
        client.new_user(&format!("carl {n}")).await;
    }
    for n in 0..TRIES {
        // Each login has another address and another account, because failed logins are rate limited.
        for (kind, name) in [format!("nobody {n}"), format!("carl {n}")]
            .iter()
            .enumerate()
        {
            let body = json!({ "username": name, "password": "not at all" });
            let request = client
                .request(reqwest::Method::POST, "/login")
                .header("x-forwarded-for", format!("198.51.{kind}.{n}"))
                .json(&body);
            let begin = Instant::now();
            let reply = client.send(request).await;
            times[kind].push(begin.elapsed());
            reply.expect_error(401, "unauthorized");
        }
    }
    let [name, password] = times.map(|mut times| {
        times.sort_unstable();
        times[TRIES / 2]
    });
    (name, password)
}
