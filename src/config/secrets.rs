//! Secrets from files. A file keeps a secret out of the process list and of the environment.

use super::Config;
use clap::Args;
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Maximum size of a file with a secret, in bytes.
const LARGEST: u64 = 64 * 1024;

/// Files that hold the values of secret settings.
#[derive(Clone, Args)]
pub struct SecretFiles {
    /// File that holds the value of DATABASE_URL; a final newline is ignored. Default: none
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "PATH")]
    pub database_url_file: Option<PathBuf>,

    /// File that holds the value of DB_PASS; a final newline is ignored. Default: none
    #[arg(long, env = "DB_PASS_FILE", value_name = "PATH")]
    pub db_pass_file: Option<PathBuf>,

    /// File that holds the value of NATS_URL, which may contain a password or a token; a final newline is
    /// ignored. Default: none
    #[arg(long, env = "NATS_URL_FILE", value_name = "PATH")]
    pub nats_url_file: Option<PathBuf>,

    /// File that holds the value of METRICS_TOKEN; a final newline is ignored. Default: none
    #[arg(long, env = "METRICS_TOKEN_FILE", value_name = "PATH")]
    pub metrics_token_file: Option<PathBuf>,
}

impl SecretFiles {
    /// Adds the `_FILE` variable and the path to an error about a secret that was read from a file. Other
    /// errors stay unchanged.
    pub(crate) fn renamed(&self, error: String) -> String {
        let files = [
            ("DATABASE_URL", &self.database_url_file),
            ("NATS_URL", &self.nats_url_file),
            ("METRICS_TOKEN", &self.metrics_token_file),
        ];
        let from = |(name, file): (&str, &Option<PathBuf>)| {
            let rest = error.strip_prefix(name)?.strip_prefix(' ')?;
            let file = file.as_ref()?.display();
            Some(format!("{name}_FILE ({file}): {name} {rest}"))
        };
        files.into_iter().find_map(from).unwrap_or(error.clone())
    }
}

impl Config {
    /// Reads the secrets from their files into the settings.
    ///
    /// # Errors
    /// Returns a message that names the setting if its file cannot be read, or if the setting is also given
    /// directly.
    pub(super) fn read_secrets(&mut self) -> Result<(), String> {
        let files = self.secret_files.clone();
        for (name, file, setting) in [
            (
                "DATABASE_URL",
                files.database_url_file,
                &mut self.database.database_url,
            ),
            ("DB_PASS", files.db_pass_file, &mut self.database.db_pass),
            ("NATS_URL", files.nats_url_file, &mut self.nats_url),
            (
                "METRICS_TOKEN",
                files.metrics_token_file,
                &mut self.metrics_token,
            ),
        ] {
            let Some(file) = file else { continue };
            if setting.is_some() {
                return Err(format!(
                    "{name} and {name}_FILE are both set; unset one of them"
                ));
            }
            *setting = Some(read(&file).map_err(|e| {
                format!(
                    "{name}_FILE must be a file with the {name}: {}: {e}",
                    file.display()
                )
            })?);
        }
        Ok(())
    }

    /// Returns a warning for each secret that was given as a flag. `is_flag` returns true for the id of an
    /// argument that was a flag.
    pub(super) fn secret_flags(&self, is_flag: impl Fn(&str) -> bool) -> Vec<String> {
        let url = self.database.database_url.as_deref();
        let nats = self.nats_url.as_deref();
        let secret = [
            (
                "database_url",
                "DATABASE_URL",
                url.is_some_and(has_password),
            ),
            ("db_pass", "DB_PASS", true),
            (
                "nats_url",
                "NATS_URL",
                nats.is_some_and(|url| url.contains('@')),
            ),
            ("metrics_token", "METRICS_TOKEN", true),
        ];
        let flags = secret
            .iter()
            .filter(|(id, _, is_secret)| *is_secret && is_flag(id));
        let remark = |(id, name, _): &(&str, &str, bool)| {
            let flag = id.replace('_', "-");
            format!(
                "--{flag} holds a secret, which every user of this machine can read in the list of \
                 processes: set {name} in the environment instead, or {name}_FILE to a file with it"
            )
        };
        flags.map(remark).collect()
    }
}

/// Returns true if a Postgres URL contains a password.
fn has_password(url: &str) -> bool {
    let Some(("postgres" | "postgresql", place)) = url.trim().split_once("://") else {
        return false;
    };
    let authority = place.split(['/', '?']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.is_some_and(|user| user.contains(':')) || url.contains("password=")
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|e| e.to_string())?;
    let size = file.take(LARGEST + 1).read_to_string(&mut text);
    let size = size.map_err(|e| e.to_string())?;
    if size as u64 > LARGEST {
        return Err(format!("the file has more than {LARGEST} bytes"));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text.is_empty() {
        true => Err("the file is empty".to_owned()),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_detected() {
        for secret in [
            "postgres://me:hunter2@h/n",
            "postgres://me:hunter2@h",
            "postgres://h/n?user=me&password=hunter2",
        ] {
            assert!(has_password(secret), "{secret}");
        }
        for plain in [
            "postgres://me@h:5432/n",
            "sqlite://a:b@c.db/x",
            "postgres:///n",
        ] {
            assert!(!has_password(plain), "{plain}");
        }
    }
}
