//! Who may do what: the one place that decides, asked by REST and WebSocket alike. The table in
//! `docs/PERMISSIONS.md` says the same in words, and the tests execute it.
//!
//! Memberships count where everyone signs in. In open mode everyone may use every chat; only that
//! nobody signed in acts for another, and who may edit and delete a message, is the same.
//!
//! What is read is asked for after reading it, what is written inside the transaction: nobody sees or
//! does anything by a membership that has just ended.

use crate::{
    auth::Caller,
    error::Error,
    model::{ChatId, MessageId, Role, UserId},
    repository::{MemberRepository, Roster},
};

/// Seeing a chat, its members and messages, and writing to it, is for its members. For everyone else
/// it does not exist, in the same words as one that does not.
pub(super) fn see(caller: Caller, role: Option<Role>, chat: ChatId) -> Result<(), Error> {
    match role.is_none() && caller.members_only() {
        true => Err(Error::chat_not_found(chat).hiding()),
        false => Ok(()),
    }
}

/// The same by a message: for who does not see its chat it does not exist either.
pub(super) fn see_message(
    caller: Caller,
    role: Option<Role>,
    chat: ChatId,
    message: MessageId,
) -> Result<(), Error> {
    see(caller, role, chat).map_err(|_| Error::message_not_found(message).hiding())
}

/// Renaming and deleting a chat, and deciding who belongs to it, is for its admins.
fn run(caller: Caller, role: Option<Role>, chat: ChatId) -> Result<(), Error> {
    see(caller, role, chat)?;
    if caller.members_only() && role != Some(Role::Admin) {
        let message = format!("Only an admin of chat {chat} may do this");
        return Err(Error::forbidden(message));
    }
    Ok(())
}

/// Changing and deleting a user, and seeing their list of chats, is for themselves.
pub(super) fn own(caller: Caller, user: UserId) -> Result<(), Error> {
    caller.acting_as(Some(user)).map(drop)
}

/// Editing a message is for its author.
pub(super) fn edit(
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

/// Deleting a message is for its author and the chat's admins.
pub(super) fn delete(
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

/// Asks whether the caller sees a chat, at this moment.
pub(super) async fn sees(
    members: &MemberRepository,
    caller: Caller,
    chat: ChatId,
) -> Result<(), Error> {
    let role = match caller.user().filter(|_| caller.members_only()) {
        Some(me) => members.find(me, chat).await?.map(|member| member.role),
        None => None,
    };
    see(caller, role, chat)
}

/// Asks whether the caller runs a chat that is locked.
pub(super) async fn may_run(
    caller: Caller,
    chat: ChatId,
    roster: &mut Roster,
) -> Result<(), Error> {
    run(caller, role_of(caller, roster).await?, chat)
}

/// Asks whether the caller may end a membership: their own as anyone, another's as an admin. The last
/// admin stays until there is another, or the chat goes.
pub(super) async fn may_remove(
    caller: Caller,
    member: UserId,
    chat: ChatId,
    roster: &mut Roster,
) -> Result<(), Error> {
    let role = role_of(caller, roster).await?;
    if caller.user() != Some(member) {
        return run(caller, role, chat);
    }
    see(caller, role, chat)?;
    leaves_an_admin(caller, member, chat, roster).await
}

/// Asks whether the caller may give a member another role.
pub(super) async fn may_appoint(
    caller: Caller,
    member: UserId,
    role: Option<Role>,
    chat: ChatId,
    roster: &mut Roster,
) -> Result<(), Error> {
    may_run(caller, chat, roster).await?;
    match role {
        Some(Role::Participant) => leaves_an_admin(caller, member, chat, roster).await,
        Some(Role::Admin) | None => Ok(()),
    }
}

async fn role_of(caller: Caller, roster: &mut Roster) -> Result<Option<Role>, Error> {
    match caller.user().filter(|_| caller.members_only()) {
        Some(me) => roster.role(me).await,
        None => Ok(None),
    }
}

/// Whether a chat would still have an admin without this one. Somebody has to be able to run it.
async fn leaves_an_admin(
    caller: Caller,
    member: UserId,
    chat: ChatId,
    roster: &mut Roster,
) -> Result<(), Error> {
    let counts = caller.members_only() && roster.role(member).await? == Some(Role::Admin);
    if !counts || roster.has_other_admin(member).await? {
        return Ok(());
    }
    Err(Error::forbidden(format!(
        "User {member} is the last admin of chat {chat}: make another member admin first, or delete \
         the chat"
    )))
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
        assert_eq!(code(see(me, None, CHAT)), Some(Code::ChatNotFound));
        assert_eq!(code(see(me, member, CHAT)), None);
        assert_eq!(code(run(me, None, CHAT)), Some(Code::ChatNotFound));
        assert_eq!(code(run(me, member, CHAT)), Some(Code::Forbidden));
        assert_eq!(code(run(me, admin, CHAT)), None);
        for open in [Caller::Open, Caller::Known(ME)] {
            assert_eq!(code(run(open, None, CHAT)), None);
        }
    }

    #[test]
    fn a_message_is_its_authors_and_an_admin_may_delete_it() {
        let other = Some(UserId(2));
        assert_eq!(code(edit(Some(ME), Some(ME), MessageId(1))), None);
        assert_eq!(code(edit(None, other, MessageId(1))), None);
        let refused = edit(Some(ME), other, MessageId(1));
        assert_eq!(code(refused), Some(Code::Forbidden));
        let deleting = |role| code(delete(Some(ME), other, role, CHAT));
        assert_eq!(deleting(Some(Role::Participant)), Some(Code::Forbidden));
        assert_eq!(deleting(Some(Role::Admin)), None);
    }
}
