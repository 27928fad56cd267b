//! SQLite on a disk that is full or fails: refusals end when the disk is healthy again.

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Client, Database, Disk, PASSWORD, Person, Process, Reply, field, history};

/// A server on an SQLite file, and the disk beneath it.
struct Setup {
    folder: TempDir,
    disk: Disk,
    process: Process,
}

impl Setup {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Disk::new(folder.path()).expect("the library of disk faults");
        let process = start(&folder, &disk).await;
        Self {
            folder,
            disk,
            process,
        }
    }

    /// The server's file, on a healthy disk.
    fn database(&self) -> Database {
        Database {
            url: format!("sqlite://{}/messaging.db", self.folder.path().display()),
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// Makes a request while the disk fails, which must be refused as unavailable, and makes it
    /// again on a healthy disk, where it must succeed; gives the two answers.
    async fn refused_once(&self, fault: &str, client: &Client, ask: &Ask) -> (Reply, Reply) {
        self.disk.set(fault).expect("faults");
        let refused = ask.send(client).await;
        self.disk.set("").expect("a healthy disk");
        let what = format!("{ask:?} with {fault}");
        let met = (refused.status, refused.body["code"].as_str());
        assert_eq!(met, (503, Some("unavailable")), "{what}: {refused:?}");
        let done = ask.send(client).await;
        assert_eq!(done.status / 100, 2, "{what}: {done:?}");
        (refused, done)
    }
}

async fn start(folder: &TempDir, disk: &Disk) -> Process {
    let url = format!("sqlite://{}/messaging.db", folder.path().display());
    let [library, rules] = disk.environment();
    let text = |path: &std::path::Path| path.to_str().expect("a path").to_owned();
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("AUTH", "required"),
        ("RATE_LIMIT", "off"),
        ("DEMO_DATA", "false"),
        (library.0, &text(library.1)),
        (rules.0, &text(rules.1)),
    ];
    Process::start(folder.path(), &settings).await
}

/// A request that writes.
#[derive(Debug)]
struct Ask {
    method: Method,
    path: String,
    body: Option<Value>,
}

impl Ask {
    fn new(method: Method, path: impl Into<String>, body: Option<Value>) -> Self {
        Self {
            method,
            path: path.into(),
            body,
        }
    }

    async fn send(&self, client: &Client) -> Reply {
        let mut request = client.request(self.method.clone(), &self.path);
        if let Some(body) = &self.body {
            request = request.json(body);
        }
        client.send(request).await
    }
}

/// Faults of the file in which commits are written first.
const FAULTS: [&str; 3] = [
    "EIO sync 0 * messaging.db-wal",
    "EIO write 0 * messaging.db-wal",
    "ENOSPC write 0 * messaging.db-wal",
];

/// Every request that writes, in an order in which each succeeds; the last two end what the others
/// need. `chat` has the message `message`, another's `unread`, and the member `other`.
fn writes(
    carl: &Person,
    other: &Person,
    session: i64,
    [chat, message, unread]: [i64; 3],
) -> Vec<Ask> {
    let (user, other) = (carl.id, other.id);
    let credentials = json!({ "username": carl.name, "password": PASSWORD });
    let signed_up = json!({ "username": format!("{} 2", carl.name), "password": PASSWORD });
    let ask = |method, path: String, body| Ask::new(method, path, Some(body));
    vec![
        ask(Method::POST, "/user".into(), signed_up),
        ask(Method::POST, "/login".into(), credentials),
        ask(Method::POST, "/chat".into(), json!({ "chatName": "other" })),
        ask(
            Method::PUT,
            format!("/chat/{chat}"),
            json!({ "chatName": "renamed" }),
        ),
        ask(
            Method::PUT,
            format!("/chat/{chat}/user/{other}"),
            json!({ "role": "participant" }),
        ),
        ask(
            Method::PUT,
            format!("/chat/{chat}/read"),
            json!({ "messageId": unread }),
        ),
        ask(
            Method::POST,
            format!("/chat/{chat}/message"),
            json!({ "content": "sent again" }),
        ),
        ask(
            Method::PUT,
            format!("/message/{message}"),
            json!({ "content": "edited" }),
        ),
        Ask::new(Method::DELETE, format!("/message/{message}"), None),
        Ask::new(Method::DELETE, format!("/chat/{chat}/user/{other}"), None),
        Ask::new(Method::DELETE, format!("/session/{session}"), None),
        Ask::new(Method::DELETE, "/session", None),
        ask(
            Method::PUT,
            format!("/user/{user}"),
            json!({ "username": format!("{} 3", carl.name) }),
        ),
        Ask::new(Method::DELETE, format!("/chat/{chat}"), None),
        Ask::new(Method::DELETE, format!("/user/{user}"), None),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_is_acknowledged_that_was_not_stored_and_each_works_afterwards() {
    let setup = Setup::start().await;
    let client = setup.process.client();
    let witness = Person::sign_up(&client, "witness").await;
    for (n, fault) in FAULTS.iter().enumerate() {
        let carl = Person::sign_up(&client, &format!("carl {n}")).await;
        let other = Person::sign_up(&client, &format!("other {n}")).await;
        let chat = carl.chat("general").await;
        let message = carl.say(chat, "first").await;
        carl.add(chat, &other, "admin").await;
        let unread = other.say(chat, "from another").await;
        let again = carl.again().await;
        let sessions = again.client.get("/session").await.expect(200);
        let session = sessions[0]["sessionId"].as_i64().expect("an id");
        let before = count_of_users(&witness.client).await;
        for ask in writes(&carl, &other, session, [chat, message, unread]) {
            setup.refused_once(fault, &again.client, &ask).await;
        }
        // One signed up and one deleted themselves, each once.
        assert_eq!(count_of_users(&witness.client).await, before);
    }
    let stored = count_of_users(&witness.client).await;
    let (status, _) = setup.process.stop().await;
    assert!(status.success(), "{status}");
    let process = start(&setup.folder, &setup.disk).await;
    let witness = process.client().with_token(&witness.token);
    assert_eq!(count_of_users(&witness).await, stored);
}

async fn count_of_users(someone: &Client) -> usize {
    let users = someone.get("/user?limit=1000").await.expect(200);
    users.as_array().expect("a list").len()
}

/// A commit that the disk did not confirm may be found by the next start: its client hears that the
/// outcome is not known, and not that nothing was stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_the_disk_did_not_confirm_is_in_doubt() {
    let setup = Setup::start().await;
    let client = setup.process.client();
    let carl = Person::sign_up(&client, "carl").await;
    let chat = carl.chat("general").await;
    let asks = [
        Ask::new(
            Method::POST,
            "/user",
            Some(json!({ "username": "sigmund", "password": PASSWORD })),
        ),
        Ask::new(
            Method::POST,
            format!("/chat/{chat}/message"),
            Some(json!({ "content": "once", "clientMessageId": "once" })),
        ),
        Ask::new(Method::DELETE, format!("/chat/{chat}"), None),
    ];
    for ask in &asks {
        let (refused, _) = setup.refused_once(FAULTS[0], &carl.client, ask).await;
        let said = refused.body["error"].as_str().expect("a sentence");
        assert!(
            said.contains("does not know if this was stored"),
            "{ask:?}: {said}"
        );
    }
}

/// A part of the deletion is stored, the commit of the next one fails: the client hears that the outcome is
/// not known, and asks again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_in_doubt_after_a_stored_part_is_completed_by_asking_again() {
    /// What one transaction of the deletion takes.
    const PART: i64 = 1000;
    let setup = Setup::start().await;
    let client = setup.process.client();
    let (carl, witness) = (
        Person::sign_up(&client, "carl").await,
        Person::sign_up(&client, "witness").await,
    );
    let chat = carl.chat("general").await;
    carl.add(chat, &witness, "participant").await;
    let database = setup.database();
    database.fill(chat, carl.id, PART * 5 / 2, "filler").await;
    let path = format!("/user/{}", carl.id);
    let ask = Ask::new(Method::DELETE, path.clone(), None);

    // The first commit succeeds, the second does not.
    setup
        .disk
        .set("EIO sync 1 * messaging.db-wal")
        .expect("faults");
    let refused = ask.send(&carl.client).await;
    let refused = refused.expect_error(503, "unavailable");
    let said = refused["error"].as_str().expect("a sentence");
    assert!(said.contains("does not know if this was stored"), "{said}");
    let tombstones = "SELECT count(*) FROM message WHERE deleted_at IS NOT NULL";
    assert_eq!(database.number(tombstones.to_owned()).await, PART);
    witness.client.get(&path).await.expect(200);

    setup.disk.set("").expect("a healthy disk");
    ask.send(&carl.client).await.expect(204);
    witness
        .client
        .get(&path)
        .await
        .expect_error(404, "user_not_found");
    let messages = history(&witness.client, chat).await;
    let seqs = field(&messages, "seq");
    // The first number belongs to the membership of the witness.
    let numbers: Vec<i64> = (PART * 5 / 2 + 2..=PART * 5 + 1).collect();
    assert_eq!(seqs, numbers, "each message became a tombstone once");
}

/// A statement in the middle of a transaction that cannot read makes SQLite roll back by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_ended_by_itself_takes_no_other_with_it() {
    /// More reads than the transaction of a send makes.
    const READS: usize = 24;
    let setup = Setup::start().await;
    let carl = Person::sign_up(&setup.process.client(), "carl").await;
    let chat = carl.chat("general").await;
    let path = format!("/chat/{chat}/message");
    let mut refusals = 0;
    for reads in 0..READS {
        // The connection is opened again, with nothing in its cache.
        setup.disk.set(FAULTS[0]).expect("faults");
        let body = json!({ "content": "not confirmed" });
        let reply = carl.client.post(&path, body.clone()).await;
        reply.expect_error(503, "unavailable");
        let fault = format!("EIO read {reads} * /messaging.db");
        setup.disk.set(&fault).expect("faults");
        match carl.client.post(&path, body.clone()).await {
            reply if reply.status == 201 => {}
            reply => {
                reply.expect_error(503, "unavailable");
                refusals += 1;
            }
        }
        setup.disk.set("").expect("a healthy disk");
        carl.say(chat, "stored").await;
    }
    assert!(refusals > 4, "{refusals} reads failed");
}
