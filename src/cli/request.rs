//! Commands that change the store, in a form that a running server takes too.

use super::{cause, chat::make_admin};
use crate::{
    auth::PasswordHasher,
    database::Database,
    error::Error,
    model::{ChatId, Password, SessionId, SoughtName, User, UserId, Username},
    repository::{EpochRepository, UserRepository},
};
use serde::{Deserialize, Serialize};

/// What a command asks for. It holds a password, so that it has no `Debug`.
#[derive(Clone, Deserialize, Serialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// Makes a user.
    CreateUser {
        /// The name, as it was typed.
        name: String,
        /// The password, as it was typed.
        password: String,
    },
    /// Gives a user another password, and ends their sessions.
    ResetPassword {
        /// The name, as it was typed.
        name: String,
        /// The password, as it was typed.
        password: String,
    },
    /// Begins another epoch of the log.
    NewEpoch,
    /// Makes a user an admin of a chat.
    MakeAdmin {
        /// The chat's id, as it was typed.
        chat: String,
        /// The user's name or id, as it was typed.
        user: String,
    },
    /// Brings the tables up to date: a server that runs has done so.
    Migrate,
}

/// What a command has done.
#[derive(Debug)]
pub struct Outcome {
    /// A sentence for the person who asked.
    pub said: String,
    /// The user that was made or changed.
    pub user: Option<UserId>,
    /// The chat that was changed.
    pub chat: Option<ChatId>,
    /// The sessions that ended, with their users: their sockets are to be closed.
    pub ended: Vec<(UserId, SessionId)>,
}

impl Request {
    /// The name of the command, as it is typed.
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

    /// Does what is asked for, on a store that is open and up to date.
    ///
    /// # Errors
    /// A sentence for the person who asked: what is wrong, and what would be right.
    pub async fn perform(
        self,
        store: &Database,
        passwords: &PasswordHasher,
    ) -> Result<Outcome, String> {
        let users = UserRepository::new(store.clone());
        match self {
            Self::CreateUser { name, password } => create(&users, passwords, name, password).await,
            Self::ResetPassword { name, password } => {
                reset_password(&users, passwords, &name, password).await
            }
            Self::NewEpoch => begin_epoch(store).await,
            Self::MakeAdmin { chat, user } => make_admin(store, &chat, &user).await,
            Self::Migrate => Ok(said("The tables are up to date.".to_owned())),
        }
    }
}

pub(super) fn said(sentence: String) -> Outcome {
    Outcome {
        said: sentence,
        user: None,
        chat: None,
        ended: Vec::new(),
    }
}

async fn create(
    users: &UserRepository,
    passwords: &PasswordHasher,
    name: String,
    password: String,
) -> Result<Outcome, String> {
    let name = Username::parse(name).map_err(failed)?;
    if find(users, name.as_str()).await?.is_some() {
        return Err(format!(
            "The username {name} is taken, or looks like one that is; choose another"
        ));
    }
    let hash = hash(passwords, password, name.as_str()).await?;
    let user = users.create(&name, &hash).await.map_err(failed)?;
    Ok(Outcome {
        user: Some(user.customer_id),
        ..said(format!("{name} is user {}.", user.customer_id))
    })
}

async fn reset_password(
    users: &UserRepository,
    passwords: &PasswordHasher,
    name: &str,
    password: String,
) -> Result<Outcome, String> {
    let unknown = || format!("nobody is called {name}");
    let user = find(users, name).await?.ok_or_else(unknown)?;
    let hash = hash(passwords, password, &user.username).await?;
    let id = user.customer_id;
    let updated = users.update(id, None, Some(&hash), None).await;
    let ended = updated.map_err(failed)?.ok_or_else(unknown)?.ended;
    let sentence = format!(
        "{name} has a new password; sessions that have ended: {}.",
        ended.len()
    );
    Ok(Outcome {
        user: Some(id),
        ended: ended.into_iter().map(|session| (id, session)).collect(),
        ..said(sentence)
    })
}

async fn begin_epoch(store: &Database) -> Result<Outcome, String> {
    let epochs = EpochRepository::new(store.clone());
    let old = epochs.read().await.map_err(failed)?;
    let begun = epochs.renew(&old.epoch, old.mark).await;
    begun.map_err(|e| format!("no epoch was begun: {}", cause(&e)))?;
    let sentence = "The log has begun another epoch: clients load their chats again.";
    Ok(said(sentence.to_owned()))
}

async fn find(users: &UserRepository, name: &str) -> Result<Option<User>, String> {
    let found = users.find_by_name(&SoughtName::new(name)).await;
    found.map_err(failed)
}

async fn hash(passwords: &PasswordHasher, password: String, name: &str) -> Result<String, String> {
    let password = Password::parse(password).map_err(failed)?;
    passwords.hash_chosen(password, name).await.map_err(failed)
}

fn failed(error: Error) -> String {
    cause(&error)
}
