//! A server with a wrong clock.

use std::path::PathBuf;
use testkit::{Process, Server, Store, patiently};

/// The library that gives a process another clock.
fn faketime() -> String {
    let folders = std::fs::read_dir("/usr/lib").expect("/usr/lib");
    let mut paths = folders
        .flatten()
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found: Option<PathBuf> = paths.find(|path| path.exists());
    let missing = "libfaketime is missing: install it (on Debian the package libfaketime); \
                   scripts/test does";
    found.expect(missing).display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and libfaketime: scripts/with-postgres cargo test"]
async fn a_wrong_clock_signs_nobody_out() {
    let server = Server::start_required(Store::Postgres).await;
    let (carl, sigmund) = (server.person("carl").await, server.person("sigmund").await);
    let library = faketime();
    let settings = [
        ("DATABASE_URL", server.database.url.as_str()),
        ("AUTH", "required"),
        ("SESSION_SWEEP_SECONDS", "1"),
        ("LD_PRELOAD", &library),
        ("FAKETIME", "+400d"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let wrong = Process::start(server.database.folder.path(), &settings).await;
    // By its own clock every session has expired; by the database's this one.
    let expire = "UPDATE session SET expires_at = now() - interval '1 second' WHERE customer_id = ";
    server.database.run(&format!("{expire}{}", carl.id)).await;
    patiently("a sweep", async {
        while server.database.stored_token_hashes().await.len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let me = sigmund.client.get("/me").await.expect(200);
    assert_eq!(me["customerId"], sigmund.id);
    carl.client
        .get("/me")
        .await
        .expect_error(401, "unauthorized");
    wrong.kill().await;
    server.stop().await;
}
