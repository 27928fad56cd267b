//! Assertions on JSON, and lists page by page.

use super::Client;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// Checks that this is an object with exactly these keys.
#[track_caller]
pub fn assert_keys(value: &Value, keys: &[&str]) {
    let object = value.as_object();
    let mut present: Vec<&str> = object
        .unwrap_or_else(|| panic!("an object was expected: {value}"))
        .keys()
        .map(String::as_str)
        .collect();
    let mut expected = keys.to_vec();
    present.sort_unstable();
    expected.sort_unstable();
    assert_eq!(present, expected, "{value}");
}

/// Checks that this is a time in the form of the contract (RFC 3339, UTC, milliseconds), less than
/// a minute old.
#[track_caller]
pub fn assert_now(value: &Value) {
    let text = value.as_str().unwrap_or_default();
    let time: DateTime<Utc> = text
        .parse()
        .unwrap_or_else(|_| panic!("a time was expected: {value}"));
    assert_eq!(
        text,
        time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        "a time in UTC with milliseconds was expected"
    );
    let age = Utc::now().signed_duration_since(time);
    assert!(age.num_seconds().abs() < 60, "{value} is not now");
}

/// One field of every object in a list.
pub fn field(list: &[Value], name: &str) -> Vec<Value> {
    list.iter().map(|value| value[name].clone()).collect()
}

impl Client {
    /// A list's pages, from `path` along the links to its end.
    pub async fn pages(&self, path: &str) -> Vec<Vec<Value>> {
        let mut pages = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let reply = self.get(&path).await;
            next = next_link(reply.header("link"));
            let page = reply.expect(200);
            pages.push(page.as_array().expect("a list").clone());
            assert!(pages.len() < 1000, "the links of {path} do not end");
        }
        pages
    }

    /// A list that fits on one page.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let pages = self.pages(path).await;
        assert_eq!(pages.len(), 1, "{path} has more pages");
        pages.concat()
    }
}

fn next_link(header: &str) -> Option<String> {
    if header.is_empty() {
        return None;
    }
    let path = header
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
    Some(path.expect("a link to the next page").to_owned())
}
