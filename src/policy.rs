//! Access policy: decides what a caller may do, as pure functions over the caller, the caller's role in
//! the chat and the stored facts. REST, WebSocket and the writer all ask here. `docs/PERMISSIONS.md` has
//! the table in words, and the tests execute that table.
//!
//! With `AUTH=required`, roles decide. In open mode every caller may use every chat; acting for another
//! user, editing and deleting messages are still checked for callers that are signed in.

use crate::{
    auth::Caller,
    error::Error,
    model::{ChatId, MessageId, Role, UserId},
};

/// Allows reading a chat, its members and its messages, and sending to it, to its members. The error for
/// others is `chat_not_found`, as for a chat that does not exist.
pub(crate) fn see_chat(caller: Caller, role: Option<Role>, chat: ChatId) -> Result<(), Error> {
    match role.is_none() && caller.members_only() {
        true => Err(Error::chat_not_found(chat).masked()),
        false => Ok(()),
    }
}

/// Allows reading a message to the members of its chat. The error for others is `message_not_found`.
pub(crate) fn see_message(
    caller: Caller,
    role: Option<Role>,
    chat: ChatId,
    message: MessageId,
) -> Result<(), Error> {
    see_chat(caller, role, chat).map_err(|_| Error::message_not_found(message).masked())
}

/// Allows renaming and deleting a chat, and changing its memberships, to its admins.
pub(crate) fn administer_chat(
    caller: Caller,
    role: Option<Role>,
    chat: ChatId,
) -> Result<(), Error> {
    see_chat(caller, role, chat)?;
    if caller.members_only() && role != Some(Role::Admin) {
        let message = format!("Only an admin of chat {chat} may do this");
        return Err(Error::forbidden(message));
    }
    Ok(())
}

/// Allows changing and deleting a user, and reading the user's list of chats, to that user.
pub(crate) fn act_as(caller: Caller, user: UserId) -> Result<(), Error> {
    caller.acting_as(Some(user)).map(drop)
}

/// Allows editing a message to its author. `actor` is null for a caller in open mode that names no user.
pub(crate) fn edit_message(
    actor: Option<UserId>,
    author: Option<UserId>,
    message: MessageId,
) -> Result<(), Error> {
    match actor.is_some() && actor != author {
        true => Err(Error::forbidden(format!(
            "Only its author edits message {message}"
        ))),
        false => Ok(()),
    }
}

/// Allows deleting a message to its author and to the chat's admins.
pub(crate) fn delete_message(
    actor: Option<UserId>,
    author: Option<UserId>,
    role: Option<Role>,
    chat: ChatId,
) -> Result<(), Error> {
    match actor.is_some() && actor != author && role != Some(Role::Admin) {
        true => Err(Error::forbidden(format!(
            "Only its author or an admin of chat {chat} deletes it"
        ))),
        false => Ok(()),
    }
}

/// Refuses to take the admin role from the last admin of a chat: every chat must have one.
pub(crate) fn keep_an_admin(
    member: UserId,
    chat: ChatId,
    is_last_admin: bool,
) -> Result<(), Error> {
    match is_last_admin {
        true => Err(Error::forbidden(format!(
            "User {member} is the last admin of chat {chat}: make another member admin first, or \
             delete the chat"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    const CHAT: ChatId = ChatId(7);
    const ME: UserId = UserId(1);

    fn code(result: Result<(), Error>) -> Option<Code> {
        result.err().map(|error| error.code())
    }

    #[test]
    fn a_chat_is_its_members_and_run_by_its_admins() {
        let me = Caller::User(ME);
        let (admin, member) = (Some(Role::Admin), Some(Role::Participant));
        assert_eq!(code(see_chat(me, None, CHAT)), Some(Code::ChatNotFound));
        assert_eq!(code(see_chat(me, member, CHAT)), None);
        assert_eq!(
            code(administer_chat(me, None, CHAT)),
            Some(Code::ChatNotFound)
        );
        assert_eq!(
            code(administer_chat(me, member, CHAT)),
            Some(Code::Forbidden)
        );
        assert_eq!(code(administer_chat(me, admin, CHAT)), None);
        for open in [Caller::Open, Caller::Known(ME)] {
            assert_eq!(code(administer_chat(open, None, CHAT)), None);
        }
    }

    #[test]
    fn a_message_is_its_authors_and_an_admin_may_delete_it() {
        let other = Some(UserId(2));
        assert_eq!(code(edit_message(Some(ME), Some(ME), MessageId(1))), None);
        assert_eq!(code(edit_message(None, other, MessageId(1))), None);
        let refused = edit_message(Some(ME), other, MessageId(1));
        assert_eq!(code(refused), Some(Code::Forbidden));
        let deleting = |role| code(delete_message(Some(ME), other, role, CHAT));
        assert_eq!(deleting(Some(Role::Participant)), Some(Code::Forbidden));
        assert_eq!(deleting(Some(Role::Admin)), None);
    }

    #[test]
    fn the_last_admin_keeps_the_role() {
        assert_eq!(code(keep_an_admin(ME, CHAT, true)), Some(Code::Forbidden));
        assert_eq!(code(keep_an_admin(ME, CHAT, false)), None);
    }

    #[test]
    fn a_user_is_changed_by_that_user_alone() {
        assert_eq!(code(act_as(Caller::User(ME), ME)), None);
        let refused = act_as(Caller::User(ME), UserId(2));
        assert_eq!(code(refused), Some(Code::Forbidden));
        assert_eq!(code(act_as(Caller::Open, UserId(2))), None);
    }

    #[test]
    fn a_message_of_a_hidden_chat_does_not_exist() {
        let seen = |role| code(see_message(Caller::User(ME), role, CHAT, MessageId(1)));
        assert_eq!(seen(None), Some(Code::MessageNotFound));
        assert_eq!(seen(Some(Role::Participant)), None);
    }
}
