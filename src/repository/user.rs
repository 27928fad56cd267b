//! Users.

use crate::{
    error::{Error, OnConstraint},
    model::{Timestamp, User, UserId, Username},
    store::{Store, on},
};
use sqlx::query_as;

/// Reads and writes users.
#[derive(Clone)]
pub struct UserRepository(Store);

impl UserRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// Up to `limit` users with ids over `after`, by id.
    pub async fn list(&self, after: UserId, limit: i64) -> Result<Vec<User>, Error> {
        const SQL: &str = "SELECT customer_id, username, created_at FROM customer \
                           WHERE customer_id > $1 ORDER BY customer_id LIMIT $2";
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(after)
            .bind(limit)
            .fetch_all(db)
            .await)?)
    }

    /// The user of that id.
    pub async fn find(&self, id: UserId) -> Result<Option<User>, Error> {
        const SQL: &str =
            "SELECT customer_id, username, created_at FROM customer WHERE customer_id = $1";
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(id)
            .fetch_optional(db)
            .await)?)
    }

    /// The user of that name.
    pub async fn find_by_name(&self, name: &str) -> Result<Option<User>, Error> {
        const SQL: &str =
            "SELECT customer_id, username, created_at FROM customer WHERE username = $1";
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(name)
            .fetch_optional(db)
            .await)?)
    }

    /// Stores a new user with a hashed password; `username_taken` where another has the name.
    pub async fn create(&self, name: &Username, hash: &str) -> Result<User, Error> {
        const SQL: &str = "INSERT INTO customer (username, password, created_at) \
                           VALUES ($1, $2, $3) RETURNING customer_id, username, created_at";
        on!(write & self.0, |db| query_as(SQL)
            .bind(name)
            .bind(hash)
            .bind(Timestamp::now())
            .fetch_one(db)
            .await)
        .on_unique(|| name_taken(name))
    }

    /// Changes what is given; `username_taken` where another has the name.
    pub async fn update(
        &self,
        id: UserId,
        name: Option<&Username>,
        hash: Option<&str>,
    ) -> Result<Option<User>, Error> {
        const SQL: &str = "UPDATE customer SET username = coalesce($2, username), \
                           password = coalesce($3, password) WHERE customer_id = $1 \
                           RETURNING customer_id, username, created_at";
        on!(write & self.0, |db| query_as(SQL)
            .bind(id)
            .bind(name)
            .bind(hash)
            .fetch_optional(db)
            .await)
        .on_unique(|| name.map_or_else(Error::unavailable, name_taken))
    }
}

fn name_taken(name: &Username) -> Error {
    let message = format!("The username {name} is taken; choose another");
    Error::new(crate::error::Code::UsernameTaken, message)
}
