//! Parser of DATABASE_URL. It reads the URL part by part, so that an error names the wrong part without
//! showing its text: any part may hold a password, at least by mistake.

use crate::database::{PgConnectOptions, Target};
use sqlx::postgres::PgSslMode;
use std::{net::Ipv6Addr, path::PathBuf, str::FromStr};
use url::{ParseError, Url};

/// Query parameters that the driver understands, besides `options` and `options[name]`.
const UNDERSTOOD: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];
/// TLS parameters of other programs that may be ignored without weakening security.
const IGNORED_TLS: [&str; 7] = [
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslcertmode",
    "sslnegotiation",
    "sslpassword",
    "sslsni",
];

/// Result of parsing a URL: the database, and the names of the unknown parameters.
pub(super) struct ParsedUrl {
    pub(super) target: Target,
    pub(super) ignored: Vec<String>,
}

/// Parses the value of DATABASE_URL. An error is a message that shows no part of the value.
pub(super) fn read(text: &str) -> Result<ParsedUrl, String> {
    let text = text.trim();
    if text.starts_with(['"', '\'']) {
        return Err("DATABASE_URL must be without quotes around it".to_owned());
    }
    if let Some(path) = text.strip_prefix("sqlite://") {
        return sqlite(path);
    }
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err(
            "DATABASE_URL must be postgres://USER:PASSWORD@HOST:PORT/NAME or sqlite://PATH"
                .to_owned(),
        );
    }
    if text.contains(char::is_whitespace) {
        return Err(wrong("it", "without white space (write a space as %20)"));
    }
    postgres(text)
}

/// Removes the brackets around an IPv6 address. Other hosts stay unchanged.
pub(super) fn without_brackets(host: &str) -> &str {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner
        .filter(|inner| Ipv6Addr::from_str(inner).is_ok())
        .unwrap_or(host)
}

fn wrong(part: &str, expected: &str) -> String {
    format!(
        "DATABASE_URL must be postgres://USER:PASSWORD@HOST:PORT/NAME: {part} must be {expected}"
    )
}

fn sqlite(path: &str) -> Result<ParsedUrl, String> {
    let wrong = match path {
        "" => {
            Some("PATH is missing; write the path of the file, such as sqlite://data/messaging.db")
        }
        _ if path.starts_with('~') => Some(
            "~ is not replaced by the home folder; write the whole path, such as sqlite:///home/carl/chat.db",
        ),
        _ if path.starts_with(':') => {
            Some("a database in memory would be lost at the end of the server; name a file")
        }
        _ if path.contains('?') => Some("parameters after ? are not supported; remove them"),
        _ => None,
    };
    match wrong {
        Some(wrong) => Err(format!("DATABASE_URL must be sqlite://PATH: {wrong}")),
        None => Ok(ParsedUrl {
            target: Target::Sqlite(PathBuf::from(path)),
            ignored: Vec::new(),
        }),
    }
}

/// Requirement on the host, for an error about a URL with several hosts.
const ONE_HOST: &str = "one name or address; for a failover, use one that moves to the new primary";

fn postgres(text: &str) -> Result<ParsedUrl, String> {
    let mut url = Url::parse(text).map_err(|error| unreadable(text, error))?;
    check_parts(&url)?;
    let ignored = keep_understood(&mut url)?;
    // The driver's own error is dropped: it could show the URL.
    let options = PgConnectOptions::from_str(url.as_str());
    let mut options =
        options.map_err(|_| wrong("each part", "valid; at least one of them is not"))?;
    let host = without_brackets(options.get_host()).to_owned();
    options = options.host(&host);
    Ok(ParsedUrl {
        target: Target::Postgres(Box::new(options)),
        ignored,
    })
}

/// Checks the parts of a URL before its parameters.
fn check_parts(url: &Url) -> Result<(), String> {
    if url.host_str().is_some_and(|host| host.contains(',')) {
        return Err(wrong("the host", ONE_HOST));
    }
    if url.fragment().is_some() {
        return Err(wrong("a # in it", "written as %23"));
    }
    if url.port() == Some(0) {
        return Err(wrong("the port", "a number from 1 to 65535"));
    }
    let name = url.path().trim_start_matches('/');
    if name.contains(['/', '@']) {
        return Err(wrong(
            "the name of the database, as well as the password,",
            "without / and @ (write them as %2F and %40)",
        ));
    }
    for (part, text) in [
        ("the user", url.username()),
        ("the password", url.password().unwrap_or_default()),
        ("the name of the database", name),
    ] {
        if !decodes(text) {
            return Err(wrong(part, "UTF-8, percent-encoded"));
        }
    }
    Ok(())
}

/// Removes the unknown parameters from a URL, and returns their names.
fn keep_understood(url: &mut Url) -> Result<Vec<String>, String> {
    let mut ignored = Vec::new();
    let mut understood: Vec<(String, String)> = Vec::new();
    for (key, value) in url.query_pairs() {
        if UNDERSTOOD.contains(&&*key) || key == "options" || key.starts_with("options[") {
            check_parameter(&key, &value)?;
            understood.push((key.into_owned(), value.into_owned()));
        } else {
            ignored.push(unknown(&key)?);
        }
    }
    url.set_query(None);
    for (key, value) in &understood {
        let value = match key.as_str() {
            "host" | "hostaddr" => without_brackets(value),
            _ => value,
        };
        url.query_pairs_mut().append_pair(key, value);
    }
    Ok(ignored)
}

/// Returns the message for a text that is not a URL.
fn unreadable(text: &str, error: ParseError) -> String {
    let authority = text.split("://").nth(1).unwrap_or_default();
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    match error {
        _ if hosts.contains(',') => wrong("the host", ONE_HOST),
        ParseError::InvalidPort => wrong(
            "the port",
            "a number from 1 to 65535; if the password has a / ? # or : write it as %2F %3F %23 %3A",
        ),
        ParseError::InvalidIpv6Address => wrong("the host", "an IPv6 address in brackets: [::1]"),
        _ => wrong(
            "the host",
            "a name, an address, an IPv6 address in brackets, or the folder of a socket as %2Fpath",
        ),
    }
}

/// Returns true if a percent-encoded part decodes to UTF-8.
fn decodes(text: &str) -> bool {
    // Form decoding equals percent-decoding except for `&`, `=` and `+`, which are therefore masked. The
    // decoder replaces invalid UTF-8 by U+FFFD.
    let text = text.replace(['&', '=', '+'], "_");
    url::form_urlencoded::parse(text.as_bytes()).all(|(text, _)| !text.contains('\u{fffd}'))
}

fn check_parameter(key: &str, value: &str) -> Result<(), String> {
    let (right, expected) = match key {
        "sslmode" | "ssl-mode" => (
            value.parse::<PgSslMode>().is_ok(),
            "disable, allow, prefer, require, verify-ca or verify-full",
        ),
        "port" => (
            value.parse::<u16>().is_ok_and(|port| port > 0),
            "a number from 1 to 65535",
        ),
        "host" => (!value.contains(','), ONE_HOST),
        "hostaddr" => (
            without_brackets(value).parse::<std::net::IpAddr>().is_ok(),
            "an IP address",
        ),
        "statement-cache-capacity" => (value.parse::<usize>().is_ok(), "a number"),
        _ => return Ok(()),
    };
    match right {
        true => Ok(()),
        false => Err(wrong(&format!("the parameter {key}"), expected)),
    }
}

/// Returns the name of an unknown parameter if the parameter may be shown and ignored.
fn unknown(key: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    if key.is_empty() || key.len() > 32 || !key.chars().all(is_name) {
        return Err(wrong(
            "what follows a ?",
            "parameters, name=value; a ? of the password is written as %3F",
        ));
    }
    // A misspelt TLS parameter must not silently disable TLS.
    if key.starts_with("ssl") && !IGNORED_TLS.contains(&key) {
        return Err(wrong(
            &format!("the parameter {key}"),
            "sslmode, sslrootcert, sslcert or sslkey, or be removed: it is unknown",
        ));
    }
    Ok(key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> PgConnectOptions {
        match read(url).map(|read| read.target) {
            Ok(Target::Postgres(options)) => *options,
            Ok(other) => panic!("{url}: {other:?}"),
            Err(error) => panic!("{url}: {error}"),
        }
    }

    #[test]
    fn a_url_selects_sqlite_or_postgres() {
        let sqlite = |url: &str| match read(url).map(|read| read.target) {
            Ok(Target::Sqlite(path)) => path,
            _ => panic!("{url}"),
        };
        assert_eq!(sqlite("sqlite://a/b.db"), PathBuf::from("a/b.db"));
        assert_eq!(sqlite(" sqlite:///b.db\n"), PathBuf::from("/b.db"));
        let read = options("\tpostgres://u:p@h:1/n\r\n");
        assert_eq!((read.get_host(), read.get_port()), ("h", 1));
        assert_eq!(read.get_database(), Some("n"));
    }

    #[test]
    fn an_ipv6_address_loses_its_brackets() {
        for url in [
            "postgres://u@[::1]:5432/d",
            "postgres:///d?user=u&host=[::1]",
            "postgres:///d?user=u&hostaddr=::1",
        ] {
            assert_eq!(options(url).get_host(), "::1", "{url}");
        }
        assert_eq!(without_brackets("[h]"), "[h]");
    }

    #[test]
    fn a_wrong_part_is_named_but_not_shown() {
        for (url, part) in [
            ("", "postgres://USER"),
            ("mysql://h", "postgres://USER"),
            ("'postgres://u:secret@h/d'", "quotes"),
            ("sqlite://", "PATH is missing"),
            ("sqlite://:memory:", "in memory"),
            ("sqlite://~/secret.db", "home folder"),
            ("sqlite://a.db?mode=ro", "parameters"),
            ("postgres://h:port/x", "the port"),
            ("postgres://h:0/x", "the port"),
            ("postgres://h:65536/x", "the port"),
            ("postgres://u:secret/1@h/d", "the port"),
            ("postgres://u:1/secret@h/d", "the password"),
            ("postgres://u:secret#1@h/d", "the port"),
            ("postgres://u:1#secret@h/d", "a #"),
            ("postgres://u:1?secret@h/d", "a ?"),
            ("postgres://u:se cret@h/d", "white space"),
            ("postgres://u:secret@h1,h2/d", "the host"),
            ("postgres://u:secret@h1:1,h2:2/d", "the host"),
            ("postgres:///d?host=secret,h2", "the parameter host"),
            ("postgres://u:secret@[::1/d", "the host"),
            ("postgres://u:secret@[::g]/d", "the host"),
            ("postgres://u:secret@h<>/d", "the host"),
            ("postgres://%ff:secret@h/d", "the user"),
            ("postgres://u:secret%ff@h/d", "the password"),
            ("postgres://u:secret@h/%ff", "the name of the database"),
            ("postgres://u:secret@h/d?sslmode=secret", "sslmode"),
            ("postgres://u:secret@h/d?sslmod=require", "sslmod"),
            ("postgres://u:secret@h/d?port=secret", "port"),
            ("postgres://u:secret@h/d?hostaddr=secret", "hostaddr"),
        ] {
            let refused = read(url).err().unwrap_or_default();
            assert!(
                refused.starts_with("DATABASE_URL must be"),
                "{url}: {refused}"
            );
            assert!(refused.contains(part), "{url}: {refused}");
            assert!(!refused.contains("secret"), "{url}: {refused}");
        }
    }

    #[test]
    fn parameters_of_other_programs_are_ignored_and_reported() {
        let url = "postgres://u@h/d?connect_timeout=3&sslmode=disable&channel_binding=secret";
        let read = read(url).map(|read| read.ignored);
        let expected = ["connect_timeout", "channel_binding"].map(str::to_owned);
        assert_eq!(read, Ok(expected.to_vec()));
    }
}
