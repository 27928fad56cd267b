//! Who calls.

use crate::{error::Error, model::UserId};

/// Who calls: the first argument of every method that acts for someone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Whoever they claim to be: the original's behaviour, on a developer's own machine.
    Open,
    /// This user, and nobody else.
    User(UserId),
}

impl Caller {
    /// Decides whether a claimed identity is believed, and tells who acts: nobody in particular
    /// where nothing is claimed in open mode.
    ///
    /// # Errors
    /// `forbidden` where a signed-in user claims to be another.
    pub fn acting_as(self, claimed: Option<UserId>) -> Result<Option<UserId>, Error> {
        match (self, claimed) {
            (Self::Open, claimed) => Ok(claimed),
            (Self::User(me), None) => Ok(Some(me)),
            (Self::User(me), Some(other)) if me == other => Ok(Some(me)),
            (Self::User(me), Some(other)) => Err(Error::forbidden(format!(
                "User {me} cannot speak for user {other}"
            ))),
        }
    }

    /// The same, where somebody in particular must act.
    ///
    /// # Errors
    /// `invalid_field` where nothing is claimed in open mode; `forbidden` as above.
    pub fn someone(self, claimed: Option<UserId>) -> Result<UserId, Error> {
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
        let me = Caller::User(UserId(1));
        assert_eq!(me.someone(None).ok(), Some(UserId(1)));
        assert_eq!(me.someone(Some(UserId(1))).ok(), Some(UserId(1)));
        assert!(me.someone(Some(UserId(2))).is_err());
    }

    #[test]
    fn in_open_mode_a_claim_is_believed() {
        assert_eq!(Caller::Open.someone(Some(UserId(2))).ok(), Some(UserId(2)));
        assert!(Caller::Open.someone(None).is_err());
        assert_eq!(Caller::Open.acting_as(None).ok(), Some(None));
    }
}
