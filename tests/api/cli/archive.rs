//! Archives: from either store to the other and back, byte for byte.

use super::{
    other,
    sample_data::{KEY, SampleData, send},
    serve,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testkit::{Database, Socket, Store, apply, both_stores, history, number, patiently, rstest};
use tokio::io::AsyncWriteExt;

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_on_the_other_store_and_back_byte_for_byte(#[case] store: Store) {
    let first = Database::new(store).await;
    let server = serve(&first, &[]).await;
    let sample = SampleData::create(&server).await;
    let seen = sample.seen(&server.client()).await;
    server.stop().await;
    let archive = first.export().await;
    assert_eq!(
        first.export().await,
        archive,
        "the same data, the same bytes"
    );
    let lines = String::from_utf8(archive.clone()).expect("UTF-8");
    for kind in [
        "user",
        "chat",
        "member",
        "memberChange",
        "message",
        "session",
    ] {
        let begin = format!("{{\"kind\":\"{kind}\",");
        let found = lines.lines().any(|line| line.starts_with(&begin));
        assert!(found, "no {kind} in {lines}");
    }

    let second = Database::new(other(store)).await;
    second.import(&archive).await.expect_success();
    assert_eq!(second.export().await, archive);
    let third = Database::new(store).await;
    third.import(&second.export().await).await.expect_success();
    assert_eq!(third.export().await, archive);

    for copy in [second, third] {
        let server = serve(&copy, &[]).await;
        assert_eq!(sample.seen(&server.client()).await, seen);
    }
}

#[apply(both_stores)]
async fn a_copy_has_the_same_log_and_takes_up_clients_where_they_were(store: Store) {
    let first = Database::new(store).await;
    let server = serve(&first, &[]).await;
    let sample = SampleData::create(&server).await;
    let seen = sample.seen(&server.client()).await;
    let path = format!("/chat/{}/change?limit=1000", sample.chat);
    let log = server.client().list(&path).await;
    server.stop().await;
    for kind in ["update-member", "update-chat", "delete-message"] {
        assert!(log.iter().any(|change| change["type"] == kind), "{kind}");
    }
    let copy = Database::new(store).await;
    copy.import(&first.export().await).await.expect_success();
    let server = serve(&copy, &[]).await;
    assert_eq!(sample.seen(&server.client()).await, seen);
    let mut last = 0;
    for change in log {
        let socket = &mut server.socket().await;
        let replayed = resumed(socket, sample.carl, sample.chat, last).await;
        let path = format!("/chat/{}/change?since={last}", sample.chat);
        assert_eq!(replayed, server.client().list(&path).await);
        assert_eq!(replayed[0]["seq"], change["seq"]);
        last = number(&change, "seq");
    }
    let said = server.client().say(sample.carl, sample.chat, "next").await;
    assert_eq!(said["seq"], last + 1);
}

/// The changes that a socket is sent when it resumes after a number, without the mark of a replay.
async fn resumed(socket: &mut Socket, user: i64, chat: i64, since: i64) -> Vec<Value> {
    let content = json!({ "customerId": user, "chatId": chat, "since": since });
    socket
        .send(json!({ "type": "connect-chat", "id": "resume", "content": content }))
        .await;
    let mut frames = socket.frames_until(|frame| frame["id"] == "resume").await;
    let ack = frames.pop().expect("an ack");
    assert_eq!(ack["type"], "ack", "{ack}");
    for frame in &mut frames {
        let fields = frame.as_object_mut().expect("an object");
        assert_eq!(fields.remove("replay"), Some(json!(true)), "{frame}");
    }
    frames
}

/// An archive of the first version of the format: users, chats, members and messages alone.
fn of_the_first_version() -> Vec<u8> {
    let user = |id: i64, name: &str| {
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA";
        format!(r#"{{"kind":"user","customerId":{id},"username":"{name}","password":"{hash}","#)
            + r#""createdAt":"2025-01-02T03:04:05.000006Z"}"#
    };
    let lines = [
        r#"{"kind":"archive","version":1}"#,
        &user(1, "carl"),
        &user(3, "sigmund"),
        r#"{"kind":"chat","chatId":1,"chatName":"general","createdAt":"2025-01-02T03:04:06Z","seq":3}"#,
        concat!(
            r#"{"kind":"member","customerId":1,"chatId":1,"role":"admin","#,
            r#""joinedAt":"2025-01-02T03:04:07Z","lastReadMessageId":1}"#
        ),
        concat!(
            r#"{"kind":"member","customerId":3,"chatId":1,"role":"participant","#,
            r#""joinedAt":"2025-01-02T03:04:08Z","lastReadMessageId":null,"joinedMessageId":1}"#
        ),
        concat!(
            r#"{"kind":"message","messageId":1,"chatId":1,"customerId":1,"content":"one","#,
            r#""sentAt":"2025-01-02T03:04:09.000001Z","seq":1,"sentSeq":1,"editedAt":null,"#,
            r#""deletedAt":null,"deletedBy":null,"replyTo":null,"clientMessageId":null}"#
        ),
        concat!(
            r#"{"kind":"message","messageId":2,"chatId":1,"customerId":3,"content":null,"#,
            r#""sentAt":"2025-01-02T03:04:10Z","seq":3,"sentSeq":2,"editedAt":null,"#,
            r#""deletedAt":"2025-01-02T03:04:11Z","deletedBy":3,"replyTo":1,"clientMessageId":"a"}"#
        ),
    ];
    let lines = lines.join("\n") + "\n";
    let counts = r#"{"users":2,"chats":1,"members":2,"messages":2,"sessions":0}"#;
    let last = r#"{"user":4,"chat":1,"message":2,"session":0}"#;
    let sum = hex::encode(Sha256::digest(&lines));
    let end = format!(r#"{{"kind":"end","counts":{counts},"lastIds":{last},"sha256":"{sum}"}}"#);
    format!("{lines}{end}\n").into_bytes()
}

#[apply(both_stores)]
async fn an_archive_of_the_first_version_is_imported(store: Store) {
    let archive = of_the_first_version();
    let database = Database::new(store).await;
    database.import(&archive).await.expect_success();
    database.command(&["check"]).await.expect_success();
    let server = serve(&database, &[("AUTH", "open")]).await;
    let client = server.client();
    let chat = client.get("/chat/1").await.expect(200);
    let expected = json!({
        "chatId": 1, "chatName": "general", "createdAt": "2025-01-02T03:04:06.000Z"
    });
    assert_eq!(chat, expected);
    assert_eq!(client.list("/user/chat/1").await.len(), 2);
    let changes = client.list("/chat/1/change").await;
    let kinds: Vec<&Value> = changes.iter().map(|change| &change["type"]).collect();
    assert_eq!(kinds, ["send-message", "delete-message"]);
    // The members of that time have no number. The next change of one takes the next.
    let mut socket = server.socket().await;
    assert_eq!(resumed(&mut socket, 3, 1, 1).await.len(), 1);
    let admin = client.put("/chat/1/user/3", json!({ "role": "admin" }));
    admin.await.expect(200);
    assert_eq!(socket.until("update-member").await["seq"], 4);
    assert_eq!(client.new_user("new").await, 5);
    server.stop().await;
    // Written again, it is one of the present version, with the same lines where nothing has changed.
    let again = String::from_utf8(database.export().await).expect("UTF-8");
    assert!(again.starts_with("{\"kind\":\"archive\",\"version\":2}\n"));
    let archive = String::from_utf8(archive).expect("UTF-8");
    for line in archive.lines().filter(|l| l.contains("\"message\",")) {
        assert!(again.contains(line), "{line}: {again}");
    }
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_copy_everything_goes_on(#[case] store: Store) {
    let first = Database::new(store).await;
    let server = serve(&first, &[]).await;
    let sample = SampleData::create(&server).await;
    let SampleData { carl, chat, .. } = sample;
    // The rows with the last ids are deleted. An import must not assign these ids a second time.
    let client = server.client();
    let last_user = client.new_user("last").await;
    let last_chat = client.new_chat("last").await;
    let last_message = number(&client.say(last_user, last_chat, "last").await, "messageId");
    client
        .delete(&format!("/chat/{last_chat}"))
        .await
        .expect(204);
    client
        .delete(&format!("/user/{last_user}"))
        .await
        .expect(204);
    let missed = client.list(&format!("/chat/{chat}/change?since=1")).await;
    let head = number(missed.last().expect("a change"), "seq");
    server.stop().await;
    let copy = Database::new(other(store)).await;
    copy.import(&first.export().await).await.expect_success();

    let server = serve(&copy, &[]).await;
    let client = server.client();
    let again = json!({ "customerId": carl, "clientMessageId": KEY, "content": "again" });
    assert_eq!(
        send(&client, chat, again).await,
        sample.named,
        "still the same message"
    );
    let me = client
        .with_token(&sample.token)
        .get("/me")
        .await
        .expect(200);
    assert_eq!(me["customerId"], carl, "still signed in");
    client.login("carl", testkit::PASSWORD).await;

    let mut socket = server.socket().await;
    assert_eq!(resumed(&mut socket, carl, chat, 1).await, missed);

    let said = socket.say(chat, "and on it goes").await;
    assert_eq!(number(&said, "seq"), head + 1);
    assert!(number(&said, "messageId") > last_message, "{said}");
    assert!(client.new_user("new").await > last_user);
    assert!(client.new_chat("new").await > last_chat);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_made_beside_a_running_server_and_of_one_moment(#[case] store: Store) {
    let database = Database::new(store).await;
    let server = serve(&database, &[]).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    let sending = client.say_many(carl, chat, 400);
    let copying = async {
        let mut copies = Vec::new();
        for _ in 0..4 {
            copies.push(database.export().await);
        }
        copies
    };
    let ((), copies) = tokio::join!(sending, copying);
    for archive in copies {
        let copy = Database::new(other(store)).await;
        copy.import(&archive).await.expect_success();
        let server = serve(&copy, &[]).await;
        let log = history(&server.client(), chat).await;
        let seqs: Vec<i64> = log.iter().map(|message| number(message, "seq")).collect();
        let whole: Vec<i64> = (1..).take(seqs.len()).collect();
        assert_eq!(seqs, whole, "a log without a hole");
        let next = server.client().say(carl, chat, "next").await;
        let head = i64::try_from(seqs.len()).expect("a number");
        assert_eq!(
            number(&next, "seq"),
            head + 1,
            "the head of the same moment"
        );
    }
    assert_eq!(history(&client, chat).await.len(), 400);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_is_killed_can_be_run_again(#[case] store: Store) {
    let first = Database::new(other(store)).await;
    let server = serve(&first, &[]).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    let mut socket = server.socket().await;
    socket.enter(carl, chat).await;
    // Enough rows for several statements, and far more than the pipe to the import holds.
    let texts: Vec<String> = (0..1500)
        .map(|n| format!("{n} {}", "x".repeat(3000)))
        .collect();
    socket.say_all(chat, &texts).await;
    server.stop().await;
    let archive = first.export().await;

    let copy = Database::new(store).await;
    let (mut importing, mut stdin) = copy.begin_command(&["import"]);
    let part = &archive[..archive.len() / 4 * 3];
    patiently("the import to take its part", stdin.write_all(part))
        .await
        .expect("an import that reads");
    importing.kill().await.expect("a killed import");
    copy.import(&archive).await.expect_success();
    assert_eq!(copy.export().await, archive);
}

#[apply(both_stores)]
async fn a_file_gets_its_name_when_it_is_whole_and_is_its_owners_alone(store: Store) {
    use std::os::unix::fs::PermissionsExt;
    let database = Database::new(store).await;
    let path = database.folder.path().join("copy.jsonl");
    std::fs::write(&path, "an older copy").expect("a file");
    let failed = database.command(&["export", "copy.jsonl"]).await;
    failed.expect_failure(&["holds no data"]);
    assert_eq!(std::fs::read(&path).expect("a file"), b"an older copy");

    let server = serve(&database, &[]).await;
    SampleData::create(&server).await;
    let done = database.command(&["export", "copy.jsonl"]).await;
    assert!(done.errors.contains("2 users, 2 chats"), "{done:?}");
    assert_eq!(done.expect_success(), b"");
    let archive = std::fs::read(&path).expect("a file");
    assert_eq!(archive, database.export().await);
    let mode = std::fs::metadata(&path)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let copy = Database::new(store).await;
    let path = path.to_str().expect("UTF-8");
    copy.command(&["import", path]).await.expect_success();
    assert_eq!(copy.export().await, archive);
}
