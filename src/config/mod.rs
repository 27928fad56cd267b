//! Every setting: read once at the start, from flags, the environment and `.env`, in that order.
//! Nothing else reads the environment.

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

/// Whether callers are believed or must sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// Everyone is who they say they are, as in the original: for a developer's own machine.
    Open,
    /// Everyone signs in.
    Required,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// A chat server that never loses, doubles or reorders an acknowledged message.
///
/// Every setting is a flag, a variable of the environment, or a line in ./.env; the first of these
/// that names it counts. An empty variable is an unset one. Without any setting, the server listens on 127.0.0.1:8080 and keeps its data in
/// ./data/messaging.db.
#[derive(Clone, Parser)]
#[command(name = "messaging-api", version)]
pub struct Config {
    /// Address to listen on: an IP address or "localhost"
    #[arg(long, env = "HOST", default_value = "127.0.0.1", value_parser = parse::host)]
    pub host: IpAddr,

    /// TCP port to listen on; 0 takes any free one
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// Where the data is.
    #[command(flatten)]
    pub database: database::Settings,

    /// Links the servers of one Postgres: nats://HOST:PORT or tls://HOST:PORT, with USER:PASSWORD@ or
    /// TOKEN@ before the host where NATS asks for them; several servers of one NATS cluster are
    /// separated by commas. Without it this server is alone
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: Option<String>,

    /// File with credentials for NATS
    #[arg(long, env = "NATS_CREDENTIALS")]
    pub nats_credentials: Option<PathBuf>,

    /// File with certificates of authorities that are trusted for NATS instead of the system's
    #[arg(long, env = "NATS_CA")]
    pub nats_ca: Option<PathBuf>,

    /// For tests: how many messages of one subject of NATS may wait before they are dropped
    #[arg(long, hide = true, default_value_t = 4096)]
    pub nats_subscription: usize,

    /// For tests: how often what was told is compared with what is stored, in seconds
    #[arg(long = "compare-seconds", hide = true, default_value = "3",
          value_name = "SECONDS", value_parser = parse::seconds)]
    pub compare: Duration,

    /// Whether callers are believed or must sign in. By default: open on a loopback address,
    /// required on any other
    #[arg(long, env = "AUTH", value_enum, ignore_case = true)]
    pub auth: Option<Auth>,

    /// Fill a database that never held a user or a chat with the sample users, chats and messages (true
    /// or false). By default: true in open mode without DATABASE_URL and DB_* settings, else false. The
    /// sample users have no password: messaging-api reset-password gives them one to sign in with
    #[arg(long, env = "DEMO_DATA", num_args = 0..=1, default_missing_value = "true")]
    pub demo_data: Option<bool>,

    /// How long a login lasts, in days, however much it is used
    #[arg(long = "session-days", env = "SESSION_DAYS", default_value = "30",
          value_name = "DAYS", value_parser = parse::days)]
    pub session_limit: Duration,

    /// How long an unused login lasts, in days; one with an open socket is in use
    #[arg(long = "session-idle-days", env = "SESSION_IDLE_DAYS", default_value = "7",
          value_name = "DAYS", value_parser = parse::days)]
    pub session_idle_limit: Duration,

    /// How often expired logins are ended, and the use of the others is noted, in seconds
    #[arg(long = "session-sweep-seconds", env = "SESSION_SWEEP_SECONDS", default_value = "60",
          value_name = "SECONDS", value_parser = parse::seconds)]
    pub session_sweep: Duration,

    /// Secrets that stand in files.
    #[command(flatten)]
    pub secret_files: secrets::SecretFiles,

    /// How much and how fast.
    #[command(flatten)]
    pub limits: limits::CallerLimits,

    /// Web origins, besides the server's own, whose pages may use the API, separated by commas:
    /// scheme, name and port exactly as browsers write them (`https://chat.example.com`), also those of
    /// apps with a scheme of their own (capacitor://localhost)
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = origin::origin)]
    pub cors_allowed_origins: Vec<String>,

    /// What to log: off, error, warn, info, debug, trace, or a filter such as info,messaging_api=debug
    #[arg(long, env = "LOG", default_value = "info", value_parser = parse::log_filter)]
    pub log: String,

    /// How log lines look. By default: text on a terminal, else json
    #[arg(long, env = "LOG_FORMAT", value_enum, ignore_case = true)]
    pub log_format: Option<LogFormat>,

    /// What /metrics is to be asked with, as a bearer token: at least 16 characters. Without it the
    /// metrics are for everyone in open mode, and for nobody in required mode
    #[arg(long, env = "METRICS_TOKEN", hide_env_values = true)]
    pub metrics_token: Option<String>,

    /// Most connections open at once; more are refused. Lowered with a warning to what the limit of
    /// open files allows
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 50_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// Most chats one socket may be connected to at once
    #[arg(long, env = "MAX_CHATS_PER_SOCKET", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_chats_per_socket: u32,

    /// Largest request body, in bytes
    #[arg(long, env = "MAX_BODY_BYTES", default_value_t = 256 * 1024,
          value_parser = clap::value_parser!(u32).range(1024..=64 * 1024 * 1024))]
    pub max_body_bytes: u32,

    /// Largest WebSocket message, in bytes
    #[arg(long, env = "MAX_FRAME_BYTES", default_value_t = 64 * 1024,
          value_parser = clap::value_parser!(u32).range(1024..=16 * 1024 * 1024))]
    pub max_frame_bytes: u32,

    /// How long a request may take, in seconds
    #[arg(long = "request-seconds", env = "REQUEST_SECONDS", default_value = "15",
          value_name = "SECONDS", value_parser = parse::seconds)]
    pub request_limit: Duration,

    /// How long a new connection may take to send its request's head, and a new socket to connect
    /// to a chat, in seconds
    #[arg(long = "handshake-seconds", env = "HANDSHAKE_SECONDS", default_value = "10",
          value_name = "SECONDS", value_parser = parse::seconds)]
    pub handshake_limit: Duration,

    /// How often a socket is pinged and told the heads of its chats, in seconds, at most 45; it is
    /// closed after twice that without a pong
    #[arg(long = "ping-seconds", env = "PING_SECONDS", default_value = "30",
          value_name = "SECONDS", value_parser = parse::ping)]
    pub ping_interval: Duration,

    /// How long a socket may take to accept what it is sent, in seconds
    #[arg(long = "write-seconds", env = "WRITE_SECONDS", default_value = "30",
          value_name = "SECONDS", value_parser = parse::seconds)]
    pub write_limit: Duration,

    /// How long a stopping server waits for its sockets and requests, in seconds
    #[arg(long = "shutdown-seconds", env = "SHUTDOWN_SECONDS", default_value = "10",
          value_name = "SECONDS", value_parser = parse::seconds)]
    pub shutdown_limit: Duration,

    /// Most passwords hashed at once; each takes 19 MiB and a core. By default: half the cores
    #[arg(long, env = "HASHES_AT_ONCE", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub hashes_at_once: Option<u32>,

    /// What is right and may be a slip all the same: for the log, and for `check`.
    #[arg(skip)]
    pub remarks: Vec<String>,
}

impl Config {
    /// Reads `.env`, the environment and the command line, and what is to be done; ends the process
    /// with a message where they are wrong, or where only help was asked for.
    ///
    /// # Errors
    /// A sentence, where `.env` or a file with a secret cannot be read.
    pub fn read() -> Result<(Self, CliCommand), String> {
        let (mut config, command) = cli::parse(&Environment::read()?);
        config.read_secrets()?;
        Ok((config, command))
    }

    /// The address to listen on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// Open or required, as said or by the address.
    #[must_use]
    pub fn auth(&self) -> Auth {
        let by_address = if self.host.is_loopback() {
            Auth::Open
        } else {
            Auth::Required
        };
        self.auth.unwrap_or(by_address)
    }

    /// Where the data is.
    ///
    /// # Errors
    /// A sentence about what is wrong with the database's settings.
    pub fn target(&self) -> Result<Target, String> {
        let renamed = |error| self.secret_files.renamed(error);
        self.database.target().map_err(renamed)
    }

    /// Whether to fill an empty database with sample data.
    #[must_use]
    pub fn demo_data(&self) -> bool {
        let by_default = self.database.is_default() && self.auth() == Auth::Open;
        self.demo_data.unwrap_or(by_default)
    }

    /// Whether callers are held to a pace: not in open mode on a loopback address, where all of
    /// them are one developer, unless that was said.
    #[must_use]
    pub fn rate_limit(&self) -> bool {
        let own_machine = self.auth() == Auth::Open && self.host.is_loopback();
        match self.limits.rate_limit {
            Some(said) => said == Switch::On,
            None => !own_machine,
        }
    }

    /// Most passwords hashed at once.
    #[must_use]
    pub fn hashes_at_once(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.hashes_at_once
            .map_or((cores / 2).max(1), |n| n as usize)
    }
}

/// Shortest token for the metrics: shorter ones are guessed.
const SHORTEST_TOKEN: usize = 16;

impl Config {
    /// Refuses what each setting allows and all together do not.
    ///
    /// # Errors
    /// A sentence that says what would be right.
    pub fn check(&self) -> Result<(), String> {
        let renamed = |error| self.secret_files.renamed(error);
        self.check_together().map_err(renamed)
    }

    fn check_together(&self) -> Result<(), String> {
        if self.nats_url.is_some() && matches!(self.target()?, Target::Sqlite(_)) {
            return Err(
                "NATS_URL links several servers, which must share one Postgres: name it in \
                 DATABASE_URL, or leave NATS_URL out to run one server on the embedded database"
                    .to_owned(),
            );
        }
        if self.nats_url.is_none() && (self.nats_credentials.is_some() || self.nats_ca.is_some()) {
            return Err(
                "NATS_CREDENTIALS and NATS_CA say how to reach NATS: name it in NATS_URL, or leave \
                 them out"
                    .to_owned(),
            );
        }
        let token = self.metrics_token.as_deref();
        if token.is_some_and(|token| token.len() < SHORTEST_TOKEN || token.contains(' ')) {
            return Err(format!(
                "METRICS_TOKEN must be at least {SHORTEST_TOKEN} characters without a space; \
                 leave it out to show the metrics to nobody in required mode"
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
    fn every_setting_stands_in_the_example() {
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
