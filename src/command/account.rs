//! Users without the API: the first one of a new server, and who has forgotten their password.

use super::{
    hasher, open,
    say::{cause, tell},
};
use crate::{
    config::Config,
    error::Error,
    model::{Password, SoughtName, Username},
    repository::UserRepository,
};
use std::io::{self, BufRead, IsTerminal, Read};

/// Longest line that is taken for a password; what is too long for one is refused with its reason.
const LONGEST_LINE: u64 = 4096;

pub(super) async fn create(config: &Config, name: &str) -> Result<(), String> {
    let name = Username::parse(name.to_owned()).map_err(|e| cause(&e))?;
    let store = open(config).await?;
    let users = UserRepository::new(store.clone());
    let work = async {
        if users
            .find_by_name(&SoughtName::new(name.as_str()))
            .await
            .map_err(failed)?
            .is_some()
        {
            return Err(format!(
                "The username {name} is taken, or looks like one that is; choose another"
            ));
        }
        let hash = ask_and_hash(config, name.as_str()).await?;
        users.create(&name, &hash).await.map_err(failed)
    };
    let user = work.await;
    store.close().await;
    tell(&format!("{name} is user {}.", user?.customer_id))
}

pub(super) async fn reset_password(config: &Config, name: &str) -> Result<(), String> {
    let store = open(config).await?;
    let users = UserRepository::new(store.clone());
    let work = async {
        let nobody = || format!("nobody is called {name}");
        let user = users
            .find_by_name(&SoughtName::new(name))
            .await
            .map_err(failed)?;
        let user = user.ok_or_else(nobody)?;
        let hash = ask_and_hash(config, &user.username).await?;
        let id = user.customer_id;
        let updated = users.update(id, None, Some(&hash), None).await;
        updated.map_err(failed)?.ok_or_else(nobody)
    };
    let updated = work.await;
    store.close().await;
    let ended = updated?.ended.len();
    tell(&format!(
        "{name} has a new password; sessions that have ended: {ended}."
    ))
}

fn failed(error: Error) -> String {
    cause(&error)
}

/// Asks for a password, twice, without showing it; or takes a line of standard input. Never an
/// argument: those stand in the list of processes and in the shell's history.
async fn ask_and_hash(config: &Config, name: &str) -> Result<String, String> {
    let text = match io::stdin().is_terminal() {
        true => prompt()?,
        false => line()?,
    };
    let password = Password::parse(text).map_err(|e| cause(&e))?;
    let hashed = hasher(config).hash_chosen(password, name).await;
    hashed.map_err(|e| cause(&e))
}

fn prompt() -> Result<String, String> {
    let ask = |question| {
        rpassword::prompt_password(question).map_err(|e| format!("cannot ask for a password: {e}"))
    };
    let password = ask("Password: ")?;
    match ask("The same again: ")? == password {
        true => Ok(password),
        false => Err("the two passwords are not the same; nothing was changed".to_owned()),
    }
}

fn line() -> Result<String, String> {
    let mut text = String::new();
    let read = io::stdin().lock().take(LONGEST_LINE).read_line(&mut text);
    read.map_err(|e| format!("cannot read a password from standard input: {e}"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
