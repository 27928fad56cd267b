//! Property tests of the query parameters.

use super::Params;
use crate::error::{Code, Error};
use axum::{extract::Query, http::Uri};
use proptest::prelude::*;

/// Parses a query string. Returns `None` if it is not a valid query.
fn params(query: &str) -> Option<Params> {
    let uri = Uri::try_from(format!("/chat?{query}")).ok()?;
    Query::try_from_uri(&uri)
        .ok()
        .map(|Query(pairs)| Params(pairs))
}

fn one(name: &str, value: &str) -> Params {
    Params(vec![(name.to_owned(), value.to_owned())])
}

/// Checks that an error is `invalid_field` and names the field. Returns `None` for an error.
fn named<T>(field: &str, read: Result<T, Error>) -> Result<Option<T>, TestCaseError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            prop_assert_eq!(error.code(), Code::InvalidField);
            prop_assert!(error.message().starts_with(field), "{}", error);
            Ok(None)
        }
    }
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[-+]?[0-9]{0,21}",
        any::<i64>().prop_map(|n| n.to_string()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_query_is_handled(query in prop_oneof![
        "[!-~]{0,60}", "([a-z_]{1,10}=[0-9a-zA-Z%+-]{0,6}&?){0,6}",
    ]) {
        if let Some(params) = params(&query) {
            named("limit", params.limit())?;
            named("after", params.after_user())?;
            named("after", params.after_chat())?;
            named("chat", params.chat())?;
            named("customer", params.user())?;
            named("before", params.before())?;
            named("since", params.since())?;
            named("q", params.text())?;
        }
    }

    #[test]
    fn a_parameter_is_read_as_it_was_written_or_refused_by_name(text in value()) {
        let number = text.parse::<i64>().ok().filter(|n| n.to_string() == text);
        let positive = number.filter(|n| *n > 0);
        let natural = number.filter(|n| *n >= 0);
        let id = named("chat_id", one("chat_id", &text).chat())?;
        prop_assert_eq!(id.map(|id| id.0), positive);
        let before = named("before", one("before", &text).before())?.flatten();
        prop_assert_eq!(before.map(|id| id.0), positive);
        let since = named("since", one("since", &text).since())?.flatten();
        prop_assert_eq!(since.map(|since| since.seq.0), natural);
        let after = named("after", one("after", &text).after_user())?;
        prop_assert_eq!(after.map(|id| id.0), natural);
        if let Some(limit) = named("limit", one("limit", &text).limit())? {
            prop_assert!((1..=1000).contains(&limit.get()));
        }
        let params = one("q", &text);
        let looked_for = named("q", params.text())?.flatten();
        let looked_for = looked_for.map(|(raw, _)| raw);
        let right = !text.is_empty() && !text.contains('\0') && text.len() <= 16 * 1024;
        // A text of accents only is refused.
        if looked_for.is_some() || !right || text.contains(char::is_alphanumeric) {
            prop_assert_eq!(looked_for, right.then_some(text.as_str()));
        }
    }
}
