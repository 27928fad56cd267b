//! The environment as conda, Kubernetes, Docker and slips of the pen leave it.

use std::{fs, path::Path};
use tempfile::TempDir;
use testkit::Process;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// What `check` says on standard output.
async fn check(folder: &Path, settings: &[(&str, &str)], args: &[&str]) -> String {
    Process::output_with(folder, settings, &[&["check"], args].concat()).await
}

/// The variables of all settings, from the list that holds each.
fn variables() -> Vec<String> {
    let example = include_str!("../../.env.example");
    let name = |line: &str| {
        let (name, _) = line.trim_start_matches(['#', ' ']).split_once('=')?;
        let is_name = name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        is_name.then(|| name.to_owned())
    };
    example.lines().filter_map(name).collect()
}

#[tokio::test]
async fn every_empty_variable_is_an_unset_one() {
    let names = variables();
    assert!(names.len() > 40, "{names:?}");
    let empty: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let folder = folder();
    // The port of `Process` comes first, so its own is not among the empty ones.
    let but_port: Vec<_> = empty
        .iter()
        .filter(|(name, _)| *name != "PORT")
        .copied()
        .collect();
    let process = Process::start(folder.path(), &but_port).await;
    assert!(process.address.ip().is_loopback());
    assert!(folder.path().join("data/messaging.db").is_file());
    assert_eq!(process.client().list("/user").await.len(), 3);
    process.stop().await;
    let checked = check(folder.path(), &empty, &[]).await;
    assert!(
        checked.contains("127.0.0.1:8080") && checked.contains("open"),
        "{checked}"
    );
}

#[tokio::test]
async fn an_empty_variable_leaves_the_line_in_env_alone() {
    let folder = folder();
    fs::write(
        folder.path().join(".env"),
        "PORT=4711\nHOST=\nAUTH=required\n",
    )
    .expect("a file");
    let settings = [("PORT", ""), ("HOST", ""), ("AUTH", "open")];
    let checked = check(folder.path(), &settings, &[]).await;
    assert!(checked.contains("127.0.0.1:4711"), "{checked}");
    assert!(checked.contains("open: callers"), "{checked}");
}

#[tokio::test]
async fn a_value_of_another_program_is_told_for_what_it_is() {
    let folder = folder();
    for (name, value, words) in [
        ("HOST", "x86_64-conda-linux-gnu", "conda"),
        ("HOST", "x86_64-apple-darwin13.4.0", "conda"),
        ("HOST", "carls-laptop", "tcsh"),
        ("PORT", "tcp://10.96.0.7:8080", "Kubernetes"),
        ("DB_PORT", "tcp://10.96.0.7:5432", "Kubernetes"),
        ("MAX_CONNECTIONS", "100\r", "carriage return"),
        ("PING_SECONDS", "\"30\"", "quotes"),
        ("AUTH", "yes", "the value of AUTH"),
    ] {
        let flag = format!("--{}", name.to_ascii_lowercase().replace('_', "-"));
        let words = [name, words, "in the environment", &flag];
        Process::assert_refused(folder.path(), &[(name, value)], &words).await;
    }
    fs::write(folder.path().join(".env"), "DB_PORT=tcp://10.96.0.7:5432\n").expect("a file");
    let words = ["DB_PORT in ./.env", "Kubernetes"];
    Process::assert_refused(folder.path(), &[], &words).await;
    // What a flag says instead is not looked at.
    let settings = [("HOST", "x86_64-conda-linux-gnu"), ("DB_PORT", "")];
    let flags = [
        "--host=127.0.0.1",
        "--db-port=1",
        "--database-url=sqlite://a.db",
    ];
    let checked = check(folder.path(), &settings, &flags).await;
    assert!(checked.contains("settings: right"), "{checked}");
}

#[tokio::test]
async fn a_flag_stands_for_a_whole_list_and_variables_go_together() {
    let folder = folder();
    let settings = [
        (
            "CORS_ALLOWED_ORIGINS",
            "https://a.example,https://b.example",
        ),
        ("NATS_CREDENTIALS", "nats.creds"),
    ];
    Process::assert_refused(folder.path(), &settings, &["NATS_CREDENTIALS", "NATS_URL"]).await;
    let flags = ["--cors-allowed-origins=https://c.example"];
    let process = Process::start_with(folder.path(), &settings[..1], &flags).await;
    for (page, allowed) in [("https://c.example", true), ("https://a.example", false)] {
        let client = process.client();
        let request = client
            .request(reqwest::Method::GET, "/chat")
            .header("origin", page);
        let reply = client.send(request).await;
        assert_eq!(
            !reply.header("access-control-allow-origin").is_empty(),
            allowed,
            "{page}"
        );
    }
}

#[tokio::test]
async fn of_several_lines_in_env_the_last_counts_and_they_are_named() {
    let folder = folder();
    // With the mark that some editors write first.
    let lines = "\u{feff}PORT=1\nPORT=4711\nMINE=1\nMINE=2\nHOST=x\nHOST=\n";
    fs::write(folder.path().join(".env"), lines).expect("a file");
    let checked = check(folder.path(), &[], &[]).await;
    assert!(checked.contains("127.0.0.1:4711"), "{checked}");
    for name in ["PORT", "HOST"] {
        assert!(
            checked.contains(&format!("{name} has several lines in ./.env")),
            "{checked}"
        );
    }
    assert!(!checked.contains("MINE"), "another program's: {checked}");
}

#[tokio::test]
async fn a_misspelt_variable_is_named_by_check_and_at_the_start() {
    let folder = folder();
    let misspelt = [
        ("DATABSE_URL", "DATABASE_URL"),
        ("CORS_ALLOWED_ORIGIN", "CORS_ALLOWED_ORIGINS"),
        ("DB_PASSWORD", "DB_PASS"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
        ("port", "PORT"),
    ];
    let others = [
        ("RUST_LOG", "x"),
        ("POSTGRES_PASSWORD", "x"),
        ("HOSTNAME", "x"),
        ("PATH", "/"),
    ];
    let wrong: Vec<_> = misspelt
        .iter()
        .map(|(name, _)| (*name, "hunter2"))
        .collect();
    let settings = [&wrong[..], &others, &[("LOG_FORMAT", "text")]].concat();
    fs::write(
        folder.path().join(".env"),
        "METRIC_TOKEN=hunter2\nNETWORK=x\n",
    )
    .expect("a file");
    let checked = check(folder.path(), &settings, &[]).await;
    let process = Process::start(folder.path(), &settings).await;
    for said in [&checked, &process.said] {
        for (name, meant) in misspelt {
            let sentence =
                format!("{name} in the environment is not a setting; did you mean {meant}?");
            assert!(said.contains(&sentence), "{sentence}: {said}");
        }
        assert!(
            said.contains("METRIC_TOKEN in ./.env is not a setting; did you mean METRICS_TOKEN?"),
            "{said}"
        );
        for (name, _) in others {
            assert!(!said.contains(&format!("{name} in")), "{name}: {said}");
        }
        assert!(
            !said.contains("NETWORK") && !said.contains("hunter2"),
            "{said}"
        );
    }
    // An empty one is as good as none.
    let checked = check(folder.path(), &[("DATABSE_URL", "")], &[]).await;
    assert!(!checked.contains("DATABSE_URL"), "{checked}");
}
