use super::*;
use proptest::prelude::*;

/// Trusts 10.0.0.0/8 and this machine.
fn proxies() -> TrustedProxies {
    let networks = ["10.0.0.0/8", "127.0.0.1/32", "::1/128"];
    TrustedProxies::new(
        networks
            .iter()
            .filter_map(|network| network.parse().ok())
            .collect(),
    )
}

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        Some((
            HeaderName::try_from(*name).ok()?,
            HeaderValue::try_from(*value).ok()?,
        ))
    };
    list.iter().filter_map(pair).collect()
}

fn seen(peer: &str, list: &[(&str, &str)]) -> String {
    let peer = peer.parse().unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    client(peer, &headers(list), &proxies()).to_string()
}

#[test]
fn the_rightmost_untrusted_address_is_the_client() {
    for (expected, peer, list) in [
        (
            "192.0.2.1",
            "192.0.2.1",
            vec![("x-forwarded-for", "198.51.100.1")],
        ),
        ("10.0.0.1", "10.0.0.1", vec![]),
        (
            "198.51.100.1",
            "10.0.0.1",
            vec![("x-forwarded-for", "198.51.100.1")],
        ),
        (
            "198.51.100.1",
            "10.0.0.1",
            vec![("x-forwarded-for", "6.6.6.6, 198.51.100.1, 10.1.1.1")],
        ),
        (
            "198.51.100.1",
            "::ffff:10.0.0.1",
            vec![
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-for", "198.51.100.1:4711"),
            ],
        ),
        (
            "2001:db8::1",
            "::1",
            vec![("x-forwarded-for", "[2001:db8::1]:80")],
        ),
        (
            "10.9.9.9",
            "10.0.0.1",
            vec![("x-forwarded-for", "10.9.9.9, 10.1.1.1")],
        ),
        // An entry that is not an address hides the entries before it.
        (
            "10.1.1.1",
            "10.0.0.1",
            vec![("x-forwarded-for", "6.6.6.6, unknown, 10.1.1.1")],
        ),
        (
            "10.0.0.1",
            "10.0.0.1",
            vec![("x-forwarded-for", "6.6.6.6,")],
        ),
        // `Forwarded` is not believed, alone or beside the other header.
        (
            "10.0.0.1",
            "10.0.0.1",
            vec![("forwarded", "For=198.51.100.1;proto=https")],
        ),
        (
            "198.51.100.1",
            "10.0.0.1",
            vec![
                ("forwarded", "for=6.6.6.6"),
                ("x-forwarded-for", "198.51.100.1"),
            ],
        ),
    ] {
        assert_eq!(seen(peer, &list), expected, "{peer} {list:?}");
    }
}

#[test]
fn the_nearest_proxy_names_the_host_and_scheme() {
    let said = |peer: &str, list: &[(&str, &str)]| {
        let peer = peer.parse().unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let called = forwarded_host(peer, &headers(list), &proxies());
        let host = called
            .host
            .and_then(|host| Some(host.to_str().ok()?.to_owned()));
        (host.unwrap_or_default(), called.scheme.unwrap_or_default())
    };
    let pair = |host: &str, scheme: &str| (host.to_owned(), scheme.to_owned());
    let plain = [
        ("x-forwarded-host", "evil, chat.example"),
        ("x-forwarded-proto", "https"),
    ];
    assert_eq!(said("10.0.0.1", &plain), pair("chat.example", "https"));
    assert_eq!(said("192.0.2.1", &plain), pair("", ""));
    // `Forwarded` is not believed.
    let standard = ("forwarded", "host=\"evil.example:443\";proto=https");
    assert_eq!(said("10.0.0.1", &[standard]), pair("", ""));
    let both = [plain[0], ("x-forwarded-proto", "http"), standard];
    assert_eq!(said("10.0.0.1", &both), pair("chat.example", "http"));
    for (scheme, expected) in [("wss", "https"), ("WS", "http"), ("https, http", "http")] {
        let plain = [("x-forwarded-proto", scheme)];
        assert_eq!(said("10.0.0.1", &plain), pair("", expected));
    }
}

/// Generates a header value that a client may write.
fn forged() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,60}",
        "(for=\"?[0-9a-f:.\\[\\]]{0,20}\"?[;,] ?){0,5}",
        "([0-9]{1,3}\\.){3}[0-9]{1,3}(, 10\\.0\\.0\\.[0-9])*",
    ]
}

fn outside() -> impl Strategy<Value = IpAddr> {
    let somewhere = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from)
    ];
    somewhere
        .prop_map(|address| address.to_canonical())
        .prop_filter("no proxy", |address| !proxies().contain(*address))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Behind proxies that append the address of their peer, any headers of a client lead to the
    /// client's own address.
    #[test]
    fn a_client_cannot_forge_its_address(
        real in outside(),
        forged_lines in prop::collection::vec(forged(), 0..3),
        other in forged(),
        hops in 0..3_u8,
        with_port in any::<bool>(),
    ) {
        let node = match real {
            IpAddr::V6(address) if with_port => format!("[{address}]:9"),
            address => address.to_string(),
        };
        let more = (0..hops).map(|n| format!(", 10.1.1.{n}")).collect::<String>();
        let begun = forged_lines.first().map_or(String::new(), |forged| format!("{forged}, "));
        let mut lines: Vec<(&str, &str)> =
            forged_lines.iter().skip(1).map(|forged| ("x-forwarded-for", forged.as_str())).collect();
        let line = format!("{begun}{node}{more}");
        lines.push(("x-forwarded-for", &line));
        lines.push(("forwarded", &other));
        let proxy = IpAddr::from([10, 0, 0, 1]);
        prop_assert_eq!(client(proxy, &headers(&lines), &proxies()), real);
    }

    /// Without a trusted proxy the headers are ignored. With one, any value is handled.
    #[test]
    fn any_header_is_handled(peer in outside(), bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for name in [HeaderName::from_static("forwarded"), X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO] {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert(name, value);
            }
            prop_assert_eq!(client(peer, &headers, &proxies()), peer);
            prop_assert_eq!(forwarded_host(peer, &headers, &proxies()), ForwardedHost::default());
            let proxy = IpAddr::from([10, 0, 0, 1]);
            client(proxy, &headers, &proxies());
            forwarded_host(proxy, &headers, &proxies());
        }
    }
}
