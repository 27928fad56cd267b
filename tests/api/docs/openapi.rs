//! The OpenAPI document is complete and true, and its page loads nothing from other servers. Every other
//! test checks its answers against the document.

use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path};
use testkit::{
    Client, Operation, Process, Reply, Server, Store, apply, both_stores, operations, paths, rstest,
};

/// Returns the paths that the handlers declare. Only the files of the page are routed without a
/// declaration.
fn declared(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("sources") {
        let path = entry.expect("a source").path();
        if path.is_dir() {
            found.extend(declared(&path));
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        let by_hand = text.contains(".route(") || text.contains(".route_service(");
        assert!(!by_hand || path.ends_with("web_client.rs"), "{path:?}");
        let declarations = text.split("#[utoipa::path(").skip(1);
        found.extend(declarations.map(|declaration| {
            let path = declaration.split("path = \"").nth(1).expect("a path");
            path.split('"').next().expect("its end").to_owned()
        }));
    }
    found
}

#[test]
fn every_path_of_the_router_is_told_and_no_other() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = declared(&sources.join("routes"));
    found.extend(declared(&sources.join("websocket")));
    assert_eq!(found, paths());
}

/// Returns the path of an operation with example values for its parameters.
fn path_of(operation: &Operation) -> String {
    let mut path = operation.path.clone();
    let mut query = Vec::new();
    let parameters = operation.told["parameters"].as_array();
    for parameter in parameters.unwrap_or(&Vec::new()) {
        let name = parameter["name"].as_str().expect("a name");
        let example = parameter.get("example");
        let example = example.unwrap_or_else(|| panic!("{name} has no example"));
        if parameter["required"] == false {
            continue;
        }
        let text = example.to_string().replace('"', "");
        match parameter["in"].as_str() {
            Some("path") => path = path.replace(&format!("{{{name}}}"), &text),
            _ => query.push(format!("{name}={text}")),
        }
    }
    assert!(!path.contains('{'), "{path} has a name without a parameter");
    if query.is_empty() {
        return path;
    }
    format!("{path}?{}", query.join("&"))
}

#[apply(both_stores)]
async fn every_method_of_every_path_is_told(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let strange: Method = "PURGE".parse().expect("a method");
    for path in paths() {
        let all = operations();
        let told: Vec<&Operation> = all.iter().filter(|one| one.path == path).collect();
        let reply = client.request(strange.clone(), &path_of(told[0]));
        let reply = client.send(reply).await;
        let allowed = reply.header("allow").split(',').map(str::trim);
        let allowed: BTreeSet<&str> = allowed.filter(|method| *method != "HEAD").collect();
        let told = told.iter().map(|one| one.method.as_str()).collect();
        assert_eq!(allowed, told, "{path}");
        reply.expect_error(405, "method_not_allowed");
    }
}

/// Returns the first success of an operation, which is the one that its example shows.
fn success(operation: &Operation) -> (u16, Value) {
    let responses = operation.responses().iter();
    let made = |status: &str| match status {
        "201" => 0,
        // For large accounts alone.
        "202" => 2,
        _ => 1,
    };
    let mut good: Vec<_> = responses
        .filter(|(status, _)| status.as_str() < "300")
        .collect();
    good.sort_by_key(|(status, _)| made(status));
    let (status, response) = good[0];
    (
        status.parse().expect("a status"),
        response["content"]["application/json"]["example"].clone(),
    )
}

/// Removes times and tokens, which differ from run to run.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.ends_with("At") || name == "token") && value.is_string() {
                    true => *value = json!("…"),
                    false => timeless(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(timeless),
        _ => {}
    }
}

/// Returns the client of an example. Examples about sessions use the token of the user that other
/// examples sign up.
async fn client_for(server: &Server, operation: &Operation) -> Client {
    let client = server.client();
    if operation.told["tags"] != json!(["sessions"]) {
        return client;
    }
    client.new_user("dora").await;
    if operation.id() == "logIn" {
        return client;
    }
    let body = json!({ "username": "dora", "password": "correct horse" });
    let login = client.request(Method::POST, "/login").json(&body);
    let login = login.header("user-agent", "curl/8.5.0");
    let login = client.send(login).await.expect(200);
    client.with_token(login["token"].as_str().expect("a token"))
}

async fn try_out(server: &Server, operation: &Operation) -> Reply {
    let client = client_for(server, operation).await;
    let request = client.request(operation.method.clone(), &path_of(operation));
    let body = &operation.told["requestBody"]["content"]["application/json"]["example"];
    let request = match body.is_null() {
        true => request,
        false => request.json(body),
    };
    client.send(request).await
}

#[apply(both_stores)]
async fn the_examples_are_what_the_sample_data_answers(store: Store) {
    // Operations that only read share a server. Each operation that writes has its own.
    let shared = Server::start_with(store, &["--demo-data=true"]).await;
    for operation in operations() {
        let case = format!("{} {}", operation.method, operation.path);
        let mut fresh = None;
        let changes = operation.method != Method::GET
            || operation.id() == "addMember"
            || operation.told["tags"] == json!(["sessions"]);
        if changes {
            fresh = Some(Server::start_with(store, &["--demo-data=true"]).await);
        }
        let server = fresh.as_ref().unwrap_or(&shared);
        let mut reply = try_out(server, &operation).await;
        if operation.id() == "openSocket" {
            reply.expect_error(426, "upgrade_required");
            continue;
        }
        let (status, mut example) = success(&operation);
        assert_eq!(reply.status, status, "{case}");
        timeless(&mut reply.body);
        timeless(&mut example);
        // The document is no part of itself.
        if operation.path != "/openapi.json" {
            assert_eq!(reply.body, example, "{case}: the example and the answer");
        }
    }
}

#[apply(both_stores)]
async fn what_may_be_asked_besides_has_examples_that_are_taken(store: Store) {
    let server = Server::start_with(store, &["--demo-data=true"]).await;
    let mut asked = 0;
    for operation in operations().iter().filter(|one| one.method == Method::GET) {
        let parameters = operation.told["parameters"].as_array();
        for parameter in parameters.into_iter().flatten() {
            if parameter["required"] == true {
                continue;
            }
            let name = parameter["name"].as_str().expect("a name");
            let example = parameter["example"].to_string().replace('"', "");
            let path = format!("{}?{name}={example}", path_of(operation));
            server.client().get(&path).await.expect(200);
            asked += 1;
        }
    }
    assert!(asked >= 10, "{asked}");
}

#[tokio::test]
async fn the_document_is_of_this_version_and_this_mode() {
    let server = Server::start(Store::Sqlite).await;
    let document = server.client().get("/openapi.json").await.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    let metrics = &document["paths"]["/metrics"]["get"]["security"];
    assert_eq!(metrics[0], json!({ "metricsToken": [] }));
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(schemes["metricsToken"]["scheme"], "bearer");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    for operation in operations() {
        let method = operation.method.as_str().to_lowercase();
        let told = &document["paths"][&operation.path][&method];
        assert_eq!(told["responses"], operation.told["responses"]);
        // In open mode a token is optional. Only the operations about sessions require it.
        let security = &told["security"];
        let needed = *security == json!([{ "token": [] }]);
        let of_a_session = told["tags"] == json!(["sessions"]) && operation.id() != "logIn";
        assert_eq!(needed, of_a_session, "{} {security}", operation.path);
        assert!(
            told["summary"].is_string() && told["tags"].is_array(),
            "{told}"
        );
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let process = Process::start(folder.path(), &[]).await;
    let page = format!("http://{}/docs", process.address);
    let answer = reqwest::get(&page).await.expect("the page");
    let policy = answer.headers()["content-security-policy"].to_str();
    let policy = policy.expect("a policy").to_owned();
    // The policy allows this server and, for pictures, `data:` URLs.
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    for part in policy.split("; ") {
        let (name, sources) = part.split_once(' ').expect("sources");
        let allowed: &[&str] = match name {
            "img-src" => &["'self'", "data:"],
            _ => &["'self'", "'none'"],
        };
        let own = sources.split(' ').all(|source| allowed.contains(&source));
        assert!(own, "{part}");
    }
    let text = answer.text().await.expect("the page");
    let parts: Vec<&str> = text
        .split(['"', '\''])
        .filter(|text| text.starts_with('/') || text.contains("://"))
        .collect();
    assert_eq!(parts.len(), 4, "{parts:?}");
    for part in parts {
        let part = format!("http://{}{part}", process.address);
        let part = reqwest::get(&part).await.expect("a part of the page");
        assert_eq!(part.status(), 200, "{part:?}");
        assert!(!part.bytes().await.expect("its bytes").is_empty());
    }
    process.kill().await;
}
