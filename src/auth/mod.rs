//! Authentication: the caller of an operation, proofs of identity, and password hashing. Nothing
//! here depends on HTTP or SQL.

mod login_throttle;
mod password;
mod token;

use crate::{
    error::Error,
    model::{SessionId, UserId},
};

pub use login_throttle::{LoginAttempt, LoginThrottle};
pub use password::{PasswordHasher, PasswordRules, Verification};
pub use token::{SessionToken, SharedSecret};

/// The caller of an operation. The first argument of every service method that acts for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Not signed in, in open mode. Any claimed user id is accepted, as in the original backend on
    /// a developer's own machine.
    Open,
    /// Signed in although open mode does not require it. Acts only as this user, and may use every
    /// chat.
    Known(UserId),
    /// Signed in, in required mode. Acts only as this user, and may use only the chats that the
    /// user is a member of.
    User(UserId),
}

/// A user who has proved their identity, and the session that proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The signed-in user.
    pub user: UserId,
    /// The session of the user.
    pub session: SessionId,
}

/// Whether callers must sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Callers need not sign in. A caller without a session is trusted.
    Open,
    /// Every caller must sign in.
    Required,
}

impl Mode {
    /// Returns the caller of a request without a session.
    ///
    /// # Errors
    /// `unauthorized` in required mode.
    pub fn anonymous(self) -> Result<Caller, Error> {
        match self {
            Self::Open => Ok(Caller::Open),
            Self::Required => Err(Error::not_signed_in()),
        }
    }

    /// Returns the caller for a signed-in user.
    #[must_use]
    pub fn signed_in(self, user: UserId) -> Caller {
        match self {
            Self::Open => Caller::Known(user),
            Self::Required => Caller::User(user),
        }
    }
}

impl Caller {
    /// Returns the user if the identity is proved, else `None`.
    #[must_use]
    pub fn user(self) -> Option<UserId> {
        match self {
            Self::Open => None,
            Self::Known(me) | Self::User(me) => Some(me),
        }
    }

    /// Decides if a claimed user id is accepted, and returns the acting user. Returns `None`
    /// if no id is claimed in open mode.
    ///
    /// # Errors
    /// `forbidden` if a signed-in user claims the id of another user.
    pub fn acting_as(self, claimed: Option<UserId>) -> Result<Option<UserId>, Error> {
        match (self.user(), claimed) {
            (None, claimed) => Ok(claimed),
            (Some(me), None) => Ok(Some(me)),
            (Some(me), Some(other)) if me == other => Ok(Some(me)),
            (Some(me), Some(other)) => Err(Error::forbidden(format!(
                "User {me} cannot act for user {other}"
            ))),
        }
    }

    /// Decides if a claimed user id is accepted, and returns the acting user, who must be
    /// known.
    ///
    /// # Errors
    /// `invalid_field` if no id is claimed in open mode. `forbidden` if a signed-in user claims the
    /// id of another user.
    pub fn require_user(self, claimed: Option<UserId>) -> Result<UserId, Error> {
        self.acting_as(claimed)?
            .ok_or_else(|| Error::invalid_field("customerId", "the id of the acting user"))
    }

    /// Returns true if only members of a chat may see and use the chat.
    #[must_use]
    pub fn members_only(self) -> bool {
        matches!(self, Self::User(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_in_user_cannot_act_for_another() {
        for me in [Caller::User(UserId(1)), Caller::Known(UserId(1))] {
            assert_eq!(me.require_user(None).ok(), Some(UserId(1)));
            assert_eq!(me.require_user(Some(UserId(1))).ok(), Some(UserId(1)));
            assert!(me.require_user(Some(UserId(2))).is_err());
        }
    }

    #[test]
    fn in_open_mode_a_claim_is_believed() {
        assert_eq!(
            Caller::Open.require_user(Some(UserId(2))).ok(),
            Some(UserId(2))
        );
        assert!(Caller::Open.require_user(None).is_err());
        assert_eq!(Caller::Open.acting_as(None).ok(), Some(None));
    }

    #[test]
    fn memberships_count_only_in_required_mode() {
        assert!(Mode::Required.signed_in(UserId(1)).members_only());
        assert!(!Mode::Open.signed_in(UserId(1)).members_only());
        assert_eq!(Mode::Open.anonymous().ok(), Some(Caller::Open));
        assert!(Mode::Required.anonymous().is_err());
    }
}
