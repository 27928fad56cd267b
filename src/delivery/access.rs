//! Access checks that read the caller's role first, and then ask the policy.
//!
//! Reads are checked before the query, so that its time tells a stranger nothing, and again after it; writes
//! inside their transaction. A membership that has just ended gives no access.

use crate::{
    auth::Caller,
    database::Database,
    error::Error,
    model::{ChatId, Role, UserId},
    policy,
    repository::LockedChat,
};

/// Checks that the caller may see the chat now.
///
/// # Errors
/// `chat_not_found` if not; `unavailable` if the database does not answer.
pub(crate) async fn may_see(
    database: &Database,
    caller: Caller,
    chat: ChatId,
) -> Result<(), Error> {
    let role = match caller.user().filter(|_| caller.members_only()) {
        Some(me) => {
            let member = database.members().find(me, chat).await?;
            member.map(|member| member.role)
        }
        None => None,
    };
    policy::see_chat(caller, role, chat)
}

/// Checks that the caller may administer a locked chat.
pub(crate) async fn may_administer(
    caller: Caller,
    chat: ChatId,
    locked_chat: &mut LockedChat,
) -> Result<(), Error> {
    policy::administer_chat(caller, role_of(caller, locked_chat).await?, chat)
}

/// Checks that the caller may end a membership: the caller's own, or another's as an admin. The last admin
/// cannot leave.
pub(super) async fn may_remove(
    caller: Caller,
    member: UserId,
    chat: ChatId,
    locked_chat: &mut LockedChat,
) -> Result<(), Error> {
    let role = role_of(caller, locked_chat).await?;
    if caller.user() != Some(member) {
        return policy::administer_chat(caller, role, chat);
    }
    policy::see_chat(caller, role, chat)?;
    policy::keep_an_admin(
        member,
        chat,
        is_last_admin(caller, member, locked_chat).await?,
    )
}

/// Checks that the caller may give a member this role; null keeps the present role.
pub(crate) async fn may_appoint(
    caller: Caller,
    member: UserId,
    role: Option<Role>,
    chat: ChatId,
    locked_chat: &mut LockedChat,
) -> Result<(), Error> {
    may_administer(caller, chat, locked_chat).await?;
    match role {
        Some(Role::Participant) => policy::keep_an_admin(
            member,
            chat,
            is_last_admin(caller, member, locked_chat).await?,
        ),
        Some(Role::Admin) | None => Ok(()),
    }
}

/// The caller's role in the chat. Null if the caller is no member, and in open mode, where roles decide
/// nothing.
async fn role_of(caller: Caller, locked_chat: &mut LockedChat) -> Result<Option<Role>, Error> {
    match caller.user().filter(|_| caller.members_only()) {
        Some(me) => locked_chat.role(me).await,
        None => Ok(None),
    }
}

/// Whether the member is the only admin of the chat. False in open mode, where roles decide nothing.
async fn is_last_admin(
    caller: Caller,
    member: UserId,
    locked_chat: &mut LockedChat,
) -> Result<bool, Error> {
    let is_admin = caller.members_only() && locked_chat.role(member).await? == Some(Role::Admin);
    Ok(is_admin && !locked_chat.has_other_admin(member).await?)
}
