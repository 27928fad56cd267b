//! The command line: help, version, checks and migrations.

use super::serve;
use std::{fs, process::Stdio};
use testkit::{Database, Process, Store, apply, both_stores, rstest};
use tokio::{io::AsyncWriteExt, process::Command};

#[apply(both_stores)]
async fn check_tells_what_it_finds_and_changes_nothing(store: Store) {
    let database = Database::new(store).await;
    let found = database.command(&["check"]).await;
    assert!(found.text().contains("tables: none yet"), "{found:?}");
    found.expect_success();
    assert!(!database.folder.path().join("messaging.db").exists());

    let server = serve(&database, &[]).await;
    let beside = database.command(&["check", "--host", "0.0.0.0"]).await;
    let text = beside.text();
    for words in [
        "settings: right",
        "0.0.0.0:8080",
        "required: callers must sign in",
        "up to date",
    ] {
        assert!(text.contains(words), "{words:?}: {text}");
    }
    assert_eq!(text.contains("a running server"), store == Store::Sqlite);
    beside.expect_success();
    server.client().new_user("carl").await;
}

#[apply(both_stores)]
async fn migrate_makes_the_tables_and_may_be_repeated(store: Store) {
    let database = Database::new(store).await;
    for _ in 0..2 {
        let done = database.command(&["migrate"]).await;
        assert!(done.text().contains("up to date"), "{done:?}");
        done.expect_success();
    }
    let found = database.command(&["check"]).await;
    assert!(found.text().contains("tables: up to date"), "{found:?}");
    let server = serve(&database, &[]).await;
    assert_eq!(server.client().list("/user").await.len(), 0);
}

#[apply(both_stores)]
async fn an_export_of_other_tables_is_refused(store: Store) {
    let database = Database::new(store).await;
    database.command(&["migrate"]).await.expect_success();
    let newest = "WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
    database
        .run(&format!(
            "UPDATE _sqlx_migrations SET version = 9999 {newest}"
        ))
        .await;
    let refused = database.command(&["export"]).await;
    refused.expect_failure(&["of a later version"]);
    let refused = database.command(&["check"]).await;
    refused.expect_failure(&["of a later version"]);
    database
        .run(&format!("DELETE FROM _sqlx_migrations {newest}"))
        .await;
    let refused = database.command(&["export"]).await;
    refused.expect_failure(&["earlier version", "messaging-api migrate"]);
    let found = database.command(&["check"]).await;
    assert!(found.text().contains("one step behind"), "{found:?}");
}

#[tokio::test]
async fn check_fails_where_something_is_wrong() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let check = async |url: &str, args: &[&str]| {
        let folder = tempfile::tempdir_in(&folder).expect("a temporary folder");
        let url = url.to_owned();
        let database = Database { url, folder };
        database.command(&[&["check"], args].concat()).await
    };
    let away = "postgres://somebody:hunter2@127.0.0.1:1/chats";
    let said = check(away, &[]).await;
    let said = said.expect_failure(&["cannot reach Postgres at 127.0.0.1:1/chats"]);
    assert!(!said.contains("hunter2"), "{said}");
    let sqlite = "sqlite://a.db";
    let linked = check(sqlite, &["--nats-url", "nats://127.0.0.1:1"]).await;
    linked.expect_failure(&["NATS_URL", "must share one Postgres"]);
    let short = check(sqlite, &["--metrics-token", "short"]).await;
    short.expect_failure(&["METRICS_TOKEN", "at least 16"]);
    let wrong = check("mysql://x", &[]).await;
    wrong.expect_failure(&["DATABASE_URL must be"]);
    let port = check(sqlite, &["--port", "x"]).await;
    assert_eq!(port.code, Some(2), "{port:?}");

    let path = folder.path().join("letter.txt");
    let letter = "Dear database, I am not one of yours. ".repeat(100);
    fs::write(&path, &letter).expect("a file");
    let letter = check(&format!("sqlite://{}", path.display()), &[]).await;
    letter.expect_failure(&["letter.txt"]);
}

#[tokio::test]
async fn a_server_is_started_with_and_without_its_name_and_flags_on_either_side() {
    for args in [
        &["--demo-data=false", "serve"][..],
        &["serve", "--demo-data=false"],
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let process = Process::start_with(folder.path(), &[], args).await;
        assert_eq!(process.client().list("/user").await.len(), 0, "{args:?}");
        process.stop().await;
    }
}

#[tokio::test]
async fn it_says_what_it_can_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = async |args: &[&str]| Process::output(folder.path(), args).await;
    let help = output(&["--help"]).await;
    let man = output(&["man"]).await;
    for command in [
        "serve",
        "migrate",
        "check",
        "export",
        "import",
        "create-user",
        "make-admin",
        "man",
    ] {
        assert!(
            help.contains(&format!("\n  {command} ")),
            "{command}: {help}"
        );
        let page = format!("messaging\\-api\\-{}(1)", command.replace('-', "\\-"));
        assert!(man.contains(&page), "{page}: {man}");
    }
    for page in [&help, &man] {
        assert!(page.contains("never loses, doubles or reorders"), "{page}");
    }
    assert!(man.contains(".TH messaging-api 1"), "{man}");
    assert!(output(&["man", "export"]).await.contains("[\\fIFILE\\fR]"));
    for (shell, mark) in [
        ("bash", "complete -F _messaging"),
        ("zsh", "#compdef messaging-api"),
        ("fish", "complete -c messaging-api"),
    ] {
        let script = output(&["completions", shell]).await;
        for word in [mark, "reset-password", "database-url"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[tokio::test]
async fn bash_takes_its_completions() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = Process::output(folder.path(), &["completions", "bash"]).await;
    let mut bash = Command::new("bash")
        .args(["--norc", "-eu"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash");
    let tail = "\nCOMP_WORDS=(messaging-api exp); COMP_CWORD=1\n\
                _messaging__api messaging-api exp messaging-api; echo \"${COMPREPLY[@]}\"\n";
    let mut stdin = bash.stdin.take().expect("its standard input");
    stdin.write_all(script.as_bytes()).await.expect("bash");
    stdin.write_all(tail.as_bytes()).await.expect("bash");
    drop(stdin);
    let output = bash.wait_with_output().await.expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "export");
}
