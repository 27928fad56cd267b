//! A user.

use super::{Timestamp, UserId};
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
