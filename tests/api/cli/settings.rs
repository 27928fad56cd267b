//! Settings: flags, variables, `.env`, and the errors for wrong ones.

use std::fs;
use tempfile::TempDir;
use testkit::Process;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[tokio::test]
async fn a_wrong_setting_stops_the_start_and_is_told_what_would_be_right() {
    let folder = folder();
    for (name, value, words) in [
        ("PORT", "abc", ["--port", "abc"]),
        ("PORT", "65536", ["--port", "0..=65535"]),
        ("HOST", "x", ["--host", "must be an IP address"]),
        ("AUTH", "maybe", ["--auth", "open, required"]),
        ("DEMO_DATA", "perhaps", ["--demo-data", "true, false"]),
        ("RATE_LIMIT", "slow", ["--rate-limit", "on, off"]),
        (
            "CORS_ALLOWED_ORIGINS",
            "*",
            ["--cors-allowed-origins", "https://chat.example.com"],
        ),
        (
            "CORS_ALLOWED_ORIGINS",
            "https://a.example/x",
            ["--cors-allowed-origins", "path"],
        ),
        (
            "CORS_ALLOWED_ORIGINS",
            "https://A.example",
            ["--cors-allowed-origins", "https://a.example"],
        ),
        (
            "PING_SECONDS",
            "0",
            ["--ping-seconds", "a number of seconds"],
        ),
        (
            "PING_SECONDS",
            "soon",
            ["--ping-seconds", "a number of seconds"],
        ),
        ("LOG", "loud=very=much", ["--log", "error, warn, info"]),
        (
            "PING_SECONDS",
            "61",
            ["the value of PING_SECONDS", "from 0.01 to 45"],
        ),
        ("LOG", "verbose", ["the value of LOG", "target=level"]),
        (
            "LOG",
            "messaging-api=debug",
            ["the value of LOG", "messaging_api=debug"],
        ),
        (
            "DATABASE_URL",
            "sqlite://~/x.db",
            ["DATABASE_URL", "the whole path"],
        ),
        ("LOG_FORMAT", "xml", ["--log-format", "text, json"]),
        ("MAX_CONNECTIONS", "0", ["--max-connections", "0"]),
        ("DB_CONNECTIONS", "1", ["--db-connections", "2..=1000"]),
        (
            "DATABASE_URL",
            "mysql://me:hunter2@x/y",
            ["DATABASE_URL", "postgres://USER"],
        ),
        (
            "DATABASE_URL",
            "postgres://me:hunter2@h:port/y",
            ["DATABASE_URL", "the port must be"],
        ),
        ("DB_HOST", "localhost", ["DB_USER", "missing"]),
        ("DB_PASS", "hunter2", ["DB_HOST", "missing"]),
    ] {
        Process::assert_refused(folder.path(), &[(name, value)], &words).await;
    }
    assert!(
        !folder.path().join("data").exists(),
        "nothing is made before all is right"
    );
}

#[tokio::test]
async fn a_wrong_tls_mode_stops_the_start_and_is_told_what_would_be_right() {
    let folder = folder();
    let settings = [
        ("DB_HOST", "127.0.0.1"),
        ("DB_USER", "me"),
        ("DB_PASS", "hunter2"),
        ("DB_NAME", "chats"),
        ("DB_SSLMODE", "x"),
    ];
    Process::assert_refused(
        folder.path(),
        &settings,
        &["DB_SSLMODE", "disable, allow, prefer, require"],
    )
    .await;
}

#[tokio::test]
async fn a_broken_line_in_env_stops_the_start_and_is_not_shown() {
    let folder = folder();
    for (lines, place) in [
        ("LOG=info\nDB_PASS=\"hunter2\n", "the line after LOG"),
        ("LOG=info\nPORT=0\nhunter2\n", "the line after PORT"),
        (
            "LOG=info\nDB_PASS=hunter2=secret hunter2\n",
            "the line after LOG",
        ),
        ("DB_PASS=hunter2 hunter2\n", "its first line"),
    ] {
        fs::write(folder.path().join(".env"), lines).expect("a file");
        Process::assert_refused(
            folder.path(),
            &[],
            &[".env", place, "NAME=value", "single quotes"],
        )
        .await;
    }
}

#[tokio::test]
async fn a_value_in_single_quotes_is_taken_as_it_is() {
    let folder = folder();
    let line = "DATABASE_URL='sqlite://a $HOME #1.db'\n";
    fs::write(folder.path().join(".env"), line).expect("a file");
    let process = Process::start(folder.path(), &[]).await;
    assert!(folder.path().join("a $HOME #1.db").is_file());
    process.stop().await;
}

#[tokio::test]
async fn a_dollar_that_names_no_variable_is_refused() {
    let folder = folder();
    let env = folder.path().join(".env");
    for value in [
        "pa$hunter2",
        "\"pa$hunter2\"",
        "pa${hunter2}",
        "pa$$",
        "pa$",
    ] {
        fs::write(&env, format!("LOG=info\nDB_PASS={value}\n")).expect("a file");
        Process::assert_refused(folder.path(), &[], &[".env", "DB_PASS", "single quotes"]).await;
    }
    let lines = "FILE=a\nOTHER=b\\$c\nDATABASE_URL=sqlite://$FILE.db\n";
    fs::write(&env, lines).expect("a file");
    let process = Process::start(folder.path(), &[]).await;
    assert!(folder.path().join("a.db").is_file());
    process.stop().await;
}

#[tokio::test]
async fn env_is_read_of_its_own_folder_only() {
    let outer = folder();
    fs::write(
        outer.path().join(".env"),
        "DATABASE_URL=mysql://elsewhere\n",
    )
    .expect("a file");
    let inner = outer.path().join("inner");
    fs::create_dir(&inner).expect("a folder");
    let process = Process::start(&inner, &[]).await;
    assert!(inner.join("data/messaging.db").is_file());
    process.stop().await;
}

#[tokio::test]
async fn on_an_address_for_everyone_everyone_signs_in_unless_said_otherwise() {
    const WARNING: &str = "this server trusts every caller without a login";
    for (settings, open) in [
        (&[][..], true),
        (&[("AUTH", "required")], false),
        (&[("HOST", "0.0.0.0")], false),
        (&[("HOST", "::")], false),
        (&[("HOST", "0.0.0.0"), ("AUTH", "open")], true),
    ] {
        let folder = folder();
        let all = [settings, &[("LOG_FORMAT", "text"), ("DEMO_DATA", "false")]].concat();
        let process = Process::start(folder.path(), &all).await;
        let port = process.address.port();
        let client = process.client_at(([127, 0, 0, 1], port).into());
        let status = client.get("/chat").await.status;
        assert_eq!(status, if open { 200 } else { 401 }, "{settings:?}");
        client.get("/health/ready").await.expect(200);
        let warned = process.said.matches(WARNING).count();
        assert_eq!(warned, usize::from(open), "{settings:?}: {}", process.said);
    }
}

#[tokio::test]
async fn env_counts_the_environment_counts_more_and_a_flag_most() {
    let folder = folder();
    let made = |name: &str| folder.path().join(name).exists();
    fs::write(
        folder.path().join(".env"),
        "DATABASE_URL=sqlite://by_line.db\n",
    )
    .expect("a file");
    Process::start(folder.path(), &[]).await.stop().await;
    assert!(made("by_line.db") && !made("data"));

    let variable = [("DATABASE_URL", "sqlite://by_variable.db")];
    fs::remove_file(folder.path().join("by_line.db")).expect("the file");
    Process::start(folder.path(), &variable).await.stop().await;
    assert!(made("by_variable.db") && !made("by_line.db"));

    fs::remove_file(folder.path().join("by_variable.db")).expect("the file");
    let flag = ["--database-url=sqlite://by_flag.db"];
    Process::start_with(folder.path(), &variable, &flag)
        .await
        .stop()
        .await;
    assert!(made("by_flag.db") && !made("by_variable.db") && !made("by_line.db"));
}

#[tokio::test]
async fn the_example_of_all_settings_is_itself_a_right_env() {
    let folder = folder();
    let example = include_str!("../../../.env.example");
    fs::write(folder.path().join(".env"), example).expect("a file");
    // Process asks for a free port, which counts more than the one in the file.
    let process = Process::start(folder.path(), &[]).await;
    process.client().get("/health/ready").await.expect(200);
}

#[tokio::test]
async fn help_names_every_variable_of_the_example() {
    let folder = folder();
    let help = Process::output(folder.path(), &["--help"]).await;
    let mut names = 0;
    for line in include_str!("../../../.env.example").lines() {
        let line = line.trim_start_matches(['#', ' ']);
        let Some((name, _)) = line.split_once('=') else {
            continue;
        };
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        if is_name {
            names += 1;
            assert!(
                help.contains(&format!("[env: {name}")),
                "{name} is not in the help"
            );
        }
    }
    assert!(names > 20, "only {names} variables in the example");
}

#[tokio::test]
async fn help_shows_no_password_of_the_environment() {
    let folder = folder();
    let settings = [
        ("DATABASE_URL", "postgres://me:hunter2@h/n"),
        ("DB_PASS", "hunter2"),
    ];
    let help = Process::output_with(folder.path(), &settings, &["--help"]).await;
    assert!(help.contains("DATABASE_URL") && help.contains("DB_PASS"));
    assert!(!help.contains("hunter2"), "{help}");
}
