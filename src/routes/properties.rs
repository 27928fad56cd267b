//! What holds for whatever stands in the headers that decide who is answered.

use super::{identity::bearer, origin::is_loopback_name};
use axum::http::{HeaderMap, HeaderValue, header};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Everything that can stand in a header.
fn header_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\t'), 32_u8..=126, 128_u8..=255];
    prop::collection::vec(byte, 0..100)
}

fn authorization() -> impl Strategy<Value = Vec<u8>> {
    let near = "[bB]earer? {0,2}[0-9a-fA-F]{0,66} ?".prop_map(String::into_bytes);
    prop_oneof![header_bytes(), near]
}

fn loopback(name: &str) -> bool {
    HeaderValue::from_str(name).is_ok_and(|name| is_loopback_name(&name))
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

    #[test]
    fn no_host_is_too_strange(bytes in header_bytes()) {
        let _ = is_loopback_name(&HeaderValue::from_bytes(&bytes)?);
    }

    #[test]
    fn an_address_is_loopback_or_not_with_any_port(v4: [u8; 4], v6: u128, port: u16) {
        for ip in [IpAddr::from(v4), IpAddr::V4(Ipv4Addr::new(127, v4[1], v4[2], v4[3]))] {
            prop_assert_eq!(loopback(&format!("{ip}:{port}")), ip.is_loopback());
        }
        for ip in [Ipv6Addr::from(v6), Ipv6Addr::LOCALHOST] {
            prop_assert_eq!(loopback(&format!("[{ip}]:{port}")), ip.is_loopback());
        }
    }

    #[test]
    fn a_name_is_loopback_by_its_last_label(name in "([a-z0-9]{1,10}\\.){0,3}[a-z]{1,10}", port: u16) {
        let last = name.rsplit('.').next() == Some("localhost");
        prop_assert_eq!(loopback(&format!("{name}:{port}")), last, "{}", &name);
        let (below, beside) = (name.to_uppercase() + ".LOCALHOST", format!("localhost.{name}x"));
        prop_assert!(loopback(&below));
        prop_assert!(!loopback(&beside));
    }
}
