//! Taking over a database that the original filled: the passwords it stored as they came.

use crate::{
    error::Error,
    store::{Store, on},
};
use sqlx::{query, query_as};

/// What the migration put before a password that is not hashed yet. No hash begins so.
const MARK: &str = "plain:";

/// Finds and replaces passwords that are not hashed yet.
#[derive(Clone)]
pub struct TakeoverRepository(Store);

/// A user's password as the original stored it.
pub struct PlainPassword {
    id: i64,
    stored: String,
}

impl PlainPassword {
    /// The password itself.
    #[must_use]
    pub fn text(&self) -> &str {
        self.stored.strip_prefix(MARK).unwrap_or(&self.stored)
    }
}

impl TakeoverRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// Up to `limit` passwords that are not hashed yet.
    pub async fn plain_passwords(&self, limit: i64) -> Result<Vec<PlainPassword>, Error> {
        const SQL: &str = "SELECT customer_id, password FROM customer \
                           WHERE password LIKE 'plain:%' ORDER BY customer_id LIMIT $1";
        let rows: Vec<(i64, String)> = on!(read & self.0, |db| query_as(SQL)
            .bind(limit)
            .fetch_all(db)
            .await)?;
        Ok(rows
            .into_iter()
            .map(|(id, stored)| PlainPassword { id, stored })
            .collect())
    }

    /// Replaces a password by its hash, unless somebody else changed it first.
    pub async fn replace(&self, plain: &PlainPassword, hash: &str) -> Result<(), Error> {
        const SQL: &str = "UPDATE customer SET password = $3 \
                           WHERE customer_id = $1 AND password = $2";
        let mut tx = self.0.begin().await?;
        on!(tx &mut tx, |db| query(SQL)
            .bind(plain.id)
            .bind(&plain.stored)
            .bind(hash)
            .execute(db)
            .await
            .map(drop))?;
        tx.commit().await
    }
}
