//! Login: exchange of a password for a session token.

use super::session::{SessionService, close_ended};
use crate::{
    auth::{SessionToken, Verification},
    error::{Code, Error},
    model::{Password, Session, SoughtName, User},
    repository::{Begun, NewSession, StoredCredentials},
};
use std::net::IpAddr;
use tokio::time;

/// The most attempts of one login. The stored hash may be replaced meanwhile by a concurrent login or the
/// background migration of passwords, so the login retries.
const ATTEMPTS: usize = 3;

/// The origin of a login.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client's address.
    pub address: IpAddr,
    /// The User-Agent header; null without one.
    pub user_agent: Option<String>,
}

/// The credentials of a login.
#[derive(Clone, Debug)]
pub struct Proofs {
    /// The password.
    pub password: Password,
    /// The new password; null keeps the password.
    pub new_password: Option<Password>,
}

/// A successful login.
#[derive(Debug)]
pub struct Login {
    /// The token, which authenticates later requests.
    pub token: SessionToken,
    /// The new session.
    pub session: Session,
    /// The user.
    pub user: User,
}

impl SessionService {
    /// Signs a user in with a new session and token. A wrong name and a wrong password take equal time and
    /// get an equal answer.
    ///
    /// # Errors
    /// `unauthorized`; `password_change_required` if the password is right but breaks the present rules,
    /// and no new password is given; `invalid_field` if the new password breaks the rules; `rate_limited`
    /// after too many failures; `unavailable` if too many logins run at once or the database does not
    /// answer.
    pub async fn login(
        &self,
        name: SoughtName,
        proofs: Proofs,
        client: Client,
    ) -> Result<Login, Error> {
        // All Unicode forms of a name count as one account in the login throttle.
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

    /// Verifies the password once. Returns null if the stored hash was replaced during the attempt.
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
        let credentials = self.database.users().credentials(name).await?;
        let stored = credentials.as_ref().map(|c| c.password.clone());
        let username = credentials.as_ref().map(|c| c.user.username.clone());
        let username = username.unwrap_or_default();
        let proof = self
            .passwords
            .verify(password, stored, username.clone())
            .await?;
        // A name without a user is not logged, because it may be a mistyped password.
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
        self.begin_session(credentials, (chosen, rehashed), client)
            .await
    }

    /// Begins a session of a user who proved the password. Stores the chosen password if there is one, or
    /// else the new hash of the old one. Returns null if the stored hash was replaced meanwhile.
    async fn begin_session(
        &self,
        credentials: StoredCredentials,
        (chosen, rehashed): (Option<String>, Option<String>),
        client: &Client,
    ) -> Result<Option<Login>, Error> {
        let token = SessionToken::generate()?;
        let sessions = self.database.sessions();
        let now = sessions.now().await?;
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
        let begun = sessions.begin(&new, |session| self.rank(session));
        let Some(Begun { session, ended }) = begun.await? else {
            return Ok(None);
        };
        if new.alone {
            tracing::info!(user = new.user.0, "password changed");
        }
        close_ended(&self.hub, new.user, &ended);
        Ok(Some(Login {
            token,
            session,
            user: credentials.user,
        }))
    }

    /// Hashes a new password chosen during login.
    async fn choose(&self, password: Password, username: &str) -> Result<String, Error> {
        let hash = self.passwords.hash_chosen(password, username).await;
        hash.map_err(of_new_password)
    }
}

/// Rewrites an error about `password` to name the field `newPassword` of the login.
pub(crate) fn of_new_password(error: Error) -> Error {
    match (error.code(), error.message().strip_prefix("password")) {
        (Code::InvalidField, Some(rest)) => {
            Error::new(Code::InvalidField, format!("newPassword{rest}"))
        }
        _ => error,
    }
}

/// The one answer to a wrong name and to a wrong password.
fn wrong() -> Error {
    let message = "The username or the password is wrong";
    Error::new(Code::Unauthorized, message)
}
