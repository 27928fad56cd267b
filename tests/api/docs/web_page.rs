//! The chat page: the files of `web/` are served as they are, need nothing from elsewhere, and are
//! cached.

use reqwest::{Method, header};
use std::{collections::BTreeMap, fs, path::Path};
use testkit::{Client, Server, Store, apply, both_stores, rstest};

/// The files of `web/` by name.
fn files() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let entries = fs::read_dir(folder).expect("the folder web");
    let files: BTreeMap<_, _> = entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let text = fs::read_to_string(entry.path()).expect("a text");
            (entry.file_name().into_string().expect("a name"), text)
        })
        .collect();
    assert!(files.len() > 10, "{:?}", files.keys());
    files
}

fn path(name: &str) -> String {
    format!("/{}", if name == "index.html" { "" } else { name })
}

async fn fetch(client: &Client, path: &str) -> reqwest::Response {
    let request = client.request(Method::GET, path);
    request.send().await.expect("an answer")
}

fn header(response: &reqwest::Response, name: header::HeaderName) -> String {
    let value = response.headers().get(name);
    let value = value.and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

#[apply(both_stores)]
async fn every_file_is_served_as_what_it_is(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    for (name, text) in files() {
        let response = fetch(&client, &path(&name)).await;
        assert_eq!(response.status(), 200, "{name}");
        let kind = match name.rsplit_once('.').expect("an extension").1 {
            "html" => "text/html; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        };
        assert_eq!(header(&response, header::CONTENT_TYPE), kind, "{name}");
        assert_eq!(response.text().await.expect("a text"), text, "{name}");
    }
}

#[apply(both_stores)]
async fn every_import_and_every_link_is_served(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let mut links = 0;
    for (name, text) in files() {
        for mark in ["from \"./", "src=\"/", "href=\"/", "import(\"./"] {
            for rest in text.split(mark).skip(1) {
                let target = rest.split('"').next().expect("a target");
                let response = fetch(&client, &path(target)).await;
                assert_eq!(response.status(), 200, "{name} names {target}");
                links += 1;
            }
        }
        // Elsewhere is not asked for anything: the only address is the name of a drawing's language.
        let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
        for mark in [
            "src=\"http",
            "href=\"http",
            "url(",
            "@import \"",
            "@import url",
            "from \"http",
        ] {
            assert!(!elsewhere.contains(mark), "{name} has {mark}");
        }
        for mark in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!text.contains(mark), "{name} has {mark}");
        }
    }
    assert!(links > 20, "only {links} links were found");
}

#[apply(both_stores)]
async fn the_page_and_its_parts_come_under_a_strict_policy(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    for name in files().keys() {
        let response = fetch(&client, &path(name)).await;
        let policy = header(&response, header::CONTENT_SECURITY_POLICY);
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{name}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{name}: {policy}");
        assert_eq!(header(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    }
}

#[apply(both_stores)]
async fn a_browser_that_has_it_is_told_so(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    for name in files().keys() {
        let path = path(name);
        let first = fetch(&client, &path).await;
        let tag = header(&first, header::ETAG);
        assert!(tag.len() > 10, "{name}: {tag}");
        assert_eq!(header(&first, header::CACHE_CONTROL), "no-cache");
        let again = client.request(Method::GET, &path);
        let again = again.header(header::IF_NONE_MATCH, &tag).send().await;
        let again = again.expect("an answer");
        assert_eq!(
            (again.status().as_u16(), header(&again, header::ETAG)),
            (304, tag)
        );
        assert_eq!(again.bytes().await.expect("no body").len(), 0);
        let other = client.request(Method::GET, &path);
        let other = other
            .header(header::IF_NONE_MATCH, "\"other\"")
            .send()
            .await;
        assert_eq!(other.expect("an answer").status(), 200);
        let head = client.request(Method::HEAD, &path).send().await;
        let head = head.expect("an answer");
        assert_eq!(head.status(), 200, "{name}");
        assert_eq!(head.bytes().await.expect("no body").len(), 0);
    }
}

#[apply(both_stores)]
async fn nothing_else_is_a_file(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    for path in [
        "/index.html",
        "/web/app.js",
        "/app",
        "/../Cargo.toml",
        "/App.js",
    ] {
        let reply = client.send(client.request(Method::GET, path)).await;
        reply.expect_error(404, "not_found");
    }
    let reply = client.send(client.request(Method::POST, "/app.js")).await;
    reply.expect_error(405, "method_not_allowed");
}
