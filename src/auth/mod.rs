//! Who calls, how they prove it, and how a password is kept. Nothing here knows HTTP or SQL.

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

/// Who calls: the first argument of every method that acts for someone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Whoever they claim to be: the original's behaviour, on a developer's own machine.
    Open,
    /// Signed in although nobody must: this user and nobody else, where everyone may use every chat.
    Known(UserId),
    /// Signed in where everyone must: this user and nobody else, held to their memberships.
    User(UserId),
}

/// A user who has proved who they are, and by which session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// Who.
    pub user: UserId,
    /// By which session.
    pub session: SessionId,
}

/// Whether callers are believed or must sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Whoever is not signed in is believed.
    Open,
    /// Everyone signs in.
    Required,
}

impl Mode {
    /// Who calls without having signed in.
    ///
    /// # Errors
    /// `unauthorized` where everyone must.
    pub fn anonymous(self) -> Result<Caller, Error> {
        match self {
            Self::Open => Ok(Caller::Open),
            Self::Required => Err(Error::not_signed_in()),
        }
    }

    /// The caller that a signed-in user is.
    #[must_use]
    pub fn signed_in(self, user: UserId) -> Caller {
        match self {
            Self::Open => Caller::Known(user),
            Self::Required => Caller::User(user),
        }
    }
}

impl Caller {
    /// Who it is, where that is known for certain.
    #[must_use]
    pub fn user(self) -> Option<UserId> {
        match self {
            Self::Open => None,
            Self::Known(me) | Self::User(me) => Some(me),
        }
    }

    /// Decides whether a claimed identity is believed, and tells who acts: nobody in particular
    /// where nothing is claimed in open mode.
    ///
    /// # Errors
    /// `forbidden` where a signed-in user claims to be another.
    pub fn acting_as(self, claimed: Option<UserId>) -> Result<Option<UserId>, Error> {
        match (self.user(), claimed) {
            (None, claimed) => Ok(claimed),
            (Some(me), None) => Ok(Some(me)),
            (Some(me), Some(other)) if me == other => Ok(Some(me)),
            (Some(me), Some(other)) => Err(Error::forbidden(format!(
                "User {me} cannot speak for user {other}"
            ))),
        }
    }

    /// The same, where somebody in particular must act.
    ///
    /// # Errors
    /// `invalid_field` where nothing is claimed in open mode; `forbidden` as above.
    pub fn require_user(self, claimed: Option<UserId>) -> Result<UserId, Error> {
        self.acting_as(claimed)?
            .ok_or_else(|| Error::invalid_field("customerId", "the id of the user who acts"))
    }

    /// Whether only members may see and use a chat.
    #[must_use]
    pub fn members_only(self) -> bool {
        matches!(self, Self::User(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_signed_in_speaks_for_another() {
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
    fn only_where_everyone_signs_in_memberships_count() {
        assert!(Mode::Required.signed_in(UserId(1)).members_only());
        assert!(!Mode::Open.signed_in(UserId(1)).members_only());
        assert_eq!(Mode::Open.anonymous().ok(), Some(Caller::Open));
        assert!(Mode::Required.anonymous().is_err());
    }
}
