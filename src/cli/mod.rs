//! What the binary does besides serving. Each command does its work, says one sentence, and ends.

mod account;
mod backup;
mod chat;
mod check;
mod control;
mod output_file;
mod request;
mod stream;

use super::database;
use crate::{
    auth::{PasswordHasher, PasswordRules},
    config::{CliCommand, Config, command_line},
    database::{Database, Tables},
    error::{Error, sentence},
    repository::{DemoDataRepository, LegacyPasswordRepository, SkeletonRepository},
    service::{LegacyPasswords, Startup},
};
use clap_complete::Shell;
use std::{
    error::Error as _,
    io::{self, Write},
    time::Duration,
};

pub use control::Control;
pub use request::{Outcome, Request};

/// Connections that a command opens: it does one thing after the other.
const CONNECTIONS: u32 = 2;

/// Does what was asked for; serving is not done here, but by `App`.
///
/// # Errors
/// A sentence for whoever asked: what is wrong, and what would be right.
pub async fn run(command: &CliCommand, config: &Config) -> Result<(), String> {
    match command {
        CliCommand::Serve => Ok(()),
        CliCommand::Migrate => migrate(config).await,
        CliCommand::Check => check::run(config).await,
        CliCommand::Export(wanted) => backup::export(config, wanted).await,
        CliCommand::Import(archive) => backup::import(config, archive).await,
        CliCommand::NewEpoch => carry_out(config, Request::NewEpoch).await,
        CliCommand::CreateUser(account) => account::create(config, &account.name).await,
        CliCommand::ResetPassword(account) => account::reset_password(config, &account.name).await,
        CliCommand::MakeAdmin(wanted) => {
            let (chat, user) = (wanted.chat.clone(), wanted.user.clone());
            carry_out(config, Request::MakeAdmin { chat, user }).await
        }
        CliCommand::Completions { shell } => completions(*shell),
        CliCommand::Man { command } => man(command.as_deref()),
    }
}

/// What a server does to the data before it listens, but for the sample.
async fn migrate(config: &Config) -> Result<(), String> {
    if let Some(socket) = control::running(&config.target()?) {
        return tell(&control::ask(&socket, &Request::Migrate).await?);
    }
    let store = open_within(config, config.database.db_wait).await?;
    let plain = LegacyPasswords::new(
        LegacyPasswordRepository::new(store.clone()),
        hasher(config),
        config.hashes_at_once(),
    );
    let start = Startup::new(
        DemoDataRepository::new(store.clone()),
        SkeletonRepository::new(store.clone()),
    );
    let work = async {
        plain.hash_all().await?;
        start.fill_first_skeletons().await
    };
    let prepared = work.await;
    store.close().await;
    prepared.map_err(|e: Error| format!("cannot prepare the data: {}", cause(&e)))?;
    tell("The tables are up to date.")
}

/// Carries a request out, by the server that has the SQLite file open where one has, and says the outcome.
async fn carry_out(config: &Config, request: Request) -> Result<(), String> {
    if let Some(socket) = control::running(&config.target()?) {
        return tell(&control::ask(&socket, &request).await?);
    }
    let found = database::inspect(&config.target()?).await?;
    if found.tables == Tables::Missing && !matches!(request, Request::CreateUser { .. }) {
        return Err(format!("there is nothing in {}", found.place));
    }
    let store = open(config).await?;
    let done = request.perform(&store, &hasher(config)).await;
    store.close().await;
    tell(&done?.said)
}

/// Opens the store as a server would, but waits for none that is away.
async fn open(config: &Config) -> Result<Database, String> {
    open_within(config, Duration::ZERO).await
}

/// Opens the store; a Postgres that is not there yet is waited for so long.
async fn open_within(config: &Config, wait: Duration) -> Result<Database, String> {
    Database::open(&config.target()?, CONNECTIONS, wait).await
}

/// Passwords that are given here must be as good as where everyone signs in.
fn hasher(config: &Config) -> PasswordHasher {
    PasswordHasher::new(config.hashes_at_once(), PasswordRules::Strong)
}

pub(super) fn completions(shell: Shell) -> Result<(), String> {
    // Into memory first: the generator does not survive a pipe that closes early.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command_line(), "messaging-api", &mut script);
    write(&script)
}

pub(super) fn man(command: Option<&str>) -> Result<(), String> {
    let mut line = command_line();
    line.build();
    let told = match command {
        None => line,
        Some(name) => line
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| format!("there is no command {name}; --help lists them"))?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(told)
        .render(&mut page)
        .map_err(|e| format!("cannot write the man page: {e}"))?;
    write(&page)
}

/// Says a sentence on standard output.
pub(super) fn tell(sentence: &str) -> Result<(), String> {
    write(sentence.as_bytes())?;
    write(b"\n")
}

/// Writes to standard output, and sees that it arrives.
pub(super) fn write(bytes: &[u8]) -> Result<(), String> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|e| format!("cannot write to standard output: {e}"))
}

/// Says a sentence on standard error, because standard output may be the data. Where nobody can be
/// told, the exit code still tells.
pub(super) fn remark(sentence: &str) {
    let _ = writeln!(io::stderr().lock(), "{sentence}");
}

/// What went wrong, for whoever runs the server: the cause, where there is one, rather than what a
/// caller would be told.
pub(super) fn cause(error: &Error) -> String {
    match error.source() {
        Some(cause) => sentence(cause),
        None => error.to_string(),
    }
}
