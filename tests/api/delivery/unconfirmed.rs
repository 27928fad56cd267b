//! Commits that are confirmed late. Each is broadcast once it has happened, and no later write is lost
//! with an abandoned transaction.

use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use testkit::{Database, Process, Proxy, Server, Store, Way, number, patiently};

/// Makes the commit of a message with this text take longer than the server waits.
const LINGER: &str = "
    CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_sleep(3); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER lingers AFTER INSERT ON message DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.content = 'slow') EXECUTE FUNCTION linger()";

async fn make_commits_linger(database: &Database) {
    let mut connection = PgConnection::connect(&database.url)
        .await
        .expect("the test's database");
    connection.execute(LINGER).await.expect("a trigger");
    connection.close().await.expect("a closed connection");
}

/// Returns an empty database, a proxy in front of its Postgres, and the database URL through the proxy.
async fn proxied() -> (Database, Proxy, String) {
    let database = Database::new(Store::Postgres).await;
    let mut url = url::Url::parse(&database.url).expect("a URL");
    let port = url.port().expect("a port");
    let proxy = Proxy::to(port).await.expect("a proxy");
    url.set_port(Some(proxy.address.port())).expect("a port");
    (database, proxy, url.into())
}

/// Runs on Postgres only: the embedded database commits in the server itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_late_commit_is_told_although_other_chats_are_busy() {
    let server = Server::start(Store::Postgres).await;
    make_commits_linger(&server.database).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let (quiet, busy) = (
        client.new_chat("quiet").await,
        client.new_chat("busy").await,
    );
    server.database.settle(quiet, carl).await;
    let mut listener = server.socket().await;
    listener.connect(carl, quiet).await;

    let body = json!({ "customerId": carl, "content": "slow", "clientMessageId": "1" });
    let path = format!("/chat/{quiet}/message");
    let refused = client.post(&path, body.clone()).await;
    refused.expect_error(503, "unavailable");

    let chatter = async {
        loop {
            let body = json!({ "customerId": carl, "content": "busy" });
            client.post(&format!("/chat/{busy}/message"), body).await;
        }
    };
    let told = tokio::select! {
        told = listener.until("send-message") => told,
        () = chatter => unreachable!("it does not end"),
    };
    assert_eq!(told["content"]["content"], "slow", "{told}");
    assert_eq!(told["content"]["seq"], 1, "{told}");
    let again = client.post(&path, body).await.expect(200);
    assert_eq!(again["messageId"], told["content"]["messageId"]);
}

/// An edit begins a transaction. BEGIN reaches Postgres, its answer is lost, and the server abandons the
/// transaction. No later write may go into it, because its rollback would undo that write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn what_is_acknowledged_after_a_transaction_was_given_up_is_stored() {
    let (database, proxy, url) = proxied().await;
    // The writer has one of the two connections, so the next send would use the abandoned one.
    let settings = [("DATABASE_URL", url.as_str()), ("DB_CONNECTIONS", "2")];
    let process = Process::start(database.folder.path(), &settings).await;
    let client = process.client();
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    let mut socket = process.socket().await;
    socket.connect(carl, chat).await;
    let message = client.say(carl, chat, "first").await;

    proxy.stall(Way::Back);
    let edit = json!({ "chatId": chat, "messageId": message["messageId"], "content": "second" });
    socket.refused("update-message", edit, "unavailable").await;
    proxy.mend();

    let path = format!("/chat/{chat}/message");
    let body = json!({ "customerId": carl, "content": "third", "clientMessageId": "1" });
    let sent = async {
        loop {
            let reply = client.post(&path, body.clone()).await;
            if reply.status != 503 {
                return reply.expect(201);
            }
        }
    };
    let sent = patiently("a send", sent).await;
    let id = number(&sent, "messageId");
    let found = format!("SELECT count(*) FROM message WHERE message_id = {id}");
    assert_eq!(database.number(found).await, 1);
    process.kill().await;
}

/// One part of a user's deletion is stored, and the commit of another part is not confirmed. A second
/// request completes the deletion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_deletion_in_doubt_after_a_stored_part_is_completed_by_asking_again() {
    const MESSAGES: i64 = 50_000;
    let (database, proxy, url) = proxied().await;
    let settings = [("DATABASE_URL", url.as_str())];
    let process = Process::start(database.folder.path(), &settings).await;
    let client = process.client();
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    database.settle(chat, carl).await;
    database.fill(chat, carl, MESSAGES, "filler").await;
    let mut listener = process.socket().await;
    listener.connect(carl, chat).await;

    let path = format!("/user/{carl}");
    let told = async {
        listener.until("delete-message").await;
        proxy.stall(Way::Back);
    };
    let (refused, ()) = tokio::join!(client.delete(&path), told);
    let refused = refused.expect_error(503, "unavailable");
    let said = refused["error"].as_str().expect("a sentence");
    assert!(said.contains("does not know if this was stored"), "{said}");
    proxy.mend();

    // A busy machine leaves a later part in doubt too.
    let deleted = async { while client.delete(&path).await.status == 503 {} };
    patiently("the deletion", deleted).await;
    client.get(&path).await.expect_error(404, "user_not_found");
    let tombstones = format!(
        "SELECT count(DISTINCT seq) FROM message \
         WHERE chat_id = {chat} AND deleted_at IS NOT NULL AND seq > {MESSAGES}"
    );
    assert_eq!(database.number(tombstones).await, MESSAGES);
    process.kill().await;
}
