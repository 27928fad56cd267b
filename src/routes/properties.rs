//! Property tests of the bearer token.

use super::auth::bearer;
use axum::http::{HeaderMap, HeaderValue, header};
use proptest::prelude::*;

/// Generates any bytes that a header value can hold.
fn header_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\t'), 32_u8..=126, 128_u8..=255];
    prop::collection::vec(byte, 0..100)
}

fn authorization() -> impl Strategy<Value = Vec<u8>> {
    let near = "[bB]earer? {0,2}[0-9a-fA-F]{0,66} ?".prop_map(String::into_bytes);
    prop_oneof![header_bytes(), near]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_token_is_what_follows_the_one_bearer(values in prop::collection::vec(authorization(), 0..3)) {
        let mut headers = HeaderMap::new();
        for value in &values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value)?);
        }
        match bearer(&headers) {
            Ok(None) => prop_assert!(values.is_empty()),
            Ok(Some(token)) => {
                prop_assert_eq!(values.len(), 1);
                let text = std::str::from_utf8(&values[0])?;
                let (scheme, rest) = text.split_at(7);
                prop_assert!(scheme.eq_ignore_ascii_case("bearer "), "{}", text);
                prop_assert_eq!(rest.trim(), token);
            }
            Err(_) => prop_assert!(!values.is_empty()),
        }
    }

    #[test]
    fn a_token_comes_as_it_was_sent(token in "[0-9a-f]{64}") {
        let mut headers = HeaderMap::new();
        headers.append(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}"))?);
        prop_assert_eq!(bearer(&headers).ok().flatten(), Some(token.as_str()));
    }
}
