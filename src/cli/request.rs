//! Commands that change the database, as serializable requests. A request is performed by the command itself
//! or, through the control socket, by a running server.

use super::{cause, chat::make_admin};
use crate::{
    auth::PasswordHasher,
    database::Database,
    error::Error,
    model::{ChatId, Password, SessionId, SoughtName, User, UserId, Username},
};
use serde::{Deserialize, Serialize};

/// Request of a command. It has no `Debug`, because it may hold a password.
#[derive(Clone, Deserialize, Serialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum CommandRequest {
    /// Creates a user.
    CreateUser {
        /// Name as typed, unchecked.
        name: String,
        /// Password as typed, unchecked.
        password: String,
    },
    /// Sets a new password for a user and ends the user's sessions.
    ResetPassword {
        /// Name as typed, unchecked.
        name: String,
        /// Password as typed, unchecked.
        password: String,
    },
    /// Starts a new epoch of the log.
    NewEpoch,
    /// Makes a user an admin of a chat.
    MakeAdmin {
        /// Id of the chat as typed, unchecked.
        chat: String,
        /// Name or id of the user as typed, unchecked.
        user: String,
    },
    /// Updates the tables. No work is left: an open database is up to date.
    Migrate,
}

/// Result of a request that succeeded.
#[derive(Debug)]
pub struct CommandOutcome {
    /// Sentence about the result, for the user of the command.
    pub said: String,
    /// User that was created or changed; `None` if the request concerns no user.
    pub user: Option<UserId>,
    /// Chat that was changed; `None` if the request concerns no chat.
    pub chat: Option<ChatId>,
    /// Sessions that ended, with their users. The server closes the sockets of these sessions.
    pub ended: Vec<(UserId, SessionId)>,
}

impl CommandRequest {
    /// Returns the name of the command as it is typed.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateUser { .. } => "create-user",
            Self::ResetPassword { .. } => "reset-password",
            Self::NewEpoch => "new-epoch",
            Self::MakeAdmin { .. } => "make-admin",
            Self::Migrate => "migrate",
        }
    }

    /// Performs the request on an open database with up-to-date tables.
    ///
    /// # Errors
    /// Returns a message for the user of the command: the error and its remedy.
    pub async fn perform(
        self,
        database: &Database,
        passwords: &PasswordHasher,
    ) -> Result<CommandOutcome, String> {
        match self {
            Self::CreateUser { name, password } => {
                create(database, passwords, name, password).await
            }
            Self::ResetPassword { name, password } => {
                reset_password(database, passwords, &name, password).await
            }
            Self::NewEpoch => begin_epoch(database).await,
            Self::MakeAdmin { chat, user } => make_admin(database, &chat, &user).await,
            Self::Migrate => Ok(said("The tables are up to date.".to_owned())),
        }
    }
}

pub(super) fn said(sentence: String) -> CommandOutcome {
    CommandOutcome {
        said: sentence,
        user: None,
        chat: None,
        ended: Vec::new(),
    }
}

async fn create(
    database: &Database,
    passwords: &PasswordHasher,
    name: String,
    password: String,
) -> Result<CommandOutcome, String> {
    let name = Username::parse(name).map_err(failed)?;
    if find(database, name.as_str()).await?.is_some() {
        return Err(format!(
            "The username {name} is taken, or looks like a name that is taken; choose another"
        ));
    }
    let hash = hash(passwords, password, name.as_str()).await?;
    let user = database
        .users()
        .create(&name, &hash)
        .await
        .map_err(failed)?;
    Ok(CommandOutcome {
        user: Some(user.customer_id),
        ..said(format!("{name} is user {}.", user.customer_id))
    })
}

async fn reset_password(
    database: &Database,
    passwords: &PasswordHasher,
    name: &str,
    password: String,
) -> Result<CommandOutcome, String> {
    let unknown = || format!("no user has the name {name}");
    let user = find(database, name).await?.ok_or_else(unknown)?;
    let hash = hash(passwords, password, &user.username).await?;
    let id = user.customer_id;
    let updated = database.users().update(id, None, Some(&hash), None).await;
    let ended = updated.map_err(failed)?.ok_or_else(unknown)?.ended;
    let sentence = format!(
        "{name} has a new password; number of ended sessions: {}.",
        ended.len()
    );
    Ok(CommandOutcome {
        user: Some(id),
        ended: ended.into_iter().map(|session| (id, session)).collect(),
        ..said(sentence)
    })
}

async fn begin_epoch(database: &Database) -> Result<CommandOutcome, String> {
    let epochs = database.epoch();
    let old = epochs.read().await.map_err(failed)?;
    let begun = epochs.renew(&old.epoch, old.mark).await;
    begun.map_err(|e| format!("cannot begin a new epoch: {}", cause(&e)))?;
    let sentence = "The log has a new epoch: clients load their chats again.";
    Ok(said(sentence.to_owned()))
}

async fn find(database: &Database, name: &str) -> Result<Option<User>, String> {
    let found = database.users().find_by_name(&SoughtName::new(name)).await;
    found.map_err(failed)
}

async fn hash(passwords: &PasswordHasher, password: String, name: &str) -> Result<String, String> {
    let password = Password::parse(password).map_err(failed)?;
    passwords.hash_chosen(password, name).await.map_err(failed)
}

fn failed(error: Error) -> String {
    cause(&error)
}
