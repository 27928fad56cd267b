//! Users with very many messages who are deleted in the background. Their deletion is stored, so that another
//! server goes on with it if this one stops.

use super::{lock, row::from_row};
use crate::{
    database::{Database, on},
    error::Error,
    model::{SessionId, Timestamp, UserId},
};
use sqlx::{query, query_as, query_scalar};

/// Number of messages above which a user is deleted in the background. With fewer messages the deletion ends
/// within the time of a request.
const LARGE: i64 = 60_000;
/// Value of the password column that no password matches.
const LOCKED: &str = "!";

/// A stored deletion that this server goes on with.
#[derive(Clone, Copy, Debug)]
pub struct LargeDeletion {
    /// The user to delete.
    pub customer_id: UserId,
    /// True if chats without another member are deleted too.
    pub empty_chats_go: bool,
}

from_row!(LargeDeletion {
    customer_id,
    empty_chats_go
});

/// Stores and claims deletions.
#[derive(Clone, Copy)]
pub struct LargeDeletionRepository<'a>(pub(super) &'a Database);

impl LargeDeletionRepository<'_> {
    /// Returns true if the user has more than `LARGE` messages, deleted ones included.
    pub async fn is_large(self, user: UserId) -> Result<bool, Error> {
        const SQL: &str = "SELECT count(*) FROM (SELECT 1 FROM message \
                           WHERE customer_id <= $1 AND (customer_id, chat_id) > ($1, 0) \
                           ORDER BY customer_id, chat_id LIMIT $2) AS counted";
        let counted: i64 = on!(read self.0, |db| query_scalar(SQL)
            .bind(user)
            .bind(LARGE + 1)
            .fetch_one(db)
            .await)?;
        Ok(counted > LARGE)
    }

    /// Stores the deletion of a user, ends the sessions of the user and returns them. The user cannot sign in
    /// any more. Null if the user does not exist.
    pub async fn store(
        self,
        user: UserId,
        empty_chats_go: bool,
    ) -> Result<Option<Vec<SessionId>>, Error> {
        const DELETION: &str = "INSERT INTO user_deletion (customer_id, empty_chats_go, stepped_at) \
                                VALUES ($1, $2, $3) ON CONFLICT (customer_id) DO NOTHING";
        const PASSWORD: &str = "UPDATE customer SET password = $2 WHERE customer_id = $1";
        const SESSIONS: &str = "DELETE FROM session WHERE customer_id = $1 RETURNING session_id";
        let mut tx = self.0.begin().await?;
        if !lock::lock_user(&mut tx, user).await? {
            return Ok(None);
        }
        // Long ago, so that the deletion can be claimed at once.
        let never = Timestamp::from_micros(0);
        on!(tx &mut tx, |db| query(DELETION)
            .bind(user)
            .bind(empty_chats_go)
            .bind(never)
            .execute(db)
            .await
            .map(drop))?;
        on!(tx &mut tx, |db| query(PASSWORD)
            .bind(user)
            .bind(LOCKED)
            .execute(db)
            .await
            .map(drop))?;
        let ended = on!(tx &mut tx, |db| query_scalar(SESSIONS)
            .bind(user)
            .fetch_all(db)
            .await)?;
        tx.commit().await?;
        Ok(Some(ended))
    }

    /// Claims a deletion with its last step before `stale`; null if there is none.
    pub async fn claim(
        self,
        stale: Timestamp,
        now: Timestamp,
    ) -> Result<Option<LargeDeletion>, Error> {
        const SQL: &str = "UPDATE user_deletion SET stepped_at = $2 \
            WHERE stepped_at < $1 AND customer_id = (SELECT customer_id FROM user_deletion \
                WHERE stepped_at < $1 ORDER BY stepped_at, customer_id LIMIT 1) \
            RETURNING customer_id, empty_chats_go";
        let mut tx = self.0.begin().await?;
        let claimed = on!(tx &mut tx, |db| query_as(SQL)
            .bind(stale)
            .bind(now)
            .fetch_optional(db)
            .await)?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// Notes that the deletion of a user goes on, so that no other server claims it.
    pub async fn touch_deletion(self, user: UserId, now: Timestamp) -> Result<(), Error> {
        const SQL: &str = "UPDATE user_deletion SET stepped_at = $2 WHERE customer_id = $1";
        let mut tx = self.0.begin().await?;
        on!(tx &mut tx, |db| query(SQL)
            .bind(user)
            .bind(now)
            .execute(db)
            .await
            .map(drop))?;
        tx.commit().await
    }
}
