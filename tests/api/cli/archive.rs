//! Archives: from either store to the other and back, byte for byte.

use super::{
    other,
    sample_data::{KEY, SampleData, send},
    serve,
};
use serde_json::json;
use testkit::{Database, Store, apply, both_stores, history, number, patiently, rstest};
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
    for kind in ["user", "chat", "member", "message", "session"] {
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
    let log = history(&client, chat).await;
    let head = number(log.last().expect("a message"), "seq");
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
    let since = json!({ "customerId": carl, "chatId": chat, "since": 1 });
    socket
        .send(json!({ "type": "connect-chat", "id": "resume", "content": since }))
        .await;
    let frames = socket.frames_until(|frame| frame["id"] == "resume").await;
    let replayed = frames.iter().filter(|frame| frame["replay"] == true);
    let expected = log.iter().filter(|message| number(message, "seq") > 1);
    assert_eq!(replayed.count(), expected.count(), "{frames:?}");

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
