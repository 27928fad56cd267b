//! Sessions: authentication of tokens, identity of sockets, and the user's own sessions. Login is in
//! `login`.

use super::janitor::{SessionJanitor, SessionTtl, Used};
use crate::{
    auth::{Caller, LoginThrottle, Mode, PasswordHasher, SessionToken, SignedIn},
    database::{Database, Pools},
    error::{Code, Error},
    hub::Hub,
    model::{Session, SessionId, Timestamp, UserId},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time};

/// The longest wait of a request for a permit to read its token's session.
const TURN_LIMIT: Duration = Duration::from_secs(10);

/// The rules about sessions. Clones share the counters of failed logins.
#[derive(Clone)]
pub struct SessionService {
    mode: Mode,
    pub(super) database: Database,
    /// The connections for tokens.
    priority: Database,
    pub(super) passwords: PasswordHasher,
    pub(super) attempts: LoginThrottle,
    pub(super) hub: Hub,
    pub(super) lifetimes: SessionTtl,
    used: Used,
    /// Permits for reading tokens. After a restart, every client returns within a second: the permits keep
    /// the requests from crowding the connection pool.
    turns: Arc<Semaphore>,
}

/// The identity of a socket.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The caller.
    pub caller: Caller,
    /// The user that the socket acts as.
    pub user: UserId,
    /// The session; null if the user did not sign in.
    pub session: Option<SessionId>,
}

impl SessionService {
    /// Returns the service. It reads tokens over the priority pool, so that slow reads do not delay them.
    #[must_use]
    pub(crate) fn new(
        pools: &Pools,
        mode: Mode,
        passwords: PasswordHasher,
        hub: Hub,
        lifetimes: SessionTtl,
    ) -> Self {
        Self {
            mode,
            database: pools.general.clone(),
            priority: pools.priority.clone(),
            passwords,
            attempts: LoginThrottle::default(),
            hub,
            lifetimes,
            used: Used::default(),
            turns: Arc::new(Semaphore::new(pools.tokens_at_once)),
        }
    }

    /// Ranks a session by use: 2 with an open socket on this server, 1 if used since the uses were last
    /// stored, otherwise 0. A session with a socket on another server ranks by the last stored use, which
    /// that server writes once a period.
    pub(super) fn rank(&self, session: SessionId) -> u8 {
        match () {
            () if self.hub.has_session(session) => 2,
            () if self.used.has(session) => 1,
            () => 0,
        }
    }

    /// Returns the task that keeps sessions, which runs every `period`.
    #[must_use]
    pub fn keeper(&self, period: Duration) -> SessionJanitor {
        SessionJanitor {
            database: self.database.clone(),
            used: self.used.clone(),
            hub: self.hub.clone(),
            lifetimes: self.lifetimes,
            period,
        }
    }

    /// Returns the user and session of a token.
    ///
    /// # Errors
    /// `unauthorized` if the token is unknown or its session has ended; `unavailable` if no permit is free
    /// in time or the database does not answer.
    pub async fn authenticate(&self, token: &str) -> Result<SignedIn, Error> {
        let token = SessionToken::parse(token).ok_or_else(Error::invalid_token)?;
        let turn = time::timeout(TURN_LIMIT, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Error::unavailable());
        };
        let living = self.lifetimes.living(Timestamp::now());
        let found = self.priority.sessions().find(token.hash(), living);
        let (user, session) = found.await?.ok_or_else(Error::invalid_token)?;
        self.used.note(session);
        Ok(SignedIn { user, session })
    }

    /// Returns the caller for a signed-in user, or for an anonymous caller if null.
    ///
    /// # Errors
    /// `unauthorized` without a sign-in if the mode requires one.
    pub fn caller(&self, signed_in: Option<SignedIn>) -> Result<Caller, Error> {
        match signed_in {
            Some(SignedIn { user, .. }) => Ok(self.mode.signed_in(user)),
            None => self.mode.anonymous(),
        }
    }

    /// Returns the identity of a socket: by the session of its HTTP request, by a token, or by the claimed
    /// user if the mode believes it.
    ///
    /// # Errors
    /// `unauthorized` without proof or with a wrong token; `forbidden` if two proofs, or a proof and the
    /// claim, name different users; `invalid_field` without any user.
    pub async fn identify(
        &self,
        opened_by: Option<SignedIn>,
        token: Option<&str>,
        claimed: Option<UserId>,
    ) -> Result<Identity, Error> {
        let shown = match token {
            Some(token) => Some(self.authenticate(token).await?),
            None => None,
        };
        if let (Some(opened_by), Some(shown)) = (opened_by, shown) {
            self.mode
                .signed_in(opened_by.user)
                .acting_as(Some(shown.user))?;
        }
        let signed_in = opened_by.or(shown);
        let caller = self.caller(signed_in)?;
        Ok(Identity {
            caller,
            user: caller.require_user(claimed)?,
            session: signed_in.map(|signed_in| signed_in.session),
        })
    }

    /// Checks that a session is still alive. A socket asks after it is registered, so that an end before
    /// the registration is not missed. Without a session nothing is checked.
    ///
    /// # Errors
    /// `unauthorized` if the session has ended.
    pub async fn ensure_alive(
        &self,
        user: UserId,
        session: Option<SessionId>,
    ) -> Result<(), Error> {
        let Some(session) = session else {
            return Ok(());
        };
        let live = self.list(SignedIn { user, session }).await?;
        match live.iter().any(|listed| listed.current) {
            true => Ok(()),
            false => Err(Error::invalid_token()),
        }
    }

    /// Returns the user's live sessions by id, with the caller's session marked as current.
    pub async fn list(&self, me: SignedIn) -> Result<Vec<Session>, Error> {
        let living = self.lifetimes.living(Timestamp::now());
        let mut sessions = self.database.sessions().list(me.user, living).await?;
        for session in &mut sessions {
            session.current = session.session_id == me.session;
        }
        Ok(sessions)
    }

    /// Ends one of the user's sessions, and closes its sockets.
    ///
    /// # Errors
    /// `session_not_found`.
    pub async fn end(&self, me: SignedIn, session: SessionId) -> Result<(), Error> {
        if !self.database.sessions().end(me.user, session).await? {
            let message = format!("You have no session {session}; GET /session lists them");
            return Err(Error::new(Code::SessionNotFound, message).masked());
        }
        close_ended(&self.hub, me.user, &[session]);
        Ok(())
    }

    /// Ends the user's sessions except the caller's, and closes their sockets.
    pub async fn end_others(&self, me: SignedIn) -> Result<(), Error> {
        let ended = self
            .database
            .sessions()
            .end_others(me.user, me.session)
            .await?;
        close_ended(&self.hub, me.user, &ended);
        Ok(())
    }

    /// Ends the caller's session, and closes its sockets. A session that has already ended is no error.
    pub async fn logout(&self, me: SignedIn) -> Result<(), Error> {
        self.database.sessions().end(me.user, me.session).await?;
        close_ended(&self.hub, me.user, &[me.session]);
        Ok(())
    }
}

/// Closes the sockets of ended sessions on every node, and logs each end.
pub(super) fn close_ended(hub: &Hub, user: UserId, ended: &[SessionId]) {
    for session in ended {
        hub.end_session(*session);
        tracing::info!(user = user.0, session = session.0, "session ended");
    }
}
