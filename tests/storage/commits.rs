//! A change is acknowledged once its commit is known to have succeeded.

use serde_json::json;
use testkit::{PASSWORD, Server, Store, apply, both_stores, rstest};

/// Lets every commit of a new user fail, after the statement has succeeded.
const POSTGRES: &str = "CREATE FUNCTION choke() RETURNS trigger LANGUAGE plpgsql \
        AS $$ BEGIN RAISE EXCEPTION 'no commit'; END $$; \
    CREATE CONSTRAINT TRIGGER chokes AFTER INSERT ON customer DEFERRABLE INITIALLY DEFERRED \
        FOR EACH ROW EXECUTE FUNCTION choke()";
const SQLITE: &str = "CREATE TABLE choke \
        (id INTEGER REFERENCES chat (chat_id) DEFERRABLE INITIALLY DEFERRED); \
    CREATE TRIGGER chokes AFTER INSERT ON customer BEGIN INSERT INTO choke VALUES (-1); END";

#[apply(both_stores)]
async fn a_sign_up_whose_commit_fails_is_not_acknowledged(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let (choke, free) = match store {
        Store::Postgres => (POSTGRES, "DROP TRIGGER chokes ON customer"),
        Store::Sqlite => (SQLITE, "DROP TRIGGER chokes"),
    };
    server.database.execute(choke.to_owned()).await;
    let body = json!({ "username": "carl", "password": PASSWORD });
    let refused = client.post("/user", body.clone()).await;
    refused.expect_error(500, "internal");
    server.database.execute(free.to_owned()).await;
    client.post("/user", body).await.expect(201);
    server.stop().await;
}
