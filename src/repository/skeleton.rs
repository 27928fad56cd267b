//! Backfill of name skeletons (UTS 39), which detect usernames that look alike. Names lack skeletons if an
//! older version, the original server or an import stored them.

use super::row::from_row;
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{Skeletons, UserId},
};
use sqlx::{query, query_as};

/// Maximum number of names in one transaction.
const MAX_NAMES: i64 = 200;

/// Stores missing skeletons of usernames.
#[derive(Clone, Copy)]
pub struct SkeletonRepository<'a>(pub(super) &'a Database);

/// A username with skeletons that are missing or belong to a former name.
struct NameRow {
    customer_id: UserId,
    username: String,
}

from_row!(NameRow {
    customer_id,
    username
});

impl SkeletonRepository<'_> {
    /// Stores the skeletons of the next names, of users with ids above `after`. Returns the last user of the
    /// step, or null if no name is left. A name that looks like another stored name stays without skeletons.
    pub async fn step(self, after: UserId) -> Result<Option<UserId>, Error> {
        const SQL: &str = "SELECT customer_id, username FROM customer \
                           WHERE skeleton_of IS DISTINCT FROM username AND customer_id > $1 \
                           ORDER BY customer_id LIMIT $2";
        let names: Vec<NameRow> = on!(read self.0, |db| query_as(SQL)
            .bind(after)
            .bind(MAX_NAMES)
            .fetch_all(db)
            .await)?;
        let Some(last) = names.last().map(|name| name.customer_id) else {
            return Ok(None);
        };
        let mut tx = self.0.begin().await?;
        for name in &names {
            match store_skeletons(&mut tx, name).await {
                Ok(true) => {}
                Ok(false) => clear_former_skeletons(&mut tx, name).await?,
                // A concurrent sign-up took a name that looks alike. The step is rolled back, and the next
                // round of the backfill repeats it.
                Err(sqlx::Error::Database(e)) if e.is_unique_violation() => return Ok(Some(last)),
                Err(error) => return Err(error.into()),
            }
        }
        tx.commit().await?;
        Ok(Some(last))
    }
}

/// Stores the skeletons of a name. Returns false if another user has one of these skeletons, or if the user
/// was renamed or deleted.
async fn store_skeletons(
    tx: &mut DatabaseTransaction,
    name: &NameRow,
) -> Result<bool, sqlx::Error> {
    const SQL: &str = "UPDATE customer SET skeleton = $3, written_skeleton = $4, skeleton_of = $2 \
                       WHERE customer_id = $1 AND username = $2 AND NOT EXISTS \
                           (SELECT 1 FROM customer o WHERE o.customer_id <> $1 \
                            AND (o.skeleton = $3 OR o.written_skeleton = $4))";
    let skeletons = Skeletons::of(&name.username);
    let filled = on!(tx tx, |db| query(SQL)
        .bind(name.customer_id)
        .bind(&name.username)
        .bind(&skeletons.folded[..])
        .bind(&skeletons.written[..])
        .execute(db)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(filled > 0)
}

/// Removes skeletons that belong to the user's former name. They remain if a node of an older version renamed
/// the user.
async fn clear_former_skeletons(
    tx: &mut DatabaseTransaction,
    name: &NameRow,
) -> Result<(), sqlx::Error> {
    const SQL: &str = "UPDATE customer \
                       SET skeleton = NULL, written_skeleton = NULL, skeleton_of = NULL \
                       WHERE customer_id = $1 AND username = $2 AND skeleton_of IS NOT NULL \
                           AND skeleton_of <> username";
    on!(tx tx, |db| query(SQL)
        .bind(name.customer_id)
        .bind(&name.username)
        .execute(db)
        .await
        .map(drop))
}
