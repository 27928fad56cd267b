//! All settings of the server. They are read once at startup from flags, environment variables and
//! `.env`, in this order of precedence. No other module reads the environment.

mod cli;
mod database;
mod database_url;
mod environment;
mod limits;
mod origin;
mod parse;
mod secrets;
mod spelling;

use crate::{database::Target, telemetry::LogFormat};
use clap::{Parser, ValueEnum};
use environment::Environment;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use cli::{Account, Appointment, Archive, CliCommand, Export, command_line};

/// Authentication mode: callers are trusted without signing in, or must sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// Callers act as the user they name, without signing in, as in the original API; for a developer's
    /// own machine.
    Open,
    /// Callers must sign in.
    Required,
}

/// Setting with the values `on` and `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Enabled.
    On,
    /// Disabled.
    Off,
}

/// A chat server that never loses, doubles or reorders an acknowledged message.
///
/// Each setting is a flag, an environment variable, or a line in ./.env. A flag overrides a variable,
/// and a variable overrides a line. An empty variable counts as unset. Without any setting, the server
/// listens on 127.0.0.1:8080 and keeps its data in ./data/messaging.db.
#[derive(Clone, Parser)]
#[command(name = "messaging-api", version)]
pub struct Config {
    /// Address to listen on: an IP address or localhost
    #[arg(long, env = "HOST", default_value = "127.0.0.1", value_parser = parse::host)]
    pub host: IpAddr,

    /// TCP port to listen on, 0 to 65535; 0 selects any free port
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// Database to connect to.
    #[command(flatten)]
    pub database: database::Settings,

    /// URL of the NATS server that links several nodes on one Postgres: nats://HOST:PORT or
    /// tls://HOST:PORT. USER:PASSWORD@ or TOKEN@ stands before the host if NATS requires it. Commas
    /// separate several servers of one NATS cluster. Default: none, the server runs as a single node
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: Option<String>,

    /// File with NATS credentials. Default: none
    #[arg(long, env = "NATS_CREDENTIALS")]
    pub nats_credentials: Option<PathBuf>,

    /// File with the certificate authorities to trust for NATS. Default: the system's authorities
    #[arg(long, env = "NATS_CA")]
    pub nats_ca: Option<PathBuf>,

    /// Capacity of one NATS subscription, in messages; messages beyond it are dropped. For tests
    #[arg(long, hide = true, default_value_t = 4096)]
    pub nats_subscription: usize,

    /// Interval between reconciliations of published heads with the database, in seconds. For tests
    #[arg(long = "compare-seconds", hide = true, default_value = "3",
          value_name = "SECONDS", value_parser = parse::seconds)]
    pub compare: Duration,

    /// Authentication of callers: open or required. Default: open on a loopback address, else required
    #[arg(long, env = "AUTH", value_enum, ignore_case = true)]
    pub auth: Option<Auth>,

    /// Sample users, chats and messages for a database that never held a user or a chat: true or false.
    /// Sample users have no password; messaging-api reset-password sets one. Default: true in open mode
    /// without DATABASE_URL and DB_* settings, else false
    #[arg(long, env = "DEMO_DATA", num_args = 0..=1, default_missing_value = "true")]
    pub demo_data: Option<bool>,

    /// Lifetime of a login, in days, even if the login is in use
    #[arg(long = "session-days", env = "SESSION_DAYS", default_value = "30",
          value_name = "DAYS", value_parser = parse::days)]
    pub session_limit: Duration,

    /// Lifetime of an unused login, in days; a login with an open socket counts as used
    #[arg(long = "session-idle-days", env = "SESSION_IDLE_DAYS", default_value = "7",
          value_name = "DAYS", value_parser = parse::days)]
    pub session_idle_limit: Duration,

    /// Interval, in seconds, at which expired logins are ended and the last use of active logins is stored
    #[arg(long = "session-sweep-seconds", env = "SESSION_SWEEP_SECONDS", default_value = "60",
          value_name = "SECONDS", value_parser = parse::seconds)]
    pub session_sweep: Duration,

    /// Files that hold secrets.
    #[command(flatten)]
    pub secret_files: secrets::SecretFiles,

    /// Rate and size limits of one caller.
    #[command(flatten)]
    pub limits: limits::CallerLimits,

    /// Origins, besides the server's own, from which web pages may use the API, separated by commas.
    /// Each has scheme, host and port exactly as browsers write them (`https://chat.example.com`); apps
    /// may have a scheme of their own (capacitor://localhost). Default: none
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = origin::origin)]
    pub cors_allowed_origins: Vec<String>,

    /// Log level: off, error, warn, info, debug, trace, or a filter such as info,messaging_api=debug
    #[arg(long, env = "LOG", default_value = "info", value_parser = parse::log_filter)]
    pub log: String,

    /// Format of log lines: text or json. Default: text on a terminal, else json
    #[arg(long, env = "LOG_FORMAT", value_enum, ignore_case = true)]
    pub log_format: Option<LogFormat>,

    /// Bearer token that /metrics requires, at least 16 characters without a space. Default: none;
    /// /metrics is then public in open mode and hidden in required mode
    #[arg(long, env = "METRICS_TOKEN", hide_env_values = true)]
    pub metrics_token: Option<String>,

    /// Maximum number of open connections; further connections are refused. A lower limit of open files
    /// lowers the maximum, with a warning
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 50_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// Maximum number of chats that one socket is connected to at once
    #[arg(long, env = "MAX_CHATS_PER_SOCKET", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_chats_per_socket: u32,

    /// Maximum size of a request body, in bytes, from 1024 to 67108864
    #[arg(long, env = "MAX_BODY_BYTES", default_value_t = 256 * 1024,
          value_parser = clap::value_parser!(u32).range(1024..=64 * 1024 * 1024))]
    pub max_body_bytes: u32,

    /// Maximum size of a WebSocket message, in bytes, from 1024 to 16777216
    #[arg(long, env = "MAX_FRAME_BYTES", default_value_t = 64 * 1024,
          value_parser = clap::value_parser!(u32).range(1024..=16 * 1024 * 1024))]
    pub max_frame_bytes: u32,

    /// Memory for answers and replays that are read or sent, in bytes, at least 16777216. If RATE_LIMIT is
    /// on, one caller has an eighth of it
    #[arg(long, env = "ANSWER_MEMORY_BYTES", default_value_t = 64 * 1024 * 1024,
          value_parser = clap::value_parser!(u32).range(16 * 1024 * 1024..))]
    pub answer_memory_bytes: u32,

    /// Time limit of a request, in seconds
    #[arg(long = "request-seconds", env = "REQUEST_SECONDS", default_value = "15",
          value_name = "SECONDS", value_parser = parse::seconds)]
    pub request_limit: Duration,

    /// Time limit, in seconds, for a new connection to send the head of its request, and for a new
    /// socket to connect to a chat
    #[arg(long = "handshake-seconds", env = "HANDSHAKE_SECONDS", default_value = "10",
          value_name = "SECONDS", value_parser = parse::seconds)]
    pub handshake_limit: Duration,

    /// Interval, in seconds, at most 45, at which a socket receives a ping and the heads of its chats. A
    /// socket is closed after two intervals without a pong
    #[arg(long = "ping-seconds", env = "PING_SECONDS", default_value = "30",
          value_name = "SECONDS", value_parser = parse::ping)]
    pub ping_interval: Duration,

    /// Time limit, in seconds, for a socket to accept the data sent to it
    #[arg(long = "write-seconds", env = "WRITE_SECONDS", default_value = "30",
          value_name = "SECONDS", value_parser = parse::seconds)]
    pub write_limit: Duration,

    /// Time, in seconds, that a stopping server waits for its sockets and requests to finish
    #[arg(long = "shutdown-seconds", env = "SHUTDOWN_SECONDS", default_value = "10",
          value_name = "SECONDS", value_parser = parse::seconds)]
    pub shutdown_limit: Duration,

    /// Maximum number of passwords hashed at once, from 1 to 1024; each hash takes 19 MiB and a core.
    /// Default: half the cores, at least 1
    #[arg(long, env = "HASHES_AT_ONCE", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub hashes_at_once: Option<u32>,

    /// Warnings about settings that are valid but may be mistakes, one sentence each. The log and `check`
    /// show them.
    #[arg(skip)]
    pub remarks: Vec<String>,
}

impl Config {
    /// Reads the settings and the command from `.env`, the environment and the command line. Ends the
    /// process with a message if a setting is wrong or the command line asks for help.
    ///
    /// # Errors
    /// Returns a message if `.env` or a file with a secret cannot be read.
    pub fn read() -> Result<(Self, CliCommand), String> {
        let (mut config, command) = cli::parse(&Environment::read()?);
        config.read_secrets()?;
        Ok((config, command))
    }

    /// Returns the address to listen on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// Returns the authentication mode: the setting, or the default for the address.
    #[must_use]
    pub fn auth(&self) -> Auth {
        let by_address = if self.host.is_loopback() {
            Auth::Open
        } else {
            Auth::Required
        };
        self.auth.unwrap_or(by_address)
    }

    /// Returns the database to connect to.
    ///
    /// # Errors
    /// Returns a message if the database settings are wrong.
    pub fn target(&self) -> Result<Target, String> {
        let renamed = |error| self.secret_files.renamed(error);
        self.database.target().map_err(renamed)
    }

    /// Returns true if an empty database is to be filled with sample data.
    #[must_use]
    pub fn demo_data(&self) -> bool {
        let by_default = self.database.is_default() && self.auth() == Auth::Open;
        self.demo_data.unwrap_or(by_default)
    }

    /// Returns true if callers are rate limited. Default: false in open mode on a loopback address, because
    /// all callers are then one developer, else true.
    #[must_use]
    pub fn rate_limit(&self) -> bool {
        let own_machine = self.auth() == Auth::Open && self.host.is_loopback();
        match self.limits.rate_limit {
            Some(said) => said == Switch::On,
            None => !own_machine,
        }
    }

    /// Returns the maximum number of passwords hashed at once.
    #[must_use]
    pub fn hashes_at_once(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.hashes_at_once
            .map_or((cores / 2).max(1), |n| n as usize)
    }
}

/// Minimum length of the metrics token, in bytes. Shorter tokens can be guessed.
const SHORTEST_TOKEN: usize = 16;

impl Config {
    /// Checks that the settings are valid in combination; each setting was checked by its own parser.
    ///
    /// # Errors
    /// Returns a message that says how to correct the settings.
    pub fn check(&self) -> Result<(), String> {
        let renamed = |error| self.secret_files.renamed(error);
        self.check_combinations().map_err(renamed)
    }

    fn check_combinations(&self) -> Result<(), String> {
        if self.nats_url.is_some() && matches!(self.target()?, Target::Sqlite(_)) {
            return Err(
                "NATS_URL links several servers, which must share one Postgres database: set \
                 DATABASE_URL to it, or unset NATS_URL to run a single server on the embedded \
                 database"
                    .to_owned(),
            );
        }
        if self.nats_url.is_none() && (self.nats_credentials.is_some() || self.nats_ca.is_some()) {
            return Err(
                "NATS_CREDENTIALS and NATS_CA require NATS_URL: set NATS_URL, or unset both"
                    .to_owned(),
            );
        }
        let token = self.metrics_token.as_deref();
        if token.is_some_and(|token| token.len() < SHORTEST_TOKEN || token.contains(' ')) {
            return Err(format!(
                "METRICS_TOKEN must be at least {SHORTEST_TOKEN} characters without a space; unset \
                 it to hide the metrics in required mode"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_well_formed() {
        Config::command().debug_assert();
    }

    #[test]
    fn the_example_lists_every_setting() {
        let example = include_str!("../../.env.example");
        for arg in Config::command().get_arguments() {
            let Some(name) = arg.get_env().and_then(|name| name.to_str()) else {
                continue;
            };
            let listed = example.lines().any(|line| {
                line.trim_start_matches(['#', ' '])
                    .starts_with(&format!("{name}="))
            });
            assert!(listed, "{name} is missing in .env.example");
        }
    }
}
