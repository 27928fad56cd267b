//! Commands that create a user or reset a password without the API: for the first user of a new server, and
//! for a forgotten password.

use super::{carry_out, cause, request::CommandRequest};
use crate::{
    config::Config,
    model::{Password, Username},
};
use std::io::{self, BufRead, IsTerminal, Read};

/// Maximum length, in bytes, of the line that is read as a password. It exceeds the longest password, so
/// that a longer password gets the error with its reason.
const LONGEST_LINE: u64 = 4096;

pub(super) async fn create(config: &Config, name: &str) -> Result<(), String> {
    // Checked before the password prompt.
    let name = Username::parse(name.to_owned()).map_err(|e| cause(&e))?;
    let request = CommandRequest::CreateUser {
        name: name.to_string(),
        password: password()?,
    };
    carry_out(config, request).await
}

pub(super) async fn reset_password(config: &Config, name: &str) -> Result<(), String> {
    let request = CommandRequest::ResetPassword {
        name: name.to_owned(),
        password: password()?,
    };
    carry_out(config, request).await
}

/// Prompts for a password twice without showing it. Reads one line of standard input if standard input is no
/// terminal. A password is never an argument: arguments appear in the process list and in the shell history.
fn password() -> Result<String, String> {
    let text = match io::stdin().is_terminal() {
        true => prompt()?,
        false => line()?,
    };
    Password::parse(text.clone()).map_err(|e| cause(&e))?;
    Ok(text)
}

fn prompt() -> Result<String, String> {
    let ask = |question| {
        rpassword::prompt_password(question).map_err(|e| format!("cannot ask for a password: {e}"))
    };
    let password = ask("Password: ")?;
    match ask("Repeat the password: ")? == password {
        true => Ok(password),
        false => Err("the two passwords differ; nothing was changed".to_owned()),
    }
}

fn line() -> Result<String, String> {
    let mut text = String::new();
    let read = io::stdin().lock().take(LONGEST_LINE).read_line(&mut text);
    read.map_err(|e| format!("cannot read a password from standard input: {e}"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
