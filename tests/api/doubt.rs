//! A commit that nobody confirmed in time: it is told all the same once it has happened.

use crate::harness::{Database, Server, Store};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

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

/// On Postgres alone: the embedded database commits in the server itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_commit_is_told_although_other_chats_are_busy() {
    let server = Server::start(Store::Postgres).await;
    make_commits_linger(&server.database).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let (quiet, busy) = (
        client.new_chat("quiet").await,
        client.new_chat("busy").await,
    );
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
