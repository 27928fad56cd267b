//! Commands of the binary other than `serve`. Each command does its work, prints its result and ends.

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
    service::{self, LegacyPasswords},
};
use clap_complete::Shell;
use std::{
    error::Error as _,
    io::{self, Write},
    time::Duration,
};

pub use control::Control;
pub use request::{CommandOutcome, CommandRequest};

/// Number of database connections that a command opens. A command works sequentially, so two are enough.
const CONNECTIONS: u32 = 2;

/// Runs a command. For `Serve` it does nothing: `App` runs the server.
///
/// # Errors
/// Returns a message for the user of the command: the error and its remedy.
pub async fn run(command: &CliCommand, config: &Config) -> Result<(), String> {
    match command {
        CliCommand::Serve => Ok(()),
        CliCommand::Migrate => migrate(config).await,
        CliCommand::Check => check::run(config).await,
        CliCommand::Export(wanted) => backup::export(config, wanted).await,
        CliCommand::Import(archive) => backup::import(config, archive).await,
        CliCommand::NewEpoch => carry_out(config, CommandRequest::NewEpoch).await,
        CliCommand::CreateUser(account) => account::create(config, &account.name).await,
        CliCommand::ResetPassword(account) => account::reset_password(config, &account.name).await,
        CliCommand::MakeAdmin(wanted) => {
            let (chat, user) = (wanted.chat.clone(), wanted.user.clone());
            carry_out(config, CommandRequest::MakeAdmin { chat, user }).await
        }
        CliCommand::Completions { shell } => completions(*shell),
        CliCommand::Man { command } => man(command.as_deref()),
    }
}

/// Prepares the data as a server does before it listens, but without the sample data. A running server on
/// the SQLite file has done so already; it answers the request without work.
async fn migrate(config: &Config) -> Result<(), String> {
    if let Some(socket) = control::running(&config.target()?) {
        return tell(&control::ask(&socket, &CommandRequest::Migrate).await?);
    }
    let database = open_within(config, config.database.db_wait).await?;
    let at_once = config.hashes_at_once();
    let legacy_passwords = LegacyPasswords::new(database.clone(), hasher(config), at_once);
    let work = async {
        legacy_passwords.hash_all().await?;
        service::fill_first_skeletons(&database).await
    };
    let prepared = work.await;
    database.close().await;
    prepared.map_err(|e: Error| format!("cannot prepare the data: {}", cause(&e)))?;
    tell("The tables are up to date.")
}

/// Performs a request and prints its result. If a server has the SQLite file open, that server performs the
/// request, because one process owns the file.
async fn carry_out(config: &Config, request: CommandRequest) -> Result<(), String> {
    if let Some(socket) = control::running(&config.target()?) {
        return tell(&control::ask(&socket, &request).await?);
    }
    let found = database::inspect(&config.target()?).await?;
    if found.tables == Tables::Missing && !matches!(request, CommandRequest::CreateUser { .. }) {
        return Err(format!("{} holds no data", found.place));
    }
    let database = open(config).await?;
    let done = request.perform(&database, &hasher(config)).await;
    database.close().await;
    tell(&done?.said)
}

/// Opens the database as a server does, but without waiting for an unreachable Postgres server.
async fn open(config: &Config) -> Result<Database, String> {
    open_within(config, Duration::ZERO).await
}

/// Opens the database. Waits up to `wait` for a Postgres server that is unreachable or accepts no writes.
async fn open_within(config: &Config, wait: Duration) -> Result<Database, String> {
    Database::open(&config.target()?, CONNECTIONS, wait).await
}

/// Returns a hasher with the password rules of required mode, even if the server runs in open mode.
fn hasher(config: &Config) -> PasswordHasher {
    PasswordHasher::new(config.hashes_at_once(), PasswordRules::Strong)
}

pub(super) fn completions(shell: Shell) -> Result<(), String> {
    // Generated in memory first, because the generator panics if a pipe closes early.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command_line(), "messaging-api", &mut script);
    write(&script)
}

pub(super) fn man(command: Option<&str>) -> Result<(), String> {
    let mut line = command_line();
    line.build();
    let documented = match command {
        None => line,
        Some(name) => line
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| format!("there is no command {name}; --help lists them"))?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(documented)
        .render(&mut page)
        .map_err(|e| format!("cannot write the man page: {e}"))?;
    write(&page)
}

/// Prints a sentence on standard output.
pub(super) fn tell(sentence: &str) -> Result<(), String> {
    write(sentence.as_bytes())?;
    write(b"\n")
}

/// Writes to standard output and flushes it, so that a failed write is an error.
pub(super) fn write(bytes: &[u8]) -> Result<(), String> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|e| format!("cannot write to standard output: {e}"))
}

/// Prints a sentence on standard error, because standard output may hold the data. A failed write is
/// ignored: the exit code still shows the result.
pub(super) fn remark(sentence: &str) {
    let _ = writeln!(io::stderr().lock(), "{sentence}");
}

/// Returns the message of an error for the operator of the server: the message of its cause, or the message
/// that API callers get if the error has no cause.
pub(super) fn cause(error: &Error) -> String {
    match error.source() {
        Some(cause) => sentence(cause),
        None => error.to_string(),
    }
}
