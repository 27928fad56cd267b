//! Skeletons of names that were stored without them: by an older version, the original or an import.

use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{Skeletons, UserId},
};
use sqlx::{query, query_as};

/// Names whose skeletons are stored in one transaction.
const STEP: i64 = 200;

/// Stores the skeletons of names.
#[derive(Clone)]
pub struct SkeletonRepository(Database);

/// A name without its skeletons.
#[derive(sqlx::FromRow)]
struct Bare {
    customer_id: UserId,
    username: String,
}

impl SkeletonRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Database) -> Self {
        Self(store)
    }

    /// Stores the skeletons of the next names without them after a user, where no other name has them;
    /// gives the last user of the step, none at the end. Names that look like an earlier one stay without.
    pub async fn step(&self, after: UserId) -> Result<Option<UserId>, Error> {
        const SQL: &str = "SELECT customer_id, username FROM customer \
                           WHERE skeleton_of IS DISTINCT FROM username AND customer_id > $1 \
                           ORDER BY customer_id LIMIT $2";
        let bare: Vec<Bare> = on!(read & self.0, |db| query_as(SQL)
            .bind(after)
            .bind(STEP)
            .fetch_all(db)
            .await)?;
        let Some(last) = bare.last().map(|bare| bare.customer_id) else {
            return Ok(None);
        };
        let mut tx = self.0.begin().await?;
        for name in &bare {
            match fill(&mut tx, name).await {
                Ok(true) => {}
                Ok(false) => forget(&mut tx, name).await?,
                // A user signed up under such a name meanwhile: the next round sees it.
                Err(sqlx::Error::Database(e)) if e.is_unique_violation() => return Ok(Some(last)),
                Err(error) => return Err(error.into()),
            }
        }
        tx.commit().await?;
        Ok(Some(last))
    }
}

/// Stores a name's skeletons; false where another name has one of them.
async fn fill(tx: &mut DatabaseTransaction, name: &Bare) -> Result<bool, sqlx::Error> {
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

/// Takes away the skeletons of the name that a user had before a server of an older version changed it.
async fn forget(tx: &mut DatabaseTransaction, name: &Bare) -> Result<(), sqlx::Error> {
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
