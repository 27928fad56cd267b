//! Reads, creates and changes users. The module `user_deletion` deletes them.

use super::{list::List, lock, row::from_row};
use crate::{
    database::{Database, on},
    error::{Error, OnConstraint},
    model::{SessionId, Skeletons, SoughtName, Timestamp, User, UserId, Username},
};
use sqlx::{query_as, query_scalar};

/// A user with the stored password hash, for the check of a login.
#[derive(Clone)]
pub struct StoredCredentials {
    /// The user.
    pub user: User,
    /// Stored hash of the user's password.
    pub password: String,
}

from_row!(StoredCredentials { password }[user]);

/// A user after a change, with the sessions that the change ended.
#[derive(Debug)]
pub struct Updated {
    /// The user after the change.
    pub user: User,
    /// Name of the user before the change; the current name if the change did not rename the user.
    pub former_name: String,
    /// Sessions that ended because of a new password; empty if the password did not change.
    pub ended: Vec<SessionId>,
}

/// Reads and writes users.
#[derive(Clone, Copy)]
pub struct UserRepository<'a>(pub(super) &'a Database);

impl UserRepository<'_> {
    /// Returns up to `limit` users with ids above `after`, in order of id.
    pub async fn list(self, after: UserId, limit: i64) -> Result<Vec<User>, Error> {
        const SQL: &str = "SELECT customer_id, username, created_at FROM customer \
                           WHERE customer_id > $1 ORDER BY customer_id LIMIT $2";
        Ok(on!(read self.0, |db| query_as(SQL)
            .bind(after)
            .bind(limit)
            .fetch_all(db)
            .await)?)
    }

    /// Returns the ids that have no user.
    pub async fn missing(self, ids: &[UserId]) -> Result<Vec<UserId>, Error> {
        const POSTGRES: &str = "SELECT k.id FROM unnest($1::bigint[]) AS k (id) \
            WHERE NOT EXISTS (SELECT FROM customer u WHERE u.customer_id = k.id)";
        const SQLITE: &str = "SELECT k.value FROM json_each($1) AS k \
            WHERE NOT EXISTS (SELECT 1 FROM customer u WHERE u.customer_id = k.value)";
        let found = on!(read self.0, [POSTGRES, SQLITE], |sql, db| query_scalar(sql)
            .bind(List(ids))
            .fetch_all(db)
            .await)?;
        Ok(found)
    }

    /// Returns the users with these ids, in no particular order. Missing users are left out.
    pub async fn find_all(self, ids: &[UserId]) -> Result<Vec<User>, Error> {
        const POSTGRES: &str = "SELECT customer_id, username, created_at FROM customer \
            WHERE customer_id = ANY($1)";
        const SQLITE: &str = "SELECT customer_id, username, created_at FROM customer \
            WHERE customer_id IN (SELECT value FROM json_each($1))";
        let found = on!(read self.0, [POSTGRES, SQLITE], |sql, db| query_as(sql)
            .bind(List(ids))
            .fetch_all(db)
            .await)?;
        Ok(found)
    }

    /// Returns the user with this name, in any Unicode normal form; null if no user matches.
    pub async fn find_by_name(self, name: &SoughtName) -> Result<Option<User>, Error> {
        Ok(self.credentials(name).await?.map(|found| found.user))
    }

    /// Stores a new user with a hashed password. The error is `username_taken` if another user has this name
    /// or a name that looks like it.
    pub async fn create(self, name: &Username, hash: &str) -> Result<User, Error> {
        const SQL: &str = "INSERT INTO customer \
                (username, password, created_at, skeleton, written_skeleton, skeleton_of) \
            VALUES ($1, $2, $3, $4, $5, $1) RETURNING customer_id, username, created_at";
        let skeletons = Skeletons::of(name.as_str());
        let mut tx = self.0.begin().await?;
        let user = on!(tx &mut tx, |db| query_as(SQL)
            .bind(name.as_str())
            .bind(hash)
            .bind(Timestamp::now())
            .bind(&skeletons.folded[..])
            .bind(&skeletons.written[..])
            .fetch_one(db)
            .await)
        .on_unique(|| name_taken(name))?;
        tx.commit().await?;
        Ok(user)
    }

    /// Returns the user with this name and the stored password hash; null if no user matches. The name
    /// matches in any Unicode normal form. If several users match, the name closest to the given spelling
    /// wins.
    pub async fn credentials(self, name: &SoughtName) -> Result<Option<StoredCredentials>, Error> {
        const SQL: &str = "SELECT customer_id, username, created_at, password FROM customer \
                           WHERE username = $1 OR username = $2 OR skeleton = $3";
        // The skeleton finds stored names in other normal forms. It also finds names that only look alike,
        // which `distance` rejects.
        let found: Vec<StoredCredentials> = on!(read self.0, |db| query_as(SQL)
            .bind(name.given())
            .bind(name.composed())
            .bind(&name.skeletons.folded[..])
            .fetch_all(db)
            .await)?;
        let found = found.into_iter().filter_map(|found| {
            let distance = name.distance(&found.user.username)?;
            Some((distance, found))
        });
        let nearest = found.min_by_key(|(distance, _)| *distance);
        Ok(nearest.map(|(_, found)| found))
    }

    /// Changes the name, the password hash or both; a null argument leaves its field unchanged. A new
    /// password ends all sessions of the user except `kept`, or all of them if `kept` is null. Returns null
    /// if the user does not exist. The error is `username_taken` if another user has the new name or one that
    /// looks like it.
    pub async fn update(
        self,
        id: UserId,
        name: Option<&Username>,
        hash: Option<&str>,
        kept: Option<SessionId>,
    ) -> Result<Option<Updated>, Error> {
        const USER: &str = "UPDATE customer SET username = coalesce($2, username), \
                password = coalesce($3, password), \
                skeleton = CASE WHEN username = coalesce($2, username) \
                    THEN skeleton ELSE $4 END, \
                written_skeleton = CASE WHEN username = coalesce($2, username) \
                    THEN written_skeleton ELSE $5 END, \
                skeleton_of = CASE WHEN username = coalesce($2, username) \
                    THEN skeleton_of ELSE $2 END \
            WHERE customer_id = $1 RETURNING customer_id, username, created_at";
        const SESSIONS: &str = "DELETE FROM session WHERE customer_id = $1 AND session_id <> $2 \
                                RETURNING session_id";
        const NAME: &str = "SELECT username FROM customer WHERE customer_id = $1";
        let skeletons = name.map(|name| Skeletons::of(name.as_str()));
        let mut tx = self.0.begin().await?;
        lock::lock_user(&mut tx, id).await?;
        let former_name = on!(tx &mut tx, |db| query_scalar(NAME)
            .bind(id)
            .fetch_optional(db)
            .await)?;
        let user = on!(tx &mut tx, |db| query_as(USER)
            .bind(id)
            .bind(name.map(Username::as_str))
            .bind(hash)
            .bind(skeletons.as_ref().map(|skeletons| &skeletons.folded[..]))
            .bind(skeletons.as_ref().map(|skeletons| &skeletons.written[..]))
            .fetch_optional(db)
            .await)
        .on_unique(|| name.map_or_else(Error::unavailable, name_taken))?;
        let (Some(user), Some(former_name)) = (user, former_name) else {
            return Ok(None);
        };
        let mut ended = Vec::new();
        if hash.is_some() {
            // Session ids begin at 1, so the id 0 keeps no session.
            ended = on!(tx &mut tx, |db| query_scalar(SESSIONS)
                .bind(id)
                .bind(kept.unwrap_or(SessionId(0)))
                .fetch_all(db)
                .await)?;
        }
        tx.commit().await?;
        Ok(Some(Updated {
            user,
            former_name,
            ended,
        }))
    }
}

fn name_taken(name: &Username) -> Error {
    let message =
        format!("The username {name} is taken, or looks like a name that is taken; choose another");
    Error::new(crate::error::Code::UsernameTaken, message)
}
