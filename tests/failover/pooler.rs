//! A PgBouncer between the server and Postgres.

use crate::{pgbouncer::PgBouncer, start::refused_at_once};
use testkit::{Database, Process, Store};

/// What the refusal and the warning tell an operator to do.
const REMEDY: &str = "set DATABASE_URL to the address of Postgres itself";

async fn start(database: &Database, url: &str) -> Process {
    Process::start(database.folder.path(), &[("DATABASE_URL", url)]).await
}

/// The server works: it stores a message and is ready.
async fn works(process: Process) {
    let client = process.client();
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    client.say(carl, chat, "through").await;
    client.get("/health/ready").await.expect(200);
    let (status, log) = process.stop().await;
    assert!(status.success(), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and PgBouncer: scripts/with-postgres cargo test"]
async fn a_pooler_that_refuses_the_settings_ends_the_start_and_postgres_itself_works() {
    let database = Database::new(Store::Postgres).await;
    for mode in ["pool_mode = transaction", "pool_mode = session"] {
        // PgBouncer refuses the first parameter that it does not know, then the settings themselves.
        for ignored in ["", "ignore_startup_parameters = extra_float_digits"] {
            let pooler = PgBouncer::before(&database.url, &[mode, ignored]).await;
            let said = ["unsupported startup parameter", "PgBouncer", REMEDY];
            refused_at_once(&pooler.url, &said).await;
        }
    }
    let process = start(&database, &database.url).await;
    assert!(!process.said.contains(REMEDY), "{}", process.said);
    works(process).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and PgBouncer: scripts/with-postgres cargo test"]
async fn a_pooler_that_leaves_the_settings_out_is_warned_of() {
    let database = Database::new(Store::Postgres).await;
    let settings = [
        "pool_mode = session",
        "default_pool_size = 50",
        "ignore_startup_parameters = extra_float_digits, options",
    ];
    let pooler = PgBouncer::before(&database.url, &settings).await;
    let process = start(&database, &pooler.url).await;
    let warning = "drops the statement timeout and READ COMMITTED";
    assert!(
        process.said.contains(warning) && process.said.contains(REMEDY),
        "{}",
        process.said
    );
    works(process).await;
}
