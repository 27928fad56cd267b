//! Login sessions: begins, finds, lists and ends them. The session service calls it for logins and tokens.

use super::list::List;
use crate::{
    database::{Database, on},
    error::Error,
    model::{Session, SessionId, Timestamp, UserId},
};
use sqlx::{query, query_as, query_scalar};

/// Maximum number of sessions of one user. A login above the limit ends the least recently used sessions.
const MAX_SESSIONS: usize = 100;

/// Reads and writes sessions.
#[derive(Clone, Copy)]
pub struct SessionRepository<'a>(pub(super) &'a Database);

/// A session to begin, for a user who has just proved their password.
#[derive(Debug)]
pub struct NewSession {
    /// Id of the user.
    pub user: UserId,
    /// Stored hash that the password was verified against.
    pub proved: String,
    /// Hash that replaces `proved`: of a new password, or of the verified password under current hash
    /// parameters. Null if the stored hash stays.
    pub rehashed: Option<String>,
    /// True if all other sessions of the user end, because the login changes the password.
    pub alone: bool,
    /// SHA-256 of the session token.
    pub token_hash: [u8; 32],
    /// Time the session begins.
    pub created_at: Timestamp,
    /// Time the session ends even if it is in use.
    pub expires_at: Timestamp,
    /// `User-Agent` of the client; null if the client sent none.
    pub user_agent: Option<String>,
}

/// A session that has begun, with the sessions that ended because of it.
#[derive(Debug)]
pub struct Begun {
    /// The new session.
    pub session: Session,
    /// Sessions of the user that ended: all other sessions after a new password, else the sessions above the
    /// limit.
    pub ended: Vec<SessionId>,
}

/// Times that decide if a session is live: it has not expired and it was used recently enough.
#[derive(Clone, Copy, Debug)]
pub struct SessionCutoff {
    /// Current time. A session has ended if its `expires_at` is not later than `now`.
    pub now: Timestamp,
    /// Start of the allowed idle period. A session has ended if it was not used after `idle_since`.
    pub idle_since: Timestamp,
}

impl SessionRepository<'_> {
    /// Begins a session. Null if the user was deleted or the stored password changed since the verification,
    /// because a session must not outlive the password that it was begun with. Sessions above the limit end:
    /// lowest `rank` first, then earliest last use.
    pub async fn begin(
        self,
        new: &NewSession,
        rank: impl Fn(SessionId) -> u8,
    ) -> Result<Option<Begun>, Error> {
        const PASSWORD: &str = "UPDATE customer SET password = $3 \
                                WHERE customer_id = $1 AND password = $2";
        const SESSION: &str = "INSERT INTO session \
                (customer_id, token_hash, created_at, last_used_at, expires_at, user_agent) \
            VALUES ($1, $2, $3, $3, $4, $5) \
            RETURNING session_id, created_at, last_used_at, expires_at, user_agent, \
                FALSE AS current";
        const OTHERS: &str = "SELECT session_id FROM session \
                              WHERE customer_id = $1 AND session_id <> $2 \
                              ORDER BY last_used_at, session_id";
        const END: &str = "DELETE FROM session WHERE customer_id = $1 AND session_id = $2";
        let hash = new.rehashed.as_ref().unwrap_or(&new.proved);
        let mut tx = self.0.begin().await?;
        // The condition on the old hash detects a concurrent change of the password. The update also locks
        // the user, so that concurrent logins count each other's sessions.
        let updated = on!(tx &mut tx, |db| query(PASSWORD)
            .bind(new.user)
            .bind(&new.proved)
            .bind(hash)
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
        if updated == 0 {
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

    /// Returns the user and the id of the live session with this token; null if there is none.
    pub async fn find(
        self,
        token_hash: [u8; 32],
        cutoff: SessionCutoff,
    ) -> Result<Option<(UserId, SessionId)>, Error> {
        const SQL: &str = "SELECT customer_id, session_id FROM session \
                           WHERE token_hash = $1 AND expires_at > $2 AND last_used_at > $3";
        Ok(on!(read self.0, |db| query_as(SQL)
            .bind(&token_hash[..])
            .bind(cutoff.now)
            .bind(cutoff.idle_since)
            .fetch_optional(db)
            .await)?)
    }

    /// Returns the live sessions of a user, in order of id.
    pub async fn list(self, user: UserId, cutoff: SessionCutoff) -> Result<Vec<Session>, Error> {
        const SQL: &str = "SELECT session_id, created_at, last_used_at, expires_at, user_agent, \
                               FALSE AS current \
                           FROM session \
                           WHERE customer_id = $1 AND expires_at > $2 AND last_used_at > $3 \
                           ORDER BY session_id";
        Ok(on!(read self.0, |db| query_as(SQL)
            .bind(user)
            .bind(cutoff.now)
            .bind(cutoff.idle_since)
            .fetch_all(db)
            .await)?)
    }

    /// Ends a session of a user. Returns false if the user has no such session.
    pub async fn end(self, user: UserId, session: SessionId) -> Result<bool, Error> {
        const SQL: &str = "DELETE FROM session WHERE customer_id = $1 AND session_id = $2";
        let mut tx = self.0.begin().await?;
        let ended = on!(tx &mut tx, |db| query(SQL)
            .bind(user)
            .bind(session)
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
        tx.commit().await?;
        Ok(ended > 0)
    }

    /// Ends all sessions of a user except `kept`, and returns the ended sessions.
    pub async fn end_others(self, user: UserId, kept: SessionId) -> Result<Vec<SessionId>, Error> {
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

    /// Returns the ids that have no session.
    pub async fn missing(self, sessions: &[SessionId]) -> Result<Vec<SessionId>, Error> {
        const POSTGRES: &str = "SELECT k.id FROM unnest($1::bigint[]) AS k (id) \
            WHERE NOT EXISTS (SELECT FROM session s WHERE s.session_id = k.id)";
        const SQLITE: &str = "SELECT k.value FROM json_each($1) AS k \
            WHERE NOT EXISTS (SELECT 1 FROM session s WHERE s.session_id = k.value)";
        let found = on!(read self.0, [POSTGRES, SQLITE], |sql, db| query_scalar(sql)
            .bind(List(sessions))
            .fetch_all(db)
            .await)?;
        Ok(found)
    }

    /// Returns the current time of the clock that all nodes share: the clock of the database server on Postgres,
    /// the clock of this process on SQLite. A node with a wrong clock must not end sessions that other nodes
    /// began.
    pub async fn now(self) -> Result<Timestamp, Error> {
        const POSTGRES: &str = "SELECT clock_timestamp()";
        match self.0 {
            Database::Postgres(pool) => Ok(query_scalar(POSTGRES).fetch_one(pool).await?),
            Database::Sqlite(_) => Ok(Timestamp::now()),
        }
    }

    /// Records `now` as the last use of the sessions. Returns the sessions that have not expired; expired and
    /// missing sessions are not changed.
    pub async fn touch(
        self,
        sessions: &[SessionId],
        now: Timestamp,
    ) -> Result<Vec<SessionId>, Error> {
        const POSTGRES: &str = "UPDATE session SET last_used_at = $2 \
            WHERE session_id = ANY($1) AND expires_at > $2 RETURNING session_id";
        const SQLITE: &str = "UPDATE session SET last_used_at = $2 \
            WHERE session_id IN (SELECT value FROM json_each($1)) AND expires_at > $2 \
            RETURNING session_id";
        let mut tx = self.0.begin().await?;
        let alive = on!(tx &mut tx, [POSTGRES, SQLITE], |sql, db| query_scalar(sql)
            .bind(List(sessions))
            .bind(now)
            .fetch_all(db)
            .await)?;
        tx.commit().await?;
        Ok(alive)
    }

    /// Deletes all sessions that are not live, and returns them with their users.
    pub async fn sweep(self, cutoff: SessionCutoff) -> Result<Vec<(SessionId, UserId)>, Error> {
        const SQL: &str = "DELETE FROM session WHERE expires_at <= $1 OR last_used_at <= $2 \
                           RETURNING session_id, customer_id";
        let mut tx = self.0.begin().await?;
        let ended = on!(tx &mut tx, |db| query_as(SQL)
            .bind(cutoff.now)
            .bind(cutoff.idle_since)
            .fetch_all(db)
            .await)?;
        tx.commit().await?;
        Ok(ended)
    }
}

/// Returns the sessions that must end to make room for one new session. Takes the lowest rank first, and
/// keeps the given order within a rank.
fn over_limit(mut others: Vec<SessionId>, rank: impl Fn(SessionId) -> u8) -> Vec<SessionId> {
    let over = (others.len() + 1).saturating_sub(MAX_SESSIONS);
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
