//! Access policy: pure functions that decide if a caller may act, from the caller, the caller's role in the
//! chat and the stored facts. REST handlers, WebSocket handlers and the writer call these functions.
//! `docs/PERMISSIONS.md` has the permission table in words, and the tests execute that table.
//!
//! With `AUTH=required`, roles decide. In open mode every caller may use every chat. In open mode a
//! signed-in caller still may not act for another user, or edit or delete another user's message.

use crate::{
    auth::Caller,
    error::Error,
    model::{ChatId, MessageId, Role, UserId},
};

/// Allows members to read a chat, its members and its messages, and to send to the chat. Any other caller
/// gets `chat_not_found`, the error for a missing chat, so that the error does not reveal the chat. In open
/// mode every caller is allowed.
pub(crate) fn see_chat(caller: Caller, role: Option<Role>, chat: ChatId) -> Result<(), Error> {
    match role.is_none() && caller.members_only() {
        true => Err(Error::chat_not_found(chat).masked()),
        false => Ok(()),
    }
}

/// Allows members of the chat to read a message. Any other caller gets `message_not_found`, so that the
/// error does not reveal the message.
pub(crate) fn see_message(
    caller: Caller,
    role: Option<Role>,
    chat: ChatId,
    message: MessageId,
) -> Result<(), Error> {
    see_chat(caller, role, chat).map_err(|_| Error::message_not_found(message).masked())
}

/// Allows admins of the chat to rename it, to delete it and to change its memberships. A member without the
/// admin role gets `forbidden`; a caller without a membership gets `chat_not_found`.
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

/// Allows a caller to change or delete a user, or to read the user's list of chats, if the caller is that
/// user. Callers that are not signed in are allowed in open mode.
pub(crate) fn act_as(caller: Caller, user: UserId) -> Result<(), Error> {
    caller.acting_as(Some(user)).map(drop)
}

/// Allows the author to edit a message. `actor` is `None` for a caller in open mode that names no user; such a
/// caller is allowed. `author` is `None` if the author was deleted.
pub(crate) fn edit_message(
    actor: Option<UserId>,
    author: Option<UserId>,
    message: MessageId,
) -> Result<(), Error> {
    match actor.is_some() && actor != author {
        true => Err(Error::forbidden(format!(
            "Only its author may edit message {message}"
        ))),
        false => Ok(()),
    }
}

/// Allows the author and the admins of the chat to delete a message. `actor` is `None` for a caller in open
/// mode that names no user; such a caller is allowed. `author` is `None` if the author was deleted.
pub(crate) fn delete_message(
    actor: Option<UserId>,
    author: Option<UserId>,
    role: Option<Role>,
    chat: ChatId,
) -> Result<(), Error> {
    match actor.is_some() && actor != author && role != Some(Role::Admin) {
        true => Err(Error::forbidden(format!(
            "Only the author of the message or an admin of chat {chat} may delete it"
        ))),
        false => Ok(()),
    }
}

/// Refuses to remove or demote the last admin of a chat, because every chat must have an admin.
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
    fn members_see_a_chat_and_admins_administer_it() {
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
    fn only_authors_edit_a_message_and_admins_may_delete_it() {
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
    fn a_signed_in_user_changes_only_their_own_account() {
        assert_eq!(code(act_as(Caller::User(ME), ME)), None);
        let refused = act_as(Caller::User(ME), UserId(2));
        assert_eq!(code(refused), Some(Code::Forbidden));
        assert_eq!(code(act_as(Caller::Open, UserId(2))), None);
    }

    #[test]
    fn a_message_is_not_found_without_a_membership() {
        let code_for = |role| code(see_message(Caller::User(ME), role, CHAT, MessageId(1)));
        assert_eq!(code_for(None), Some(Code::MessageNotFound));
        assert_eq!(code_for(Some(Role::Participant)), None);
    }
}
