//! Property tests of the loopback host check.

use super::csrf::is_loopback_name;
use axum::http::HeaderValue;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Generates any bytes that a header value can hold.
fn header_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\t'), 32_u8..=126, 128_u8..=255];
    prop::collection::vec(byte, 0..100)
}

fn loopback(name: &str) -> bool {
    HeaderValue::from_str(name).is_ok_and(|name| is_loopback_name(&name))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_host_value_is_handled(bytes in header_bytes()) {
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
