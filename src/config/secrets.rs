//! Secrets from files, which neither the list of processes nor the environment shows.

use super::Config;
use clap::Args;
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Largest file that is read for a secret, in bytes.
const LARGEST: u64 = 64 * 1024;

/// The files.
#[derive(Clone, Args)]
pub struct SecretFiles {
    /// File with the DATABASE_URL, in its place; a newline at its end is left out
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "PATH")]
    pub database_url_file: Option<PathBuf>,

    /// File with the DB_PASS, in its place
    #[arg(long, env = "DB_PASS_FILE", value_name = "PATH")]
    pub db_pass_file: Option<PathBuf>,

    /// File with the NATS_URL, in its place: that URL may hold a password or a token
    #[arg(long, env = "NATS_URL_FILE", value_name = "PATH")]
    pub nats_url_file: Option<PathBuf>,

    /// File with the METRICS_TOKEN, in its place
    #[arg(long, env = "METRICS_TOKEN_FILE", value_name = "PATH")]
    pub metrics_token_file: Option<PathBuf>,
}

impl SecretFiles {
    /// An error about a secret, with the name of the variable and the file that it came from.
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
    /// Reads the secrets that stand in files.
    ///
    /// # Errors
    /// A sentence that names the setting, where its file cannot be read or it is given twice.
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
                    "{name} and {name}_FILE are both given; leave one of them out"
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

    /// Names the secrets among the settings that came as flags.
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

/// Whether a database's URL names a password.
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
        return Err(format!("it has over {LARGEST} bytes"));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text.is_empty() {
        true => Err("it is empty".to_owned()),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_seen() {
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
