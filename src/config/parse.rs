//! Parsers of single settings. Their error messages say how to correct a value.

use ipnet::IpNet;
use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

pub(super) fn host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => text
            .parse()
            .map_err(|_| "must be an IP address such as 127.0.0.1 or 0.0.0.0, or localhost".into()),
    }
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|n| (0.01..=86_400.0).contains(n))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "must be a number of seconds from 0.01 to 86400".to_owned())
}

/// Parses a wait time in seconds, from 0 (no wait) to 86,400.
pub(super) fn wait(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|n| (0.0..=86_400.0).contains(n))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "must be a number of seconds from 0 to 86400".to_owned())
}

pub(super) fn days(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|n| (0.000_001..=3_650.0).contains(n))
        .map(|n| Duration::from_secs_f64(n * 86_400.0))
        .ok_or_else(|| "must be a number of days from 0.000001 to 3650".to_owned())
}

/// Maximum interval between two pings, in seconds. Clients treat a socket as lost after 60 s of silence.
const MAX_PING_SECONDS: f64 = 45.0;

/// Parses the interval between two pings of a socket, in seconds, from 0.01 to 45.
pub(super) fn ping(text: &str) -> Result<Duration, String> {
    let interval = seconds(text).ok();
    interval
        .filter(|interval| interval.as_secs_f64() <= MAX_PING_SECONDS)
        .ok_or_else(|| {
            format!(
                "must be a number of seconds from 0.01 to {MAX_PING_SECONDS}: clients consider a \
                 socket lost if they receive nothing for 60 s"
            )
        })
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    // Targets are module names, so they are ASCII. `EnvFilter` panics on some texts beyond ASCII.
    let is_filter = text.is_ascii() && EnvFilter::try_new(text).is_ok();
    match is_filter && text.split(',').all(|part| is_directive(part.trim())) {
        true => Ok(text.to_owned()),
        false => Err(
            "must be off, error, warn, info, debug, trace, or target=level,… such as \
             info,messaging_api=debug"
                .to_owned(),
        ),
    }
}

/// Returns true if a part of a log filter is a level, contains a level, or is a target of this server. Any
/// other word is a misspelt level: the filter would treat it as a target, and the log would stay empty.
fn is_directive(part: &str) -> bool {
    let is_own = |part: &str| part.starts_with(env!("CARGO_CRATE_NAME"));
    let is_misspelt_target = part.starts_with(env!("CARGO_PKG_NAME"));
    let names_level = part.contains('=') && !is_misspelt_target;
    names_level || part.is_empty() || part.parse::<LevelFilter>().is_ok() || is_own(part)
}

/// Parses a single address or a network. A network with bits beyond its prefix is refused as a mistake,
/// because it would trust more addresses than intended.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let network = match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address.to_canonical())),
        Err(_) => text.parse().ok().filter(|net: &IpNet| *net == net.trunc()),
    };
    network.ok_or_else(|| {
        "must be an address such as 127.0.0.1, or a network such as 10.0.0.0/8 or fd00::/8".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::origin::origin;
    use proptest::prelude::*;

    #[test]
    fn days_are_bounded() {
        assert_eq!(days("0.5"), Ok(Duration::from_secs(43_200)));
        for wrong in ["0", "-1", "NaN", "inf", "x", "1e9"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "NaN", "inf", "x", "1e9"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pings_are_bounded() {
        assert_eq!(ping("45"), Ok(Duration::from_secs(45)));
        for wrong in ["45.1", "60", "0", "x"] {
            assert!(ping(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_log_filter_is_ascii_and_names_levels() {
        for right in [
            "sqlx=warn",
            "WARN",
            "off",
            "info,messaging_api::hub",
            "messaging_api",
        ] {
            assert_eq!(log_filter(right), Ok(right.to_owned()));
        }
        for wrong in [
            " ඞU=/x",
            "\u{2028}=",
            "ä=info",
            "x=loud",
            "verbose",
            "info,sqlx",
            "messaging-api=debug",
        ] {
            assert!(log_filter(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_network_is_an_address_or_has_a_length() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1/32"),
            (" 10.0.0.0/8 ", "10.0.0.0/8"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("fd00::/8", "fd00::/8"),
        ] {
            let read = network(text).map(|network| network.to_string());
            assert_eq!(read.as_deref(), Ok(expected));
        }
        for wrong in [
            "",
            "*",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "proxy.example",
            "10.0.0",
        ] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Checks that an accepted value survives printing and parsing, and that each error message
        /// says how to correct the value.
        #[test]
        fn any_value_is_accepted_or_explained(text in prop_oneof![
            any::<String>(),
            "(http|https|ftp|HTTP)://[ -~]{0,20}",
            "[0-9a-f.:]{0,20}(/[0-9]{1,3})?",
            "-?[0-9]{0,7}(\\.[0-9]{0,4})?(e[0-9])?",
            "[a-z_:=,]{0,20}",
        ]) {
            let is_explained = |error: String| error.starts_with("must be");
            let right = [
                host(&text).map(|value| host(&value.to_string()) == Ok(value)),
                seconds(&text).map(|value| (0.01..=86_400.0).contains(&value.as_secs_f64())),
                origin(&text).map(|value| origin(&value) == Ok(value.clone())),
                network(&text).map(|value| network(&value.to_string()) == Ok(value)),
                log_filter(&text).map(|value| value == text),
            ];
            for result in right {
                prop_assert!(result.unwrap_or_else(is_explained), "{}", text);
            }
        }
    }
}
