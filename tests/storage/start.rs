//! A database that a server cannot work with is refused, and left as it was.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Output, Stdio},
};
use testkit::{Database, Disk, Process, Server, Store, apply, both_stores, patiently, rstest};
use tokio::process::Command;

/// Runs the binary to its end.
async fn run(folder: &Path, settings: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = Command::new(testkit::server_binary());
    command
        .args(args)
        .env_clear()
        .envs(settings.iter().copied());
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    patiently("the binary to end", command.output())
        .await
        .expect("the binary")
}

/// Checks that both a start and a check fail, and say so in these words.
async fn refused(folder: &Path, settings: &[(&str, &str)], words: &[&str]) {
    for args in [&[][..], &["check"]] {
        let output = run(folder, settings, args).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {errors}");
        for word in words {
            assert!(errors.contains(word), "{args:?}: {word:?} in {errors}");
        }
    }
}

/// The files of a folder with their bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).expect("the folder");
    let files = files.map(|file| file.expect("a file"));
    files
        .filter(|file| file.path().is_file())
        .map(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            (name, fs::read(file.path()).expect("its bytes"))
        })
        .collect()
}

#[apply(both_stores)]
async fn tables_of_another_program_are_left_alone(store: Store) {
    let database = Database::new(store).await;
    let (foreign, count) = match store {
        // SQLite makes the file where it is asked to.
        Store::Sqlite => {
            let url = format!("{}?mode=rwc", database.url);
            let made = Database {
                url,
                folder: tempfile::tempdir().expect("a temporary folder"),
            };
            made.execute("CREATE TABLE customer (name TEXT)".to_owned())
                .await;
            ("customer", "SELECT count(*) FROM sqlite_master")
        }
        Store::Postgres => {
            let table = "CREATE TABLE session (name text)".to_owned();
            database.execute(table).await;
            (
                "session",
                "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace",
            )
        }
    };
    let before = (
        contents(database.folder.path()),
        database.number(count.to_owned()).await,
    );
    let settings = [("DATABASE_URL", database.url.as_str()), ("PORT", "0")];
    refused(database.folder.path(), &settings, &[foreign]).await;
    let after = (
        contents(database.folder.path()),
        database.number(count.to_owned()).await,
    );
    assert!(before == after, "{:?}, {}", after.0.keys(), after.1);
}

#[apply(both_stores)]
async fn a_check_of_an_empty_database_leaves_it_empty(store: Store) {
    let database = Database::new(store).await;
    let found = database.command(&["check"]).await;
    let said = String::from_utf8(found.expect_success()).expect("text");
    assert!(said.contains("the test write was rolled back"), "{said}");
    assert!(contents(database.folder.path()).is_empty());
    // The first start finds nothing in its way.
    let server = Server::start_on(database, &[]).await;
    server.client().new_user("carl").await;
    server.stop().await;
}

/// SQLite opens a file that it may not write for reading alone, and says nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_written_is_refused() {
    let database = Database::new(Store::Sqlite).await;
    let folder = database.folder.path();
    let server = Server::start_on(
        Database {
            url: database.url.clone(),
            folder: tempfile::tempdir().expect("a temporary folder"),
        },
        &[],
    );
    server.await.stop().await;
    let disk = Disk::new(folder).expect("the library of disk faults");
    let [library, rules] = disk.environment();
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("PORT", "0"),
        (library.0, library.1.to_str().expect("a path")),
        (rules.0, rules.1.to_str().expect("a path")),
    ];
    // As the file of another user answers.
    let denied = "EACCES open-write 0 * /messaging.db$";
    disk.set(denied).expect("faults");
    for args in [&[][..], &["check"]] {
        let output = run(folder, &settings, args).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {errors}");
        assert!(errors.contains("must belong to the user"), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_fails_removes_what_it_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let faults = tempfile::tempdir().expect("a temporary folder");
    let disk = Disk::new(faults.path()).expect("the library of disk faults");
    disk.set("ENOSPC write 3 * messaging.db").expect("faults");
    let [library, rules] = disk.environment();
    let url = format!("sqlite://{}/a/b/messaging.db", folder.path().display());
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("PORT", "0"),
        (library.0, library.1.to_str().expect("a path")),
        (rules.0, rules.1.to_str().expect("a path")),
    ];
    let output = run(folder.path(), &settings, &[]).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let left = fs::read_dir(folder.path()).expect("the folder").count();
    assert_eq!(left, 0, "{errors}");
    disk.set("").expect("a healthy disk");
    let process = Process::start(folder.path(), &settings).await;
    process.client().get("/health/ready").await.expect(200);
}

/// In a namespace of its own, so that the small disk goes with the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_that_the_disk_is_full() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = format!(
        "mount -t tmpfs -o size=1m tmpfs {} && exec {} check",
        folder.path().display(),
        testkit::server_binary().display()
    );
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
    let url = format!("sqlite://{}/messaging.db", folder.path().display());
    let output = command.env("DATABASE_URL", url).output();
    let output = patiently("the check", output).await.expect("unshare");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("KiB of free space"), "{errors}");
}

/// A user of Postgres that may read the tables and not write them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_postgres_user_without_rights_is_refused() {
    let server = Server::start(Store::Postgres).await;
    let database = server.stop().await;
    let role = format!("reader_{}", uuid::Uuid::new_v4().simple());
    let grant =
        format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}");
    database.execute(grant).await;
    let (start, end) = database.url.split_once("//").expect("a URL");
    let (_, host) = end.split_once('@').expect("a URL with a user");
    let url = format!("{start}//{role}@{host}");
    let settings = [("DATABASE_URL", url.as_str()), ("PORT", "0")];
    let words = ["no right to", &role];
    refused(database.folder.path(), &settings, &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_cannot_be_a_database_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    symlink("missing/messaging.db", at("link")).expect("a link");
    fs::create_dir(at("folder")).expect("a folder");
    let fifo = Command::new("mkfifo").arg(at("fifo")).status().await;
    assert!(fifo.expect("mkfifo").success());
    let long = "x".repeat(300);
    let longer_with_suffix = "x".repeat(250);
    for (name, words) in [
        ("link", "a link to a file that does not exist"),
        ("folder", "not a regular file"),
        ("fifo", "not a regular file"),
        (&long, "too long"),
        (&longer_with_suffix, "too long"),
    ] {
        let url = format!("sqlite://{}", at(name).display());
        let settings = [("DATABASE_URL", url.as_str()), ("PORT", "0")];
        refused(folder.path(), &settings, &[words]).await;
    }
}
