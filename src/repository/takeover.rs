//! Taking over a database that the original filled: the passwords it stored as they came.

use crate::{
    error::Error,
    model::{PLAIN_MARK, UserId},
    store::{Store, on},
};
use sqlx::{query, query_as, query_scalar};

/// Finds and replaces passwords that are not hashed yet.
#[derive(Clone)]
pub struct TakeoverRepository(Store);

/// A user's password as the original stored it.
pub struct PlainPassword {
    id: UserId,
    stored: String,
}

impl PlainPassword {
    /// Its user.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.id
    }

    /// The password itself.
    #[must_use]
    pub fn text(&self) -> &str {
        self.stored.strip_prefix(PLAIN_MARK).unwrap_or(&self.stored)
    }
}

impl TakeoverRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// How many passwords are not hashed yet.
    pub async fn count(&self) -> Result<i64, Error> {
        const SQL: &str = "SELECT count(*) FROM customer WHERE password LIKE 'plain:%'";
        Ok(on!(read & self.0, |db| query_scalar(SQL)
            .fetch_one(db)
            .await)?)
    }

    /// Up to `limit` passwords that are not hashed yet, of users with ids over `after`, by id.
    pub async fn plain_passwords(
        &self,
        after: UserId,
        limit: i64,
    ) -> Result<Vec<PlainPassword>, Error> {
        const SQL: &str = "SELECT customer_id, password FROM customer \
                           WHERE password LIKE 'plain:%' AND customer_id > $1 \
                           ORDER BY customer_id LIMIT $2";
        let rows: Vec<(UserId, String)> = on!(read & self.0, |db| query_as(SQL)
            .bind(after)
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
