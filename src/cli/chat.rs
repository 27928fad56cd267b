//! Command `make-admin`: it appoints an admin without the API, for a chat without a reachable admin.

use super::{
    cause,
    request::{CommandOutcome, said},
};
use crate::{
    database::Database,
    error::Error,
    model::{ChatId, Role, SoughtName, User, UserId},
};

/// Makes a user an admin of a chat. Adds the user to the chat if the user is not a member.
pub(super) async fn make_admin(
    database: &Database,
    named: &str,
    user: &str,
) -> Result<CommandOutcome, String> {
    let no_chat = || format!("there is no chat {named}; name the chat by its id");
    let id: ChatId = named.parse().map_err(|()| no_chat())?;
    let chat = database.chats().find(id).await;
    let chat = chat.map_err(failed)?.ok_or_else(no_chat)?;
    let user = find(database, user).await?;
    let admin = Some(Role::Admin);
    let mut locked_chat = database.chats().lock(id).await.map_err(failed)?;
    let set = locked_chat.set_member(user.customer_id, admin, None).await;
    if set.map_err(failed)?.is_none() {
        return Err(format!(
            "chat {id} or {} was deleted just now; nothing was changed",
            user.username
        ));
    }
    // The chat has at least one member now.
    locked_chat.note_empty(None).await.map_err(failed)?;
    locked_chat.commit().await.map_err(failed)?;
    let (name, chat) = (user.username, chat.chat_name);
    Ok(CommandOutcome {
        user: Some(user.customer_id),
        chat: Some(id),
        ..said(format!("{name} is an admin of chat {id}, {chat}."))
    })
}

/// Finds a user by name or id. A user may have a name equal to the id of another user; such an ambiguous text
/// is refused.
async fn find(database: &Database, named: &str) -> Result<User, String> {
    let (users, name) = (database.users(), SoughtName::new(named));
    let by_name = users.find_by_name(&name).await.map_err(failed)?;
    let by_id = match named.parse::<UserId>() {
        Ok(id) => users.find_all(&[id]).await.map_err(failed)?.pop(),
        Err(()) => None,
    };
    match (by_name, by_id) {
        (Some(one), Some(other)) if one.customer_id != other.customer_id => Err(format!(
            "{named} is the name of user {} and the id of {}: write {0} or {1}",
            one.customer_id, other.username
        )),
        (Some(user), _) | (None, Some(user)) => Ok(user),
        (None, None) => Err(format!("no user has the name or the id {named}")),
    }
}

fn failed(error: Error) -> String {
    cause(&error)
}
