//! Users and their sessions.

use super::{
    id::{SessionId, UserId},
    timestamp::Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;

/// Public fields of a user, without the password hash.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Id of the user.
    pub customer_id: UserId,
    /// Unique name of the user.
    pub username: String,
    /// Time at which the user signed up.
    pub created_at: Timestamp,
}

/// Session of a user, without its token.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Id of the session.
    pub session_id: SessionId,
    /// Time at which the user signed in.
    pub created_at: Timestamp,
    /// Time at which the session was last used, with an accuracy of about a minute.
    pub last_used_at: Timestamp,
    /// Time at which the session ends even if it is in use. An unused session ends earlier.
    pub expires_at: Timestamp,
    /// User agent that the client sent at sign-in, at most 256 characters; null if the client sent none.
    #[schema(required)]
    pub user_agent: Option<String>,
    /// True if the request that reads the sessions was made with this session.
    pub current: bool,
}
