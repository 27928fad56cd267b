//! What the binary does besides serving. Each command does its work, says one sentence, and ends.

mod account;
mod archive;
mod chat;
mod check;
mod control;
mod describe;
mod output_file;
mod request;
mod say;
mod stream;

use crate::{
    auth::{PasswordHasher, PasswordRules},
    config::{Command, Config},
    error::Error,
    repository::{SampleRepository, SkeletonRepository, TakeoverRepository},
    service::{PlainPasswords, Start},
    store::{self, Store, Tables},
};
use say::{cause, tell};
use std::time::Duration;

pub use control::Control;
pub use request::{Outcome, Request};

/// Connections that a command opens: it does one thing after the other.
const CONNECTIONS: u32 = 2;

/// Does what was asked for; serving is not done here, but by `App`.
///
/// # Errors
/// A sentence for whoever asked: what is wrong, and what would be right.
pub async fn run(command: &Command, config: &Config) -> Result<(), String> {
    match command {
        Command::Serve => Ok(()),
        Command::Migrate => migrate(config).await,
        Command::Check => check::run(config).await,
        Command::Export(wanted) => archive::export(config, wanted).await,
        Command::Import(archive) => archive::import(config, archive).await,
        Command::NewEpoch => carry_out(config, Request::NewEpoch).await,
        Command::CreateUser(account) => account::create(config, &account.name).await,
        Command::ResetPassword(account) => account::reset_password(config, &account.name).await,
        Command::MakeAdmin(wanted) => {
            let (chat, user) = (wanted.chat.clone(), wanted.user.clone());
            carry_out(config, Request::MakeAdmin { chat, user }).await
        }
        Command::Completions { shell } => describe::completions(*shell),
        Command::Man { command } => describe::man(command.as_deref()),
    }
}

/// What a server does to the data before it listens, but for the sample.
async fn migrate(config: &Config) -> Result<(), String> {
    if let Some(socket) = control::running(&config.target()?) {
        return tell(&control::ask(&socket, &Request::Migrate).await?);
    }
    let store = open_within(config, config.database.db_wait).await?;
    let plain = PlainPasswords::new(
        TakeoverRepository::new(store.clone()),
        hasher(config),
        config.hashes_at_once(),
    );
    let start = Start::new(
        SampleRepository::new(store.clone()),
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
    let found = store::inspect(&config.target()?).await?;
    if found.tables == Tables::Missing && !matches!(request, Request::CreateUser { .. }) {
        return Err(format!("there is nothing in {}", found.place));
    }
    let store = open(config).await?;
    let done = request.perform(&store, &hasher(config)).await;
    store.close().await;
    tell(&done?.said)
}

/// Opens the store as a server would, but waits for none that is away.
async fn open(config: &Config) -> Result<Store, String> {
    open_within(config, Duration::ZERO).await
}

/// Opens the store; a Postgres that is not there yet is waited for so long.
async fn open_within(config: &Config, wait: Duration) -> Result<Store, String> {
    Store::open(&config.target()?, CONNECTIONS, wait).await
}

/// Passwords that are given here must be as good as where everyone signs in.
fn hasher(config: &Config) -> PasswordHasher {
    PasswordHasher::new(config.hashes_at_once(), PasswordRules::Strong)
}
