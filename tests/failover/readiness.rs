//! Readiness is what writes say.

use futures_util::future::join_all;
use std::time::Instant;
use testkit::{Client, Server, Store, apply, both_stores, patiently, rstest};

async fn until(client: &Client, status: u16) {
    let asking = async {
        loop {
            let reply = client.get("/health/ready").await;
            if reply.status == status {
                return reply;
            }
        }
    };
    let reply = patiently("a change of readiness", asking).await;
    if status == 503 {
        reply.expect_error(503, "unavailable");
    }
}

/// Reads go on all the while: it is not enough that the database answers.
#[apply(both_stores)]
async fn readiness_is_whether_the_store_takes_writes(store: Store) {
    const POSTGRES: &str = "CREATE FUNCTION choke() RETURNS trigger LANGUAGE plpgsql \
            AS $$ BEGIN RAISE EXCEPTION 'no'; END $$; \
        CREATE TRIGGER chokes BEFORE INSERT ON write_probe FOR EACH ROW EXECUTE FUNCTION choke()";
    const SQLITE: &str = "CREATE TRIGGER chokes BEFORE INSERT ON write_probe \
        BEGIN SELECT RAISE(ABORT, 'no'); END";
    let server = Server::start(store).await;
    let client = server.client();
    client.get("/health/ready").await.expect(200);
    let (breaks, mends) = match store {
        Store::Postgres => (POSTGRES, "DROP TRIGGER chokes ON write_probe"),
        Store::Sqlite => (SQLITE, "DROP TRIGGER chokes"),
    };
    server.database.execute(breaks.to_owned()).await;
    until(&client, 503).await;
    client.get("/chat").await.expect(200);
    server.database.execute(mends.to_owned()).await;
    until(&client, 200).await;
    server.stop().await;
}

#[apply(both_stores)]
async fn the_store_is_written_to_once_a_second_however_often_readiness_is_asked(store: Store) {
    const WRITES: &str = "SELECT writes FROM write_probe";
    let server = Server::start(store).await;
    let client = server.client();
    let begun = Instant::now();
    // Until the second write, all that can be asked.
    let asking = async {
        loop {
            let asked = (0..20).map(|_| client.get("/health/ready"));
            for reply in join_all(asked).await {
                reply.expect(200);
            }
            if server.database.number(WRITES.to_owned()).await >= 3 {
                return;
            }
        }
    };
    patiently("the third write", asking).await;
    let most = begun.elapsed().as_secs() + 1;
    let writes = server.database.number(WRITES.to_owned()).await;
    assert!(
        writes.unsigned_abs() <= most,
        "{writes} writes in {:?}",
        begun.elapsed()
    );
    // A message says as much as a write of its own.
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    client.say(carl, chat, "Hi.").await;
    let before = server.database.number(WRITES.to_owned()).await;
    let said = Instant::now();
    client.say(carl, chat, "Hi.").await;
    client.get("/health/ready").await.expect(200);
    if said.elapsed().as_millis() < 900 {
        assert_eq!(server.database.number(WRITES.to_owned()).await, before);
    }
    server.stop().await;
}

#[apply(both_stores)]
async fn a_server_without_a_free_place_tells_of_its_health(store: Store) {
    let server = Server::start_with(store, &["--max-connections=2"]).await;
    let _one = server.socket().await;
    let _two = server.socket().await;
    // A client each: the connection of a request that is turned away is closed.
    server
        .client()
        .get("/chat")
        .await
        .expect_error(503, "unavailable");
    server.client().get("/health/live").await.expect(200);
    let ready = server.client().get("/health/ready").await;
    assert_eq!(ready.header("connection"), "close");
    ready.expect(200);
    server.stop().await;
}
