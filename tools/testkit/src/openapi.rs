//! The OpenAPI document. Every answer of a test is checked against it: status, code, headers and
//! body.

use super::Reply;
use jsonschema::{Draft, Validator};
use messaging_api::server;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

/// The document of required mode, which contains that of open mode.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(server::document(true)).expect("the document"));

/// The schema of each JSON body, by operation and status.
static BODIES: LazyLock<HashMap<(String, String), Validator>> = LazyLock::new(|| {
    let bodies = operations().into_iter().flat_map(|operation| {
        let responses = operation.responses().clone();
        let id = operation.id();
        responses.into_iter().filter_map(move |(status, response)| {
            let schema = response["content"]["application/json"].get("schema")?;
            Some(((id.clone(), status), validator(schema)))
        })
    });
    bodies.collect()
});

/// Headers that direct a client's next step. The document must name each one that comes.
const TELLING: [&str; 5] = [
    "location",
    "link",
    "retry-after",
    "www-authenticate",
    "upgrade",
];

/// One operation of the document.
pub struct Operation {
    /// Its method.
    pub method: Method,
    /// Its path, with names in braces.
    pub path: String,
    /// Its description in the document.
    pub told: Value,
}

impl Operation {
    /// Its name.
    pub fn id(&self) -> String {
        self.told["operationId"]
            .as_str()
            .expect("a name")
            .to_owned()
    }

    /// Its responses, by status.
    pub fn responses(&self) -> &Map<String, Value> {
        self.told["responses"].as_object().expect("responses")
    }
}

/// Every path of the document.
pub fn paths() -> BTreeSet<String> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    paths.keys().cloned().collect()
}

/// Every operation of the document.
pub fn operations() -> Vec<Operation> {
    paths().iter().flat_map(|path| of_path(path)).collect()
}

fn of_path(path: &str) -> Vec<Operation> {
    let item = DOCUMENT["paths"][path].as_object().expect("operations");
    item.iter()
        .map(|(method, told)| Operation {
            method: method.to_uppercase().parse().expect("a method"),
            path: path.to_owned(),
            told: told.clone(),
        })
        .collect()
}

fn validator(schema: &Value) -> Validator {
    let mut whole = schema.clone();
    whole["components"] = DOCUMENT["components"].clone();
    let options = jsonschema::options().with_draft(Draft::Draft202012);
    let options = options.should_validate_formats(true);
    options.build(&whole).expect("a schema")
}

/// The path of the document that matches a request's path; of several, the most literal.
fn template(path: &str) -> Option<String> {
    let path = match path {
        "/" => path,
        _ => path.strip_suffix('/').unwrap_or(path),
    };
    let given: Vec<&str> = path.split('/').collect();
    let fits = |template: &String| {
        let names: Vec<&str> = template.split('/').collect();
        let pairs = || names.iter().zip(&given);
        let same =
            pairs().all(|(name, text)| name == text || (name.starts_with('{') && !text.is_empty()));
        names.len() == given.len() && same
    };
    paths()
        .into_iter()
        .filter(fits)
        .min_by_key(|template| template.matches('{').count())
}

/// Checks that the document has this answer to this request.
#[track_caller]
pub fn assert_told(method: &Method, path: &str, reply: &Reply) {
    let case = format!("{method} {path}: {reply:?}");
    assert_ne!(reply.header("x-request-id"), "", "{case}");
    let all = template(path).map_or(Vec::new(), |template| of_path(&template));
    let asked = match *method {
        Method::HEAD => &Method::GET,
        _ => method,
    };
    match all.iter().find(|operation| operation.method == asked) {
        Some(operation) if reply.status != 405 => assert_answer(operation, method, reply, &case),
        _ => assert_no_operation(reply, &case),
    }
}

/// Checks an answer outside of all operations: a file of the page, the answer to a CORS preflight, or
/// an error.
#[track_caller]
fn assert_no_operation(reply: &Reply, case: &str) {
    let code = reply.body["code"].as_str();
    let right = match reply.status {
        200 | 204 | 304 => reply.body.is_null(),
        403 => code == Some("cross_site"),
        404 => code == Some("not_found"),
        405 => {
            (code == Some("method_not_allowed") || code.is_none())
                && !reply.header("allow").is_empty()
        }
        _ => false,
    };
    assert!(right, "no operation answers {case}");
}

#[track_caller]
fn assert_answer(operation: &Operation, method: &Method, reply: &Reply, case: &str) {
    let status = reply.status.to_string();
    let told = operation.responses().get(&status);
    let told = told.unwrap_or_else(|| panic!("the document has no such status: {case}"));
    for name in TELLING {
        let told = told["headers"].as_object().expect("headers");
        let known = told.keys().any(|told| told.eq_ignore_ascii_case(name));
        let silent = reply.header(name).is_empty() || (name == "upgrade" && status == "101");
        assert!(known || silent, "the document has no {name}: {case}");
    }
    if *method == Method::HEAD || status == "101" {
        return;
    }
    let Some(content) = told["content"].as_object() else {
        assert!(reply.body.is_null(), "the document has no body: {case}");
        return;
    };
    let kind = reply.header("content-type").split(';').next();
    let content = content.get(kind.unwrap_or_default());
    let content = content.unwrap_or_else(|| panic!("the document has no such content: {case}"));
    if let Some(validator) = BODIES.get(&(operation.id(), status)) {
        let wrong: Vec<String> = validator
            .iter_errors(&reply.body)
            .map(|e| e.to_string())
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}: {case}");
    }
    if reply.status >= 400 {
        let code = reply.body["code"].as_str().unwrap_or_default();
        let known = content["examples"].get(code) != Some(&json!(null));
        assert!(
            known && content["examples"].get(code).is_some(),
            "the document has no such code: {case}"
        );
    }
}
