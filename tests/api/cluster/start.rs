//! The state of the link in a server's answers, and a start with a link.

use futures_util::StreamExt;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use testkit::{Cluster, until_link};
use testkit::{Database, Nats, Process, Server, Store, patiently, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_server_starts_without_nats_and_finds_it_later() {
    let mut nats = Nats::start().await;
    nats.kill().await;
    let flag = format!("--nats-url={}", nats.url());
    let server = Server::start_with(Store::Postgres, &[&flag]).await;
    let client = server.client();
    let ready = client.get("/health/ready").await.expect(200);
    assert_eq!(ready, json!({ "status": "ready", "link": "down" }));
    let (carl, chat) = (
        client.new_user("carl").await,
        client.new_chat("general").await,
    );
    assert_eq!(client.say(carl, chat, "alone").await["seq"], 1);
    nats.restart().await;
    until_link(&client, "up").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn two_databases_on_one_nats_do_not_hear_each_other() {
    let cluster = Cluster::open(2).await;
    let flag = format!("--nats-url={}", cluster.nats.url());
    let other = Server::start_with(Store::Postgres, &[&flag]).await;
    let client = other.client();
    until_link(&client, "up").await;
    // The same ids, in another database.
    let (carl, chat) = (
        client.new_user("carl").await,
        client.new_chat("general").await,
    );
    assert_eq!((carl, chat), (cluster.carl, cluster.chat));
    let mut stranger = other.socket().await;
    other.database.settle(chat, carl).await;
    stranger.enter(carl, chat).await;
    let mut sigmund = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard(0, &mut sigmund).await;
    let own = client.say(carl, chat, "our own").await;
    assert_eq!(stranger.next().await, told("send-message", &own));
    other.stop().await;
    cluster.close().await;
}

/// What the servers on a database call it on NATS, as one of them begins each of its subjects.
async fn called(nats: &Nats, database: Database) -> (String, Database) {
    let ear = async_nats::connect(nats.url()).await.expect("NATS");
    let mut heard = ear.subscribe("messaging.>").await.expect("a subscription");
    ear.flush().await.expect("a subscription that is known");
    let flag = format!("--nats-url={}", nats.url());
    let server = Server::start_on(database, &[&flag]).await;
    let message = patiently("a beat", heard.next()).await.expect("a message");
    let name = message
        .subject
        .split('.')
        .nth(1)
        .expect("a name")
        .to_owned();
    (name, server.stop().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_copy_in_the_place_of_a_database_is_another() {
    let nats = Nats::start().await;
    let (first, database) = called(&nats, Database::new(Store::Postgres).await).await;
    let (again, database) = called(&nats, database).await;
    assert_eq!(first, again);
    // As after a restored dump: the same name, the same tables, made at the same moment.
    let (base, name) = database.url.rsplit_once('/').expect("a name");
    let server = format!("{base}/postgres");
    let mut connection = PgConnection::connect(&server).await.expect("Postgres");
    for text in [
        format!("CREATE DATABASE copy_{name} TEMPLATE {name}"),
        format!("DROP DATABASE {name}"),
        format!("ALTER DATABASE copy_{name} RENAME TO {name}"),
    ] {
        let sql = sqlx::AssertSqlSafe(text.clone());
        sqlx::query(sql)
            .execute(&mut connection)
            .await
            .expect(&text);
    }
    let (copy, _) = called(&nats, database).await;
    assert_ne!(first, copy);
}

#[tokio::test]
async fn a_server_that_is_alone_says_so() {
    let server = Server::start(Store::Sqlite).await;
    let ready = server.client().get("/health/ready").await.expect(200);
    assert_eq!(ready, json!({ "status": "ready", "link": "none" }));
    server.stop().await;
}

#[tokio::test]
async fn sqlite_is_refused_with_a_link() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = [("NATS_URL", "nats://127.0.0.1:4222")];
    let (status, complaint) = Process::refused(folder.path(), &settings).await;
    assert!(!status.success());
    assert!(complaint.contains("must share one Postgres"), "{complaint}");
    assert!(!folder.path().join("data").exists(), "nothing is made");
}

#[tokio::test]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_wrong_url_is_refused_and_not_shown() {
    let database = testkit::Database::new(Store::Postgres).await;
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("PORT", "0"),
        ("NATS_URL", "nats://user:secret@host:port"),
    ];
    let (status, complaint) = Process::refused(database.folder.path(), &settings).await;
    assert!(!status.success());
    assert!(
        complaint.contains("NATS_URL must be nats://"),
        "{complaint}"
    );
    assert!(!complaint.contains("secret"), "{complaint}");
}
