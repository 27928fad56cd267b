//! Keeps the layers: what each module may name of the others, and where HTTP and SQL may appear.

#![allow(clippy::expect_used, unreachable_pub)]

mod prose;
mod source;

use std::{fs, path::Path};

/// A module of the crate and what it may name.
struct Layer {
    name: &'static str,
    /// Other modules of the crate.
    modules: &'static [&'static str],
    /// Paths of the crates in `BOUND`, and what lies under them.
    outside: &'static [&'static str],
}

/// Crates that belong to certain layers alone: those for HTTP and WebSocket, and the one for SQL.
/// Every other crate may be used anywhere.
const BOUND: &[&str] = &[
    "axum",
    "http_body",
    "hyper",
    "hyper_util",
    "tower",
    "tower_http",
    "tungstenite",
    "sqlx",
];

const fn layer(
    name: &'static str,
    modules: &'static [&'static str],
    outside: &'static [&'static str],
) -> Layer {
    Layer {
        name,
        modules,
        outside,
    }
}

/// From the ground up: a layer names those before it alone, so that there is no circle. `app`, `main` and
/// `lib` put the parts together and may name everything.
const LAYERS: &[Layer] = &[
    // Compiled only to show that the checker notices faults.
    layer("failpoints", &[], &[]),
    layer("telemetry", &[], &[]),
    layer("metrics", &[], &[]),
    layer("send_queue", &["failpoints"], &[]),
    layer("tasks", &[], &[]),
    // Errors are answered over HTTP and made from errors of the database: the one type that knows both.
    layer(
        "error",
        &[],
        &["axum::Json", "axum::http", "axum::response", "sqlx"],
    ),
    layer(
        "model",
        &["error", "failpoints"],
        &["sqlx::Type", "sqlx::FromRow"],
    ),
    layer("json", &["error", "model"], &[]),
    layer("rate_limit", &["error", "model"], &[]),
    layer("protocol", &["model", "error", "json"], &[]),
    layer("auth", &["model", "error"], &[]),
    layer("policy", &["auth", "error", "model"], &[]),
    layer("database", &["error", "failpoints"], &["sqlx"]),
    layer("repository", &["model", "error", "database"], &["sqlx"]),
    // Knows no NATS: it hands events for other nodes to a queue.
    layer(
        "hub",
        &[
            "rate_limit",
            "model",
            "send_queue",
            "protocol",
            "failpoints",
        ],
        &[],
    ),
    layer("cluster", &["hub", "model", "protocol"], &[]),
    layer(
        "delivery",
        &[
            "auth",
            "database",
            "error",
            "failpoints",
            "hub",
            "metrics",
            "model",
            "send_queue",
            "policy",
            "protocol",
            "rate_limit",
            "repository",
        ],
        &[],
    ),
    layer(
        "service",
        &[
            "auth",
            "cluster",
            "database",
            "delivery",
            "error",
            "failpoints",
            "hub",
            "metrics",
            "model",
            "policy",
            "protocol",
            "rate_limit",
            "repository",
            "tasks",
        ],
        &[],
    ),
    layer(
        "state",
        &[
            "auth",
            "delivery",
            "metrics",
            "model",
            "rate_limit",
            "service",
        ],
        &[],
    ),
    layer(
        "middleware",
        &["error", "send_queue", "rate_limit", "state"],
        &["axum", "http_body", "tower_http"],
    ),
    layer(
        "routes",
        &[
            "auth",
            "delivery",
            "error",
            "json",
            "metrics",
            "middleware",
            "model",
            "rate_limit",
            "service",
            "state",
        ],
        &["axum", "http_body"],
    ),
    layer(
        "websocket",
        &[
            "auth",
            "delivery",
            "error",
            "middleware",
            "model",
            "send_queue",
            "protocol",
            "rate_limit",
            "routes",
            "service",
            "state",
        ],
        &["axum", "tungstenite"],
    ),
    layer(
        "server",
        &[
            "middleware",
            "send_queue",
            "rate_limit",
            "routes",
            "state",
            "websocket",
        ],
        &[
            "axum",
            "http_body",
            "hyper",
            "hyper_util",
            "tower",
            "tower_http",
        ],
    ),
    // Reads the settings into the types of the parts that they are for. The parts do not know it.
    layer(
        "config",
        &["database", "telemetry"],
        &["sqlx::postgres::PgSslMode"],
    ),
    // The commands of the binary besides serving: they need neither HTTP nor the hub.
    layer("backup", &["error", "repository", "database"], &[]),
    layer(
        "cli",
        &[
            "auth",
            "backup",
            "config",
            "database",
            "error",
            "model",
            "repository",
            "service",
        ],
        &[],
    ),
];

const TOP: &[&str] = &["app", "main", "lib"];

/// What a file under `src/` names and may not. `file` is its path from there.
fn violations(file: &str, text: &str) -> Vec<String> {
    let module = module_of(file);
    let name = module.first().map_or("lib", |name| *name);
    if TOP.contains(&name) {
        return Vec::new();
    }
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
        return vec![format!("{file}: {name} has no place in the table")];
    };
    let mut wrong: Vec<String> = source::paths(&module, text)
        .into_iter()
        .filter(|path| !layer.may_name(path))
        .map(|path| format!("{file}: {name} names {}", path.join("::")))
        .collect();
    wrong.dedup();
    wrong
}

impl Layer {
    fn may_name(&self, path: &[String]) -> bool {
        let head = path.first().map_or("", String::as_str);
        if head == "crate" {
            let module = path.get(1).map_or("", String::as_str);
            // A repository works for itself; what needs two is a service's.
            let of_another =
                self.name == "repository" && path.iter().any(|name| name.ends_with("Repository"));
            return (module == self.name || self.modules.contains(&module)) && !of_another;
        }
        let whole = path.join("::");
        !BOUND.contains(&head)
            || self.outside.iter().any(|allowed| {
                whole
                    .strip_prefix(allowed)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            })
    }
}

/// `routes/openapi/mod.rs` is `["routes", "openapi"]`.
fn module_of(file: &str) -> Vec<&str> {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').collect()
}

/// Every source under `folder`: its path from `src/`, and its text.
fn sources(folder: &Path, prefix: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of the folder").path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = format!("{prefix}{}", name.expect("a name in UTF-8"));
        if path.is_dir() {
            found.extend(sources(&path, &format!("{name}/")));
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).expect("a source in UTF-8");
            found.push((name, text));
        }
    }
    found
}

#[test]
fn layers_have_no_circle() {
    for (place, layer) in LAYERS.iter().enumerate() {
        for module in layer.modules {
            let below = LAYERS[..place].iter().any(|other| other.name == *module);
            assert!(
                below,
                "{} names {module}, which is not below it",
                layer.name
            );
        }
    }
}

#[test]
fn no_layer_names_what_it_may_not() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "");
    for layer in LAYERS {
        let lives = sources
            .iter()
            .any(|(file, _)| module_of(file).first() == Some(&layer.name));
        assert!(lives, "{} is in the table and nowhere else", layer.name);
    }
    let wrong: Vec<String> = sources
        .iter()
        .flat_map(|(file, text)| violations(file, text))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_repository_uses_no_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/repository");
    let sources = sources(&folder, "");
    let (views, repositories): (Vec<_>, Vec<_>) =
        sources.iter().partition(|(file, _)| file == "mod.rs");
    let views: Vec<&str> = views
        .iter()
        .flat_map(|(_, text)| text.lines())
        .filter(|line| line.contains("Repository<'_> {"))
        .filter_map(|line| line.trim().strip_prefix("pub fn ")?.split('(').next())
        .collect();
    assert!(views.len() > 10, "{views:?}");
    for (file, text) in repositories {
        for view in &views {
            let call = format!(".{view}()");
            assert!(!text.contains(&call), "{file} calls {call}");
        }
    }
}

/// Files that start tasks, and how each notices the end of a task.
const SPAWN: &[(&str, &str)] = &[
    (
        "tasks.rs",
        "names each task, and stops the server if one ends too early",
    ),
    (
        "cluster/nats.rs",
        "checks every few seconds which subscriptions have ended",
    ),
    ("service/health.rs", "waits for the task"),
];

#[test]
fn every_task_is_watched() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "");
    let spawning = sources.iter().filter(|(_, text)| {
        let mut lines = text.lines().map(str::trim_start);
        lines.any(|line| !line.starts_with("//") && line.contains("tokio::spawn("))
    });
    let spawning: Vec<&str> = spawning.map(|(file, _)| file.as_str()).collect();
    let listed: Vec<&str> = SPAWN.iter().map(|(file, _)| *file).collect();
    for file in &spawning {
        assert!(listed.contains(file), "{file} starts a task of its own");
    }
    for file in listed {
        assert!(
            spawning.contains(&file),
            "{file} is listed and starts no task"
        );
    }
}

/// One case a line: file, source, and the violation to be found.
const WRONG: &str = r##"
hub/mod.rs         | use crate::service::Feed;                                | service::Feed
hub/mod.rs         | use crate::{model::{UserId}, service::{self, Feed}};     | service
hub/mod.rs         | use crate::{service as other};                           | service
hub/mod.rs         | use super::service::Feed;                                | service::Feed
hub.rs             | use super::service::*;                                   | service::*
hub.rs             | use crate::*;                                            | crate::*
hub.rs             | use crate::App;                                          | crate::App
hub.rs             | mod a { mod b { use super::super::super::state::X; } }   | state::X
hub.rs             | mod a { use super::Hub; } use super::state::X;           | state::X
hub.rs             | fn f() { crate::routes::f::<u8>() }                      | routes::f
hub.rs             | macro_rules! m { () => { $crate::state::f() } }          | state::f
hub.rs             | #[cfg(test)] mod tests { use crate::config::Config; }    | config::Config
hub.rs             | const C: char = '"'; use sqlx::query; const D: u8 = b'"'; | sqlx::query
hub.rs             | const A: &str = r#"""#; use sqlx::query; // "            | sqlx::query
auth/caller.rs     | fn f(r: &::axum::extract::Request) {}                    | axum::extract
service/chat.rs    | pub use axum;                                            | axum
error.rs           | use axum::{Json, Router};                                | axum::Router
model/id.rs        | #[derive(sqlx::Encode)] struct A;                        | sqlx::Encode
model/id.rs        | use sqlx::TypeInfo;                                      | sqlx::TypeInfo
websocket/mod.rs   | use sqlx::PgPool;                                        | sqlx::PgPool
repository/chat.rs | fn f() { super::user::UserRepository(&database) }        | UserRepository
novel.rs           | fn f() {}                                                | no place
"##;

const RIGHT: &str = r##"
hub/mod.rs   | use super::hub::A; use self::b::C; use crate::model::D;
hub.rs       | mod tests { use super::*; } fn f() -> impl use<> Fn() {}
hub.rs       | /* sqlx::a /* axum::b */ sqlx::c */ // crate::state
hub.rs       | const A: &str = "\"crate::state"; const B: &[u8] = br#"" axum::x"#;
hub.rs       | impl<'a> A<'a> { pub(super) fn f() -> char { '\'' } }
hub.rs       | fn f() { serde::axum(); Sql::sqlx::<u8>() }
error.rs     | use axum::http::StatusCode;
app/mod.rs | use crate::routes; use sqlx::query; use axum::Router;
"##;

#[test]
fn each_way_to_name_something_is_seen() {
    for line in WRONG.trim().lines() {
        let (file, rest) = line.split_once('|').expect("a file");
        let (text, seen) = rest.rsplit_once('|').expect("what is wrong");
        // As rustfmt would break it.
        let text = text.replace('{', "{\n    ");
        let wrong = violations(file.trim(), &text);
        let all = wrong.iter().all(|line| line.contains(seen.trim()));
        assert!(!wrong.is_empty() && all, "{line}: {wrong:?}");
    }
}

#[test]
fn what_is_right_or_only_mentioned_is_passed_over() {
    for line in RIGHT.trim().lines() {
        let (file, text) = line.split_once('|').expect("a file");
        let wrong = violations(file.trim(), text);
        assert_eq!(wrong, Vec::<String>::new(), "{line}");
    }
}
