//! A user.

use super::{
    id::{SessionId, UserId},
    timestamp::Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;

/// A user as everyone may see them: never a password or its hash.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The user's id.
    pub customer_id: UserId,
    /// The user's unique name.
    pub username: String,
    /// When the user signed up.
    pub created_at: Timestamp,
}

/// A session as its user may see it: never its token.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The session's id.
    pub session_id: SessionId,
    /// When the user signed in.
    pub created_at: Timestamp,
    /// When it was last used, to about a minute.
    pub last_used_at: Timestamp,
    /// When it ends, however much it is used; unused, it ends earlier.
    pub expires_at: Timestamp,
    /// What the client called itself when it signed in, up to 256 characters.
    #[schema(required)]
    pub user_agent: Option<String>,
    /// Whether it is the one that asks.
    #[sqlx(default)]
    pub current: bool,
}
