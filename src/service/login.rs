//! Signing in: a password for a token.

use super::session::{SessionService, close_ended};
use crate::{
    auth::{SessionToken, Verification},
    error::{Code, Error},
    model::{Password, Session, SoughtName, User},
    repository::{Begun, NewSession},
};
use std::net::IpAddr;
use tokio::time;

/// How often a password is proved where the stored hash changes meanwhile: another login, or the work
/// behind the start, may just have put a better one in its place.
const ATTEMPTS: usize = 3;

/// Where a login comes from.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// What it calls itself.
    pub user_agent: Option<String>,
}

/// What somebody signs in with.
#[derive(Clone, Debug)]
pub struct Proofs {
    /// The password.
    pub password: Password,
    /// The one to have from here on, where it is to be changed.
    pub new_password: Option<Password>,
}

/// A login that succeeded.
#[derive(Debug)]
pub struct Login {
    /// What to prove oneself with from here on.
    pub token: SessionToken,
    /// The session it stands for.
    pub session: Session,
    /// Who signed in.
    pub user: User,
}

impl SessionService {
    /// Signs a user in, with a new token each time. A wrong name and a wrong password take the same
    /// time and are answered the same.
    ///
    /// # Errors
    /// `unauthorized`; `password_change_required` where the password is right, weaker than one may
    /// choose, and no new one is given; `invalid_field` where the new one is too; `rate_limited` after
    /// too many failures; `unavailable` where too many sign in at once.
    pub async fn login(
        &self,
        name: SoughtName,
        proofs: Proofs,
        client: Client,
    ) -> Result<Login, Error> {
        // All forms of a name are one account to guess at.
        let attempt = self.attempts.begin(name.composed(), client.address);
        let attempt = attempt.map_err(|wait| {
            Error::rate_limited("Too many failed logins; wait before the next one", wait)
        })?;
        time::sleep(attempt.delay).await;
        match self.prove(&name, proofs, client).await {
            Ok(login) => {
                attempt.succeeded();
                let (user, session) = (login.user.customer_id, login.session.session_id);
                tracing::info!(user = user.0, session = session.0, "login");
                Ok(login)
            }
            Err(error) => {
                if error.code() != Code::Unauthorized {
                    attempt.undecided();
                }
                Err(error)
            }
        }
    }

    async fn prove(
        &self,
        name: &SoughtName,
        proofs: Proofs,
        client: Client,
    ) -> Result<Login, Error> {
        for _ in 0..ATTEMPTS {
            let login = self.try_to_prove(name, proofs.clone(), &client).await?;
            if let Some(login) = login {
                return Ok(login);
            }
        }
        Err(wrong())
    }

    /// None where the stored hash was replaced meanwhile.
    async fn try_to_prove(
        &self,
        name: &SoughtName,
        proofs: Proofs,
        client: &Client,
    ) -> Result<Option<Login>, Error> {
        let Proofs {
            password,
            new_password,
        } = proofs;
        let credentials = self.users.credentials(name).await?;
        let stored = credentials.as_ref().map(|c| c.password.clone());
        let username = credentials.as_ref().map(|c| c.user.username.clone());
        let username = username.unwrap_or_default();
        let proof = self
            .passwords
            .verify(password, stored, username.clone())
            .await?;
        // A name that nobody has is not logged: it may be a mistyped password.
        let user = credentials.as_ref().map(|c| c.user.customer_id.0);
        let (
            Some(credentials),
            Verification::Right {
                rehashed,
                keeps_rules,
            },
        ) = (credentials, proof)
        else {
            tracing::info!(user, "login failed");
            return Err(wrong());
        };
        let chosen = match new_password {
            Some(new) => Some(self.choose(new, &username).await?),
            None if keeps_rules => None,
            None => return Err(Error::password_change_required()),
        };
        let token = SessionToken::generate()?;
        let now = self.sessions.now().await?;
        let new = NewSession {
            user: credentials.user.customer_id,
            proved: credentials.password,
            alone: chosen.is_some(),
            rehashed: chosen.or(rehashed),
            token_hash: token.hash(),
            created_at: now,
            expires_at: now.after(self.lifetimes.absolute),
            user_agent: client.user_agent.clone(),
        };
        let begun = self
            .sessions
            .begin(&new, |session| self.rank(session))
            .await?;
        let Some(Begun { session, ended }) = begun else {
            return Ok(None);
        };
        if new.alone {
            tracing::info!(user, "password changed");
        }
        close_ended(&self.hub, new.user, &ended);
        Ok(Some(Login {
            token,
            session,
            user: credentials.user,
        }))
    }

    /// The hash of a password that a user chooses while signing in.
    async fn choose(&self, password: Password, username: &str) -> Result<String, Error> {
        let hash = self.passwords.hash_chosen(password, username).await;
        hash.map_err(of_new_password)
    }
}

/// What is wrong with a new password, named as the login has it.
pub(crate) fn of_new_password(error: Error) -> Error {
    match (error.code(), error.message().strip_prefix("password")) {
        (Code::InvalidField, Some(rest)) => {
            Error::new(Code::InvalidField, format!("newPassword{rest}"))
        }
        _ => error,
    }
}

/// The same for a wrong name and a wrong password.
fn wrong() -> Error {
    let message = "The username or the password is wrong";
    Error::new(Code::Unauthorized, message)
}
