//! Readers of single settings; what they refuse, they say how to put right.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use tracing_subscriber::EnvFilter;

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

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|_| "must be error, warn, info, debug, trace, or target=level,…".to_owned())
}

pub(super) fn origin(text: &str) -> Result<String, String> {
    let expected = "must be scheme://host[:port] without a path, such as https://chat.example.com";
    let Some((scheme, place)) = text.trim().split_once("://") else {
        return Err(expected.into());
    };
    let clean = !place.is_empty() && !place.contains(['/', '?', '#', '@', '*', ' ']);
    if !matches!(scheme, "http" | "https") || !clean {
        return Err(expected.into());
    }
    Ok(format!("{scheme}://{}", place.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_exact() {
        assert_eq!(
            origin("https://Chat.example.com"),
            Ok("https://chat.example.com".to_owned())
        );
        for wrong in [
            "*",
            "chat.example.com",
            "https://",
            "https://a/b",
            "ftp://a",
            "null",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "NaN", "inf", "x", "1e9"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
