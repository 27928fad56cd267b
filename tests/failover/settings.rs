//! Default settings of a database that the server overrides, or with which it cannot work.

use crate::load::Load;
use serde_json::json;
use testkit::{Client, Database, Process, Server, Store, patiently};

/// A new database with these words after its name, and this setting as a default of its sessions.
async fn database_with(options: &str, default: Option<&str>) -> Database {
    let database = Database::new(Store::Postgres).await;
    let (base, name) = database.url.rsplit_once('/').expect("a database");
    let made = format!("{name}_made");
    database
        .execute(format!("CREATE DATABASE {made} {options}"))
        .await;
    if let Some(default) = default {
        database
            .execute(format!("ALTER DATABASE {made} SET {default}"))
            .await;
    }
    Database {
        url: format!("{base}/{made}"),
        folder: tempfile::tempdir().expect("a temporary folder"),
    }
}

/// Two servers write to one chat. Every send is stored at the first try, with each isolation level as
/// the default of the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn no_send_is_refused_for_the_isolation_of_the_database() {
    for level in ["repeatable read", "serializable"] {
        let default = format!("default_transaction_isolation = '{level}'");
        let database = database_with("", Some(&default)).await;
        let one = Server::start_on(database, &[]).await;
        let two = one.beside(&[]).await;
        let (first, second) = (one.client(), two.client());
        let carl = first.new_user("carl").await;
        let chat = first.new_chat("general").await;
        let said = |client: Client, who: &'static str| async move {
            for n in 0..60 {
                // Only a message that is stored is a 201.
                client.say(carl, chat, &format!("{who} {n}")).await;
            }
        };
        tokio::join!(
            said(first.clone(), "one"),
            said(first.clone(), "two"),
            said(second.clone(), "three"),
            said(second.clone(), "four"),
        );
        two.stop().await;
        one.stop().await;
    }
}

/// Every statement works, on its own and in a transaction, with unusual defaults of the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn durability_and_isolation_are_asked_for() {
    const TRIGGER: &str = "CREATE FUNCTION settings_hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        IF current_setting('transaction_isolation') <> 'read committed' \
            OR current_setting('synchronous_commit') <> 'on' \
        THEN RAISE EXCEPTION 'wrong settings'; END IF; RETURN NEW; END $$; \
        CREATE TRIGGER settings_hold BEFORE INSERT ON message FOR EACH ROW \
        EXECUTE FUNCTION settings_hold()";
    let database = database_with("", Some("synchronous_commit = off")).await;
    let (_, name) = database.url.rsplit_once('/').expect("a database");
    let level = format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'");
    database.execute(level).await;
    let server = Server::start_on(database, &[]).await;
    let client = server.client();
    server.database.execute(TRIGGER.to_owned()).await;
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    client.say(carl, chat, "alone").await;
    client.say_many(carl, chat, 40).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let options =
            format!("ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
        let database = database_with(&options, None).await;
        let settings = [("DATABASE_URL", database.url.as_str()), ("PORT", "0")];
        let (status, complaint) = Process::refused(database.folder.path(), &settings).await;
        assert_eq!(status.code(), Some(1), "{complaint}");
        let said = format!("has the encoding {encoding}");
        let remedy = "ENCODING 'UTF8'";
        assert!(
            complaint.contains(&said) && complaint.contains(remedy),
            "{complaint}"
        );
        let checked = database.command(&["check"]).await;
        checked.expect_failure(&[said.as_str(), remedy]);
    }
}

/// An operator makes the database read-only and ends the sessions, as if the address of the primary led
/// to a standby for a while. Sessions opened in that time stay read-only afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_database_that_is_read_only_for_a_while_needs_no_restart() {
    let database = Database::new(Store::Postgres).await;
    let (_, name) = database.url.rsplit_once('/').expect("a database");
    let (on, off) = (read_only(name, "on"), read_only(name, "off"));
    let server = Server::start_on(database, &[]).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    client.say(carl, chat, "before").await;
    server.database.execute(on).await;

    let path = format!("/chat/{chat}/message");
    let body = json!({ "customerId": carl, "content": "lost" });
    let user = json!({ "username": "sigmund", "password": "correct horse" });
    for _ in 0..8 {
        client
            .post(&path, body.clone())
            .await
            .expect_error(503, "unavailable");
        client
            .post("/user", user.clone())
            .await
            .expect_error(503, "unavailable");
        client
            .get("/health/ready")
            .await
            .expect_error(503, "unavailable");
        assert_eq!(
            client.list(&path).await.len(),
            1,
            "what is stored can be read"
        );
    }

    server.database.execute(off).await;
    let recovering = async {
        while client
            .try_post(&path, &body)
            .await
            .is_none_or(|(s, _)| s != 201)
        {}
    };
    patiently("the server to write again", recovering).await;
    let ready = async { while client.get("/health/ready").await.status != 200 {} };
    patiently("the server to be ready", ready).await;
    let clients = [client.clone(), client.clone(), client.clone()];
    let load_chat = client.new_chat("load").await;
    let mut load = Load::start(&clients, carl, load_chat);
    load.goes_on(10).await;
    load.stop(&client, load_chat).await;
    client.post("/user", user).await.expect(201);
    server.stop().await;
}

fn read_only(name: &str, value: &str) -> String {
    let cut = match value {
        "on" => format!(
            "; SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        ),
        _ => String::new(),
    };
    format!(
        "BEGIN READ WRITE; \
         ALTER DATABASE {name} SET default_transaction_read_only = {value}; COMMIT{cut}"
    )
}
