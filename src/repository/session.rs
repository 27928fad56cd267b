//! Who is signed in.

use super::dialect;
use crate::{
    database::{Database, on},
    error::Error,
    model::{Session, SessionId, Timestamp, UserId},
};
use sqlx::{query, query_as, query_scalar};

/// Most sessions of one user; with a further login, those that were used least lately end.
const MOST_SESSIONS: usize = 100;

/// Reads and writes sessions.
#[derive(Clone)]
pub struct SessionRepository(Database);

/// A session to begin, for whoever has just proved to know a password.
#[derive(Debug)]
pub struct NewSession {
    /// Who.
    pub user: UserId,
    /// The stored hash that the password was proved against.
    pub proved: String,
    /// The hash that replaces it: of a new password, or where it was made by older parameters.
    pub rehashed: Option<String>,
    /// Whether all other sessions of the user end: those of an old password.
    pub alone: bool,
    /// The token's SHA-256.
    pub token_hash: [u8; 32],
    /// From when.
    pub created_at: Timestamp,
    /// Until when, however much it is used.
    pub expires_at: Timestamp,
    /// What the client calls itself.
    pub user_agent: Option<String>,
}

/// A session that has begun, and those of the user that ended for it.
#[derive(Debug)]
pub struct Begun {
    /// The new one.
    pub session: Session,
    /// The ones over the limit.
    pub ended: Vec<SessionId>,
}

/// What is a live session: within its lifetime, and not unused for too long.
#[derive(Clone, Copy, Debug)]
pub struct SessionCutoff {
    /// The present.
    pub now: Timestamp,
    /// Unused since then, a session has ended.
    pub idle_since: Timestamp,
}

impl SessionRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Database) -> Self {
        Self(store)
    }

    /// Begins a session; none where the user is gone, or their password is another by now: a
    /// session must not outlive the password it was begun with. Over the limit the least used ones end:
    /// the lowest `rank` first, then the earliest last use.
    pub async fn begin(
        &self,
        new: &NewSession,
        rank: impl Fn(SessionId) -> u8,
    ) -> Result<Option<Begun>, Error> {
        const PASSWORD: &str = "UPDATE customer SET password = $3 \
                                WHERE customer_id = $1 AND password = $2";
        const SESSION: &str = "INSERT INTO session \
                (customer_id, token_hash, created_at, last_used_at, expires_at, user_agent) \
            VALUES ($1, $2, $3, $3, $4, $5) \
            RETURNING session_id, created_at, last_used_at, expires_at, user_agent";
        const OTHERS: &str = "SELECT session_id FROM session \
                              WHERE customer_id = $1 AND session_id <> $2 \
                              ORDER BY last_used_at, session_id";
        const END: &str = "DELETE FROM session WHERE customer_id = $1 AND session_id = $2";
        let hash = new.rehashed.as_ref().unwrap_or(&new.proved);
        let mut tx = self.0.begin().await?;
        let same = on!(tx &mut tx, |db| query(PASSWORD)
            .bind(new.user)
            .bind(&new.proved)
            .bind(hash)
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
        if same == 0 {
            return Ok(None);
        }
        let session: Session = on!(tx &mut tx, |db| query_as(SESSION)
            .bind(new.user)
            .bind(&new.token_hash[..])
            .bind(new.created_at)
            .bind(new.expires_at)
            .bind(new.user_agent.as_deref())
            .fetch_one(db)
            .await)?;
        let others: Vec<SessionId> = on!(tx &mut tx, |db| query_scalar(OTHERS)
            .bind(new.user)
            .bind(session.session_id)
            .fetch_all(db)
            .await)?;
        let ended = match new.alone {
            true => others,
            false => over_limit(others, rank),
        };
        for id in &ended {
            on!(tx &mut tx, |db| query(END)
                .bind(new.user)
                .bind(id)
                .execute(db)
                .await
                .map(drop))?;
        }
        tx.commit().await?;
        Ok(Some(Begun { session, ended }))
    }

    /// The live session of that token, and whose it is.
    pub async fn find(
        &self,
        token_hash: [u8; 32],
        living: SessionCutoff,
    ) -> Result<Option<(UserId, SessionId)>, Error> {
        const SQL: &str = "SELECT customer_id, session_id FROM session \
                           WHERE token_hash = $1 AND expires_at > $2 AND last_used_at > $3";
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(&token_hash[..])
            .bind(living.now)
            .bind(living.idle_since)
            .fetch_optional(db)
            .await)?)
    }

    /// A user's live sessions, by id.
    pub async fn list(&self, user: UserId, living: SessionCutoff) -> Result<Vec<Session>, Error> {
        const SQL: &str = "SELECT session_id, created_at, last_used_at, expires_at, user_agent \
                           FROM session \
                           WHERE customer_id = $1 AND expires_at > $2 AND last_used_at > $3 \
                           ORDER BY session_id";
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(user)
            .bind(living.now)
            .bind(living.idle_since)
            .fetch_all(db)
            .await)?)
    }

    /// Ends a user's session; false where they have no such.
    pub async fn end(&self, user: UserId, session: SessionId) -> Result<bool, Error> {
        const SQL: &str = "DELETE FROM session WHERE customer_id = $1 AND session_id = $2";
        let mut tx = self.0.begin().await?;
        let gone = on!(tx &mut tx, |db| query(SQL)
            .bind(user)
            .bind(session)
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
        tx.commit().await?;
        Ok(gone > 0)
    }

    /// Ends a user's sessions but one; tells which.
    pub async fn end_others(&self, user: UserId, kept: SessionId) -> Result<Vec<SessionId>, Error> {
        const SQL: &str = "DELETE FROM session WHERE customer_id = $1 AND session_id <> $2 \
                           RETURNING session_id";
        let mut tx = self.0.begin().await?;
        let ended = on!(tx &mut tx, |db| query_scalar(SQL)
            .bind(user)
            .bind(kept)
            .fetch_all(db)
            .await)?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Those of the ids that are no sessions any more.
    pub async fn missing(&self, sessions: &[SessionId]) -> Result<Vec<SessionId>, Error> {
        Ok(dialect::missing_sessions(&self.0, sessions).await?)
    }

    /// The present, by the clock that all servers share: a server whose own is wrong must not end
    /// what the others have begun.
    pub async fn now(&self) -> Result<Timestamp, Error> {
        Ok(dialect::now(&self.0).await?)
    }

    /// Notes that sessions are in use; tells which of them are still within their lifetime.
    pub async fn touch(
        &self,
        sessions: &[SessionId],
        now: Timestamp,
    ) -> Result<Vec<SessionId>, Error> {
        let mut tx = self.0.begin().await?;
        let alive = dialect::touch_sessions(&mut tx, sessions, now).await?;
        tx.commit().await?;
        Ok(alive)
    }

    /// Deletes what is not alive any more; tells which.
    pub async fn sweep(&self, living: SessionCutoff) -> Result<Vec<(SessionId, UserId)>, Error> {
        const SQL: &str = "DELETE FROM session WHERE expires_at <= $1 OR last_used_at <= $2 \
                           RETURNING session_id, customer_id";
        let mut tx = self.0.begin().await?;
        let ended = on!(tx &mut tx, |db| query_as(SQL)
            .bind(living.now)
            .bind(living.idle_since)
            .fetch_all(db)
            .await)?;
        tx.commit().await?;
        Ok(ended)
    }
}

/// The sessions that end for a further one: the lowest rank first, and within a rank in the order given.
fn over_limit(mut others: Vec<SessionId>, rank: impl Fn(SessionId) -> u8) -> Vec<SessionId> {
    let over = (others.len() + 1).saturating_sub(MOST_SESSIONS);
    if over > 0 {
        others.sort_by_key(|&session| rank(session));
    }
    others.truncate(over);
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_rank_ends_first_then_the_least_recently_used() {
        let sessions = |ids: &[i64]| ids.iter().copied().map(SessionId).collect::<Vec<_>>();
        let others: Vec<SessionId> = (1..=101).map(SessionId).collect();
        let rank = |session: SessionId| u8::from(session.0 <= 3);
        assert_eq!(over_limit(others, rank), sessions(&[4, 5]));
        let others: Vec<SessionId> = (1..=99).map(SessionId).collect();
        assert_eq!(over_limit(others, rank), sessions(&[]));
        let others: Vec<SessionId> = (1..=100).map(SessionId).collect();
        assert_eq!(over_limit(others, |_| 2), sessions(&[1]));
    }
}
