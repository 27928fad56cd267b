//! Who is signed in: what a token stands for, one's own sessions, and their ends.

use super::janitor::{SessionJanitor, SessionTtl, Used};
use crate::{
    auth::{Caller, LoginThrottle, Mode, PasswordHasher, SessionToken, SignedIn},
    error::{Code, Error},
    hub::Hub,
    model::{Session, SessionId, Timestamp, UserId},
    repository::{SessionRepository, UserRepository},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time};

/// How long a caller with a token waits for their turn to have it looked up.
const TURN_LIMIT: Duration = Duration::from_secs(10);

/// The rules about sessions. Cloning shares the counters of failed logins.
#[derive(Clone)]
pub struct SessionService {
    mode: Mode,
    pub(super) sessions: SessionRepository,
    tokens: SessionRepository,
    pub(super) users: UserRepository,
    pub(super) passwords: PasswordHasher,
    pub(super) attempts: LoginThrottle,
    pub(super) hub: Hub,
    pub(super) lifetimes: SessionTtl,
    used: Used,
    /// Tokens are looked up by so many at once: after a restart every client comes back in the same
    /// second, and would wait in front of the pool of connections together.
    turns: Arc<Semaphore>,
}

/// What sessions are made of.
pub struct SessionParts {
    /// Whether everyone must sign in.
    pub mode: Mode,
    /// Where sessions are kept.
    pub sessions: SessionRepository,
    /// The same over connections that are kept for looking tokens up.
    pub tokens: SessionRepository,
    /// Where users are.
    pub users: UserRepository,
    /// How passwords are proved.
    pub passwords: PasswordHasher,
    /// Whose sockets end with sessions.
    pub hub: Hub,
    /// How long sessions live.
    pub lifetimes: SessionTtl,
    /// Most tokens looked up at once.
    pub at_once: usize,
}

/// Who a socket is, and by which session.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// How they call.
    pub caller: Caller,
    /// Who they are.
    pub user: UserId,
    /// By which session, where they signed in.
    pub session: Option<SessionId>,
}

impl SessionService {
    /// Of these parts.
    #[must_use]
    pub fn new(parts: SessionParts) -> Self {
        Self {
            mode: parts.mode,
            sessions: parts.sessions,
            tokens: parts.tokens,
            users: parts.users,
            passwords: parts.passwords,
            attempts: LoginThrottle::default(),
            hub: parts.hub,
            lifetimes: parts.lifetimes,
            used: Used::default(),
            turns: Arc::new(Semaphore::new(parts.at_once)),
        }
    }

    /// How much a session is in use: 2 with an open socket on this server, 1 where it was used since
    /// uses were last stored, 0 otherwise. A session with a socket on another server counts by its last
    /// use, which that server stores once a period.
    pub(super) fn rank(&self, session: SessionId) -> u8 {
        match () {
            () if self.hub.has_session(session) => 2,
            () if self.used.has(session) => 1,
            () => 0,
        }
    }

    /// The task that keeps these sessions, at work every `period`.
    #[must_use]
    pub fn keeper(&self, period: Duration) -> SessionJanitor {
        SessionJanitor {
            sessions: self.sessions.clone(),
            used: self.used.clone(),
            hub: self.hub.clone(),
            lifetimes: self.lifetimes,
            period,
        }
    }

    /// Who a token stands for.
    ///
    /// # Errors
    /// `unauthorized` where it stands for nobody, or not any more.
    pub async fn authenticate(&self, token: &str) -> Result<SignedIn, Error> {
        let token = SessionToken::parse(token).ok_or_else(Error::invalid_token)?;
        let turn = time::timeout(TURN_LIMIT, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Error::unavailable());
        };
        let living = self.lifetimes.living(Timestamp::now());
        let found = self.tokens.find(token.hash(), living).await?;
        let (user, session) = found.ok_or_else(Error::invalid_token)?;
        self.used.note(session);
        Ok(SignedIn { user, session })
    }

    /// The caller that somebody signed in, or nobody, is.
    ///
    /// # Errors
    /// `unauthorized` where everyone must sign in.
    pub fn caller(&self, signed_in: Option<SignedIn>) -> Result<Caller, Error> {
        match signed_in {
            Some(SignedIn { user, .. }) => Ok(self.mode.signed_in(user)),
            None => self.mode.anonymous(),
        }
    }

    /// Who a socket is: by the session it was opened with, by a token, or by what it claims where
    /// that is believed.
    ///
    /// # Errors
    /// `unauthorized` without proof, or with a wrong one; `forbidden` where two proofs, or a proof
    /// and a claim, name different users.
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

    /// Whether a user's session is still alive: asked by a socket once it is registered, so that an
    /// end that came before is not missed.
    ///
    /// # Errors
    /// `unauthorized` where it is not.
    pub async fn still(&self, user: UserId, session: Option<SessionId>) -> Result<(), Error> {
        let Some(session) = session else {
            return Ok(());
        };
        let live = self.list(SignedIn { user, session }).await?;
        match live.iter().any(|listed| listed.current) {
            true => Ok(()),
            false => Err(Error::invalid_token()),
        }
    }

    /// One's own sessions, by id.
    pub async fn list(&self, me: SignedIn) -> Result<Vec<Session>, Error> {
        let living = self.lifetimes.living(Timestamp::now());
        let mut sessions = self.sessions.list(me.user, living).await?;
        for session in &mut sessions {
            session.current = session.session_id == me.session;
        }
        Ok(sessions)
    }

    /// Ends one of one's own sessions, and closes its sockets; `session_not_found`.
    pub async fn end(&self, me: SignedIn, session: SessionId) -> Result<(), Error> {
        if !self.sessions.end(me.user, session).await? {
            let message = format!("You have no session {session}; GET /session lists them");
            return Err(Error::new(Code::SessionNotFound, message).masked());
        }
        close_ended(&self.hub, me.user, &[session]);
        Ok(())
    }

    /// Ends all of one's own sessions but this one, and closes their sockets.
    pub async fn end_others(&self, me: SignedIn) -> Result<(), Error> {
        let ended = self.sessions.end_others(me.user, me.session).await?;
        close_ended(&self.hub, me.user, &ended);
        Ok(())
    }

    /// Ends this session, and closes its sockets. One that has ended meanwhile is as good.
    pub async fn logout(&self, me: SignedIn) -> Result<(), Error> {
        self.sessions.end(me.user, me.session).await?;
        close_ended(&self.hub, me.user, &[me.session]);
        Ok(())
    }
}

/// Closes the sockets of sessions that have ended, and says so in the log.
pub(super) fn close_ended(hub: &Hub, user: UserId, ended: &[SessionId]) {
    for session in ended {
        hub.end_session(*session);
        tracing::info!(user = user.0, session = session.0, "session ended");
    }
}
