//! Settings that select the database: one URL, the six `DB_*` variables of the original API, or the
//! embedded default.

use super::{database_url, parse};
use crate::database::{PgConnectOptions, Target};
use clap::Args;
use sqlx::postgres::PgSslMode;
use std::{path::PathBuf, time::Duration};

/// Path of the embedded database if no setting selects another one.
const DEFAULT_FILE: &str = "data/messaging.db";

/// Settings of the database.
#[derive(Clone, Args)]
pub struct Settings {
    /// URL of the database: postgres://USER:PASSWORD@HOST:PORT/NAME or sqlite://PATH. Default: the DB_*
    /// settings if any is given, else sqlite://data/messaging.db
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// Host of a Postgres server
    #[arg(long, env = "DB_HOST")]
    pub db_host: Option<String>,

    /// TCP port of the Postgres server. Default: 5432
    #[arg(long, env = "DB_PORT")]
    pub db_port: Option<u16>,

    /// User on the Postgres server
    #[arg(long, env = "DB_USER")]
    pub db_user: Option<String>,

    /// Password on the Postgres server
    #[arg(long, env = "DB_PASS", hide_env_values = true)]
    pub db_pass: Option<String>,

    /// Name of the database on the Postgres server
    #[arg(long, env = "DB_NAME")]
    pub db_name: Option<String>,

    /// TLS mode of connections to the Postgres server: disable, allow, prefer, require, verify-ca or
    /// verify-full. Default: prefer
    #[arg(long, env = "DB_SSLMODE")]
    pub db_sslmode: Option<String>,

    /// Maximum number of connections to the database, from 2 to 1000
    #[arg(long, env = "DB_CONNECTIONS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub db_connections: u32,

    /// Time, in seconds, that a starting server waits for a Postgres server that is unreachable or accepts
    /// no writes; 0 means no wait
    #[arg(long = "db-wait-seconds", env = "DB_WAIT_SECONDS", default_value = "60",
          value_name = "SECONDS", value_parser = parse::wait)]
    pub db_wait: Duration,
}

impl Settings {
    /// Returns true if no setting selects a database, so that the embedded default is used.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.url().is_none() && !self.names_parts()
    }

    /// Returns the names of the parameters of DATABASE_URL that are unknown and ignored.
    #[must_use]
    pub fn ignored(&self) -> Vec<String> {
        let read = self.url().map(database_url::read).and_then(Result::ok);
        read.map_or(Vec::new(), |read| read.ignored)
    }

    /// Returns DATABASE_URL, or `None` if it is unset or blank.
    fn url(&self) -> Option<&str> {
        let url = self.database_url.as_deref();
        url.filter(|url| !url.trim().is_empty())
    }

    fn names_parts(&self) -> bool {
        let texts = [
            &self.db_host,
            &self.db_user,
            &self.db_pass,
            &self.db_name,
            &self.db_sslmode,
        ];
        self.db_port.is_some() || texts.iter().any(|text| text.is_some())
    }

    pub(super) fn target(&self) -> Result<Target, String> {
        match self.url() {
            Some(text) => database_url::read(text).map(|read| read.target),
            None if self.names_parts() => self.parts(),
            None => Ok(Target::Sqlite(PathBuf::from(DEFAULT_FILE))),
        }
    }

    fn parts(&self) -> Result<Target, String> {
        let needed = |value: &Option<String>, name: &str| {
            let missing = format!("{name} is missing: the other DB_* settings require it");
            value
                .clone()
                .filter(|value| !value.is_empty())
                .ok_or(missing)
        };
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(database_url::without_brackets(
                needed(&self.db_host, "DB_HOST")?.trim(),
            ))
            .port(self.db_port.unwrap_or(5432))
            .username(&needed(&self.db_user, "DB_USER")?)
            .database(&needed(&self.db_name, "DB_NAME")?)
            .ssl_mode(ssl_mode(self.db_sslmode.as_deref().unwrap_or("prefer"))?);
        if let Some(password) = &self.db_pass {
            options = options.password(password);
        }
        Ok(Target::Postgres(Box::new(options)))
    }
}

fn ssl_mode(text: &str) -> Result<PgSslMode, String> {
    text.parse().map_err(|_| {
        "DB_SSLMODE must be disable, allow, prefer, require, verify-ca or verify-full".to_owned()
    })
}
