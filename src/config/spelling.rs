//! Detection of mistaken variables: a name that resembles a setting, or a value that another program set.

use strsim::damerau_levenshtein;

/// Maximum length of a variable name that is compared with settings, in bytes.
const MAX_NAME_LENGTH: usize = 64;
/// Minimum length, in bytes, of a setting that a longer name may stand for (`DB_PASS` for `DB_PASSWORD`).
const MIN_PREFIX_LENGTH: usize = 7;

/// Returns the setting that a variable name is probably a misspelling of. Returns `None` for the exact name
/// of a setting and for names that resemble no setting.
pub(super) fn meant<'a>(name: &str, settings: &[&'a str]) -> Option<&'a str> {
    if settings.contains(&name) || name.len() > MAX_NAME_LENGTH {
        return None;
    }
    let name = name.to_ascii_uppercase();
    let near = settings.iter().filter(|setting| is_near(&name, setting));
    near.min_by_key(|setting| damerau_levenshtein(&name, setting))
        .copied()
}

fn is_near(name: &str, setting: &str) -> bool {
    if name == setting {
        return true;
    }
    let rest = name.strip_prefix(setting).unwrap_or_default();
    let is_longer = setting.len() >= MIN_PREFIX_LENGTH
        && !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_uppercase());
    let slips = damerau_levenshtein(name, setting);
    is_longer
        || match setting.len() {
            // A changed letter turns a short name into another word; two swapped letters do not.
            0..=4 => slips == 1 && letters(name) == letters(setting),
            5..=9 => slips <= 1,
            10..=14 => slips <= 2,
            _ => slips <= 3,
        }
}

fn letters(name: &str) -> Vec<u8> {
    let mut letters = name.as_bytes().to_vec();
    letters.sort_unstable();
    letters
}

/// Returns a hint at the likely cause of a refused value, if another program is known to set such values.
pub(super) fn looks_like(name: &str, value: &str) -> Option<&'static str> {
    let is_quoted = |quote| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    if value.starts_with("tcp://") || value.starts_with("udp://") {
        return Some(
            "The value looks like the address that Kubernetes (or a link of Docker) sets for each \
             service: set enableServiceLinks to false, or give that service another name",
        );
    }
    if value.ends_with('\r') {
        return Some("The value ends with a carriage return, as lines of a Windows file do");
    }
    if is_quoted('"') || is_quoted('\'') {
        return Some(
            "The quotes are part of the value: docker --env-file and Kubernetes do not remove them",
        );
    }
    (name == "HOST").then(|| host_hint(value)).flatten()
}

fn host_hint(value: &str) -> Option<&'static str> {
    let part = |of: &[&str]| {
        value
            .split('-')
            .any(|part| of.iter().any(|of| part.starts_with(of)))
    };
    if value.contains('-') && part(&["linux", "apple", "darwin", "w64", "conda"]) {
        return Some("The value looks like the platform that conda sets for compilers");
    }
    let is_name = value
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    let is_machine = is_name && value.bytes().any(|b| b.is_ascii_alphabetic());
    is_machine.then_some("The value looks like the name of a machine, which tcsh and zsh set")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &[&str] = &[
        "HOST",
        "PORT",
        "AUTH",
        "LOG",
        "DATABASE_URL",
        "DB_HOST",
        "DB_PORT",
        "DB_PASS",
        "DB_USER",
        "CORS_ALLOWED_ORIGINS",
        "TRUSTED_PROXIES",
        "MAX_CONNECTIONS",
        "MAX_CONNECTIONS_PER_ADDRESS",
        "METRICS_TOKEN",
        "NATS_URL",
    ];

    #[test]
    fn a_misspelt_name_finds_its_setting() {
        for (name, setting) in [
            ("DATABSE_URL", "DATABASE_URL"),
            ("DATABASE_URI", "DATABASE_URL"),
            ("database_url", "DATABASE_URL"),
            ("CORS_ALLOWED_ORIGIN", "CORS_ALLOWED_ORIGINS"),
            ("CORS_ALOWED_ORIGNS", "CORS_ALLOWED_ORIGINS"),
            ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
            ("DB_PASSWORD", "DB_PASS"),
            ("DB_USERNAME", "DB_USER"),
            ("DBPASS", "DB_PASS"),
            ("METRIC_TOKEN", "METRICS_TOKEN"),
            ("MAX_CONECTIONS", "MAX_CONNECTIONS"),
            ("MAX_CONNECTION_PER_ADDRESS", "MAX_CONNECTIONS_PER_ADDRESS"),
            ("PROT", "PORT"),
            ("port", "PORT"),
        ] {
            assert_eq!(meant(name, SETTINGS), Some(setting), "{name}");
        }
    }

    #[test]
    fn variables_of_other_programs_match_no_setting() {
        for name in [
            "PATH",
            "HOME",
            "HOSTNAME",
            "LANG",
            "LOGNAME",
            "PWD",
            "USER",
            "SHELL",
            "TERM",
            "POST",
            "PORTS",
            "HOSTS",
            "LOGS",
            "OAUTH",
            "RUST_LOG",
            "PGPORT",
            "PGHOST",
            "HOSTTYPE",
            "POSTGRES_PASSWORD",
            "NETWORK",
            "DB_PORT_5432_TCP",
            "DB_PORT_5432_TCP_ADDR",
            "DB_SERVICE_HOST",
            "DB_SERVICE_PORT",
            "SSH_AUTH_SOCK",
            "DATABASE_URL",
            "",
        ] {
            assert_eq!(meant(name, SETTINGS), None, "{name}");
        }
        assert_eq!(meant(&"X".repeat(100_000), SETTINGS), None);
    }

    #[test]
    fn values_of_other_programs_are_recognized() {
        for (name, value, words) in [
            ("DB_PORT", "tcp://10.0.0.11:5432", "Kubernetes"),
            ("PORT", "udp://10.0.0.11:5432", "Kubernetes"),
            ("PORT", "8080\r", "carriage return"),
            ("PORT", "\"8080\"", "quotes"),
            ("HOST", "x86_64-conda-linux-gnu", "conda"),
            ("HOST", "arm64-apple-darwin20.0.0", "conda"),
            ("HOST", "carls-laptop.local", "tcsh"),
        ] {
            let hint = looks_like(name, value).unwrap_or_default();
            assert!(hint.contains(words), "{name}={value}: {hint}");
        }
        for (name, value) in [("PORT", "abc"), ("HOST", "1.2.3.4.5"), ("AUTH", "x-linux")] {
            assert_eq!(looks_like(name, value), None, "{name}={value}");
        }
    }
}
