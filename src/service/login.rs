//! Signing in: a password for a token.

use super::session::{SessionService, close_ended};
use crate::{
    auth::{Proof, SessionToken},
    error::{Code, Error},
    model::{Password, Session, SoughtName, User},
    repository::{Begun, NewSession},
};
use std::net::IpAddr;
use tokio::time;

/// Where a login comes from.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// What it calls itself.
    pub user_agent: Option<String>,
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
    /// `unauthorized`; `rate_limited` after too many failures; `unavailable` where too many sign in
    /// at once.
    pub async fn login(
        &self,
        name: SoughtName,
        password: Password,
        client: Client,
    ) -> Result<Login, Error> {
        // All forms of a name are one account to guess at.
        let attempt = self.attempts.begin(name.composed(), client.address);
        let attempt = attempt.map_err(|wait| {
            Error::rate_limited("Too many failed logins; wait before the next one", wait)
        })?;
        time::sleep(attempt.delay).await;
        match self.prove(&name, password, client).await {
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
        password: Password,
        client: Client,
    ) -> Result<Login, Error> {
        let credentials = self.users.credentials(name).await?;
        let stored = credentials.as_ref().map(|c| c.password.clone());
        let proof = self.passwords.verify(password, stored).await?;
        // A name that nobody has is not logged: it may be a mistyped password.
        let user = credentials.as_ref().map(|c| c.user.customer_id.0);
        let (Some(credentials), Proof::Right { rehashed }) = (credentials, proof) else {
            tracing::info!(user, "login failed");
            return Err(wrong());
        };
        let token = SessionToken::generate()?;
        let now = self.sessions.now().await?;
        let new = NewSession {
            user: credentials.user.customer_id,
            proved: credentials.password,
            rehashed,
            token_hash: token.hash(),
            created_at: now,
            expires_at: now.after(self.lifetimes.absolute),
            user_agent: client.user_agent,
        };
        let begun = self
            .sessions
            .begin(&new, |session| self.rank(session))
            .await?;
        let Begun { session, ended } = begun.ok_or_else(wrong)?;
        close_ended(&self.hub, new.user, &ended);
        Ok(Login {
            token,
            session,
            user: credentials.user,
        })
    }
}

/// The same for a wrong name and a wrong password.
fn wrong() -> Error {
    let message = "The username or the password is wrong";
    Error::new(Code::Unauthorized, message)
}
