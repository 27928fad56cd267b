//! Creating, listing and deleting chats, and a user's list of chats with their last messages.

use super::{
    janitor::Deletions,
    member::MemberService,
    pagination::{Limit, PAGE_BYTES, Page},
};
use crate::{
    auth::Caller,
    database::Database,
    delivery::access,
    delivery::{Change, Writer},
    error::Error,
    model::{
        Chat, ChatId, ChatName, ChatUpdate, Data, Message, MessageId, NewChat, Topic, UserChat,
        UserId,
    },
    policy,
    repository::{ChatPosition, ListedChat},
};
use std::{collections::HashMap, fmt, str::FromStr};

/// The rules about chats.
#[derive(Clone)]
pub struct ChatService {
    database: Database,
    writer: Writer,
    /// Notified of a deleted chat, so that it is purged.
    deletions: Deletions,
    /// The most chats that one user may have created at a time, without deleted chats; null without a
    /// limit.
    most: Option<u32>,
}

impl ChatService {
    /// Returns the service.
    #[must_use]
    pub fn new(
        database: Database,
        writer: Writer,
        deletions: Deletions,
        most: Option<u32>,
    ) -> Self {
        Self {
            database,
            writer,
            deletions,
            most,
        }
    }

    /// Returns the chats visible to the caller with ids above `after`, by id: the user's own chats if
    /// membership is required, otherwise all chats.
    pub async fn list(
        &self,
        caller: Caller,
        after: ChatId,
        limit: Limit,
    ) -> Result<Page<Chat>, Error> {
        let chats = self.database.chats();
        let rows = match caller {
            Caller::User(me) => chats.list_of(me, after, limit.and_one()).await?,
            Caller::Open | Caller::Known(_) => chats.list(after, limit.and_one()).await?,
        };
        Ok(limit.page(rows))
    }

    /// Returns a chat by id.
    ///
    /// # Errors
    /// `chat_not_found`, also if the caller may not see the chat.
    pub async fn find(&self, caller: Caller, id: ChatId) -> Result<Chat, Error> {
        let chat = self.database.chats().find(id).await?;
        access::may_see(&self.database, caller, id).await?;
        chat.ok_or_else(|| Error::chat_not_found(id))
    }

    /// Creates a chat. The caller becomes its admin, if the caller is a user.
    ///
    /// # Errors
    /// `forbidden` if the user has created `most` chats already.
    pub async fn create(
        &self,
        caller: Caller,
        name: ChatName,
        topic: Option<Topic>,
        data: Option<Data>,
    ) -> Result<Chat, Error> {
        let chats = self.database.chats();
        let new = NewChat { name, topic, data };
        chats.create(&new, caller.user(), self.most).await
    }

    /// Changes the name, the topic or the data of a chat.
    ///
    /// # Errors
    /// `chat_not_found`, also if the caller may not see the chat; `forbidden` if the caller is not an
    /// admin.
    pub async fn update(
        &self,
        caller: Caller,
        chat: ChatId,
        update: ChatUpdate,
    ) -> Result<Chat, Error> {
        // Checked before the lock, so that a stranger can neither hold the lock nor notice it.
        access::may_see(&self.database, caller, chat).await?;
        let change = Change::UpdateChat {
            caller,
            chat,
            update,
        };
        self.writer.submit(change)?.answer().await?.into_chat()
    }

    /// Deletes a chat, and closes it for every socket. The chat is no longer visible to any user.
    ///
    /// # Errors
    /// `chat_not_found`, also if the caller may not see the chat; `forbidden` if the caller is not an
    /// admin.
    pub async fn delete(&self, caller: Caller, chat: ChatId) -> Result<(), Error> {
        access::may_see(&self.database, caller, chat).await?;
        let change = Change::DeleteChat { caller, chat };
        self.writer.submit(change)?.answer().await?;
        self.deletions.note_chat();
        let by = caller.user().map(|me| me.0);
        tracing::info!(chat = chat.0, by, "chat deleted");
        Ok(())
    }
}

/// The number of last messages read in one query. Few enough that their text hardly exceeds the limit of a
/// page.
const LAST_AT_ONCE: usize = 64;

/// The start of a page of a user's chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatCursor {
    /// After this chat, at its present place in the list.
    Chat(ChatId),
    /// After this fixed position. The chat at the position may since be deleted or have moved to the top.
    Position(ChatPosition),
}

/// One page of a user's chats.
#[derive(Debug)]
pub struct ChatPage {
    /// The chats, most recently active first.
    pub rows: Vec<UserChat>,
    /// The start of the next page; null on the last page.
    pub next: Option<ChatCursor>,
}

/// Formats the cursor as `7` or `7.41.90`: the chat, the message that placed it, and the newest message
/// when the list was first read. Parsed from the `after` parameter, so the format is public.
impl fmt::Display for ChatCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chat(chat) => write!(f, "{chat}"),
            Self::Position(ChatPosition {
                chat,
                last_message,
                as_of,
            }) => write!(f, "{chat}.{last_message}.{as_of}"),
        }
    }
}

impl FromStr for ChatCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let message = |text: &str| match text {
            // A chat without messages has message id 0.
            "0" => Ok(MessageId(0)),
            text => text.parse().map_err(drop),
        };
        let mut parts = text.split('.');
        let mut part = || parts.next();
        let chat = part().unwrap_or_default().parse().map_err(drop)?;
        match (part(), part(), part()) {
            (None, ..) => Ok(Self::Chat(chat)),
            (Some(last), Some(as_of), None) => Ok(Self::Position(ChatPosition {
                chat,
                last_message: message(last)?,
                as_of: message(as_of)?,
            })),
            _ => Err(()),
        }
    }
}

impl MemberService {
    /// Returns a user's chats from `after` on, most recently active first.
    ///
    /// # Errors
    /// `forbidden` if the caller is another user; `user_not_found`; `invalid_field` if `after` is not a
    /// chat of the list.
    pub async fn chats_of(
        &self,
        caller: Caller,
        user: UserId,
        after: Option<ChatCursor>,
        limit: Limit,
    ) -> Result<ChatPage, Error> {
        policy::act_as(caller, user)?;
        let after = self.position(user, after).await?;
        let members = self.database.members();
        let listed = members.chats_of(user, after, limit.and_one()).await?;
        if listed.is_empty() && self.database.users().find_all(&[user]).await?.is_empty() {
            return Err(Error::user_not_found(user));
        }
        let page = limit.page(listed);
        let positions: Vec<ChatPosition> = page.rows.iter().map(ListedChat::position).collect();
        let Page { mut rows, more } = self.with_last_messages(page).await?;
        // Computed before chats are left out, so that a page of deleted chats still has a next page.
        let last = rows.len().checked_sub(1).filter(|_| more);
        let next = last.map(|last| ChatCursor::Position(positions[last]));
        self.keep_own(user, &mut rows).await?;
        Ok(ChatPage { rows, next })
    }

    /// The position after which the page begins; null for the first page.
    async fn position(
        &self,
        user: UserId,
        after: Option<ChatCursor>,
    ) -> Result<Option<ChatPosition>, Error> {
        let chat = match after {
            None => return Ok(None),
            Some(ChatCursor::Position(position)) => return Ok(Some(position)),
            Some(ChatCursor::Chat(chat)) => chat,
        };
        let found = self.database.members().position_of(user, chat).await?;
        let expected = "a chat in this list, or the value from the Link header";
        found
            .map(Some)
            .ok_or_else(|| Error::invalid_field("after", expected))
    }

    /// Loads the last messages of the chats. The page ends early once their text exceeds `PAGE_BYTES`.
    async fn with_last_messages(&self, page: Page<ListedChat>) -> Result<Page<UserChat>, Error> {
        let (mut rows, mut held) = (Vec::new(), 0);
        for listed in page.rows.chunks(LAST_AT_ONCE) {
            let ids: Vec<MessageId> = listed.iter().map(|row| row.last_message_id).collect();
            let last = self.database.messages().find_all(&ids).await?;
            let mut last: HashMap<MessageId, Message> = last
                .into_iter()
                .map(|message| (message.message_id, message))
                .collect();
            for row in listed {
                let last_message = last.remove(&row.last_message_id);
                held += last_message.as_ref().map_or(0, Message::size);
                if held > PAGE_BYTES && !rows.is_empty() {
                    return Ok(Page { rows, more: true });
                }
                rows.push(UserChat {
                    chat: row.chat.clone(),
                    role: row.role,
                    last_message,
                    unread: row.unread,
                    last_read_message_id: row.last_read_message_id,
                });
            }
        }
        let more = page.more;
        Ok(Page { rows, more })
    }

    /// Removes the chats from which the user was removed while the list was read.
    async fn keep_own(&self, user: UserId, rows: &mut Vec<UserChat>) -> Result<(), Error> {
        let pairs: Vec<(UserId, ChatId)> =
            rows.iter().map(|row| (user, row.chat.chat_id)).collect();
        let gone = self.database.members().non_members(&pairs).await?;
        rows.retain(|row| !gone.contains(&(user, row.chat.chat_id)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let position = ChatPosition {
            chat: ChatId(7),
            last_message: MessageId(0),
            as_of: MessageId(90),
        };
        for cursor in [ChatCursor::Chat(ChatId(7)), ChatCursor::Position(position)] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for wrong in [
            "", "0", "-1", "7.1", "7.1.2.3", "7..2", "7.x.2", "7.1.-2", "x",
        ] {
            assert_eq!(wrong.parse::<ChatCursor>(), Err(()), "{wrong:?}");
        }
    }
}
