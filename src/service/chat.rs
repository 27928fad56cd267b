//! Chats.

use super::{
    janitor::Deletions,
    member::MemberService,
    pagination::{Limit, PAGE_BYTES, Page},
};
use crate::{
    auth::Caller,
    delivery::access,
    delivery::{Change, Writer},
    error::Error,
    model::{Chat, ChatId, ChatName, Message, MessageId, UserChat, UserId},
    policy,
    repository::{
        ChatPosition, ChatRepository, ListedChat, LockedChatRepository, MemberRepository,
    },
};
use std::{collections::HashMap, fmt, str::FromStr};

/// The rules about chats.
#[derive(Clone)]
pub struct ChatService {
    chats: ChatRepository,
    members: MemberRepository,
    locked_chats: LockedChatRepository,
    writer: Writer,
    /// Tells that a chat is there to be swept away.
    deletions: Deletions,
    /// Most chats that one user makes; none without a limit.
    most: Option<u32>,
}

/// What the rules about chats stand on.
pub struct ChatParts {
    /// Chats.
    pub chats: ChatRepository,
    /// Who belongs where.
    pub members: MemberRepository,
    /// Who belongs where, to be changed.
    pub locked_chats: LockedChatRepository,
    /// What deletes chats.
    pub writer: Writer,
    /// What is told that a chat is there to be swept away.
    pub deletions: Deletions,
    /// Most chats that one user makes and that are there; none without a limit.
    pub most: Option<u32>,
}

impl ChatService {
    /// On these parts.
    #[must_use]
    pub fn new(parts: ChatParts) -> Self {
        let ChatParts {
            chats,
            members,
            locked_chats,
            writer,
            deletions,
            most,
        } = parts;
        Self {
            chats,
            members,
            locked_chats,
            writer,
            deletions,
            most,
        }
    }

    /// The chats that the caller sees, with ids over `after`, by id: one's own where memberships
    /// count, else all.
    pub async fn list(
        &self,
        caller: Caller,
        after: ChatId,
        limit: Limit,
    ) -> Result<Page<Chat>, Error> {
        let rows = match caller {
            Caller::User(me) => self.chats.list_of(me, after, limit.and_one()).await?,
            Caller::Open | Caller::Known(_) => self.chats.list(after, limit.and_one()).await?,
        };
        Ok(limit.page(rows))
    }

    /// The chat of that id; `chat_not_found`.
    pub async fn find(&self, caller: Caller, id: ChatId) -> Result<Chat, Error> {
        let chat = self.chats.find(id).await?;
        access::may_see(&self.members, caller, id).await?;
        chat.ok_or_else(|| Error::chat_not_found(id))
    }

    /// Makes a chat; the caller, where known, is its admin. `forbidden` where they have made as many as
    /// they may.
    pub async fn create(&self, caller: Caller, name: ChatName) -> Result<Chat, Error> {
        self.chats.create(&name, caller.user(), self.most).await
    }

    /// Gives a chat another name; `chat_not_found`, `forbidden`.
    pub async fn rename(&self, caller: Caller, id: ChatId, name: ChatName) -> Result<Chat, Error> {
        // Before the lock, which a stranger must neither hold nor learn of.
        access::may_see(&self.members, caller, id).await?;
        let mut locked_chat = self.locked_chats.lock(id).await?;
        access::may_administer(caller, id, &mut locked_chat).await?;
        let chat = locked_chat.rename(&name).await?;
        let chat = chat.ok_or_else(|| Error::chat_not_found(id))?;
        locked_chat.commit().await?;
        Ok(chat)
    }

    /// Deletes a chat, and closes it for everyone: from then on nobody sees anything of it;
    /// `chat_not_found`, `forbidden`.
    pub async fn delete(&self, caller: Caller, chat: ChatId) -> Result<(), Error> {
        access::may_see(&self.members, caller, chat).await?;
        let change = Change::DeleteChat { caller, chat };
        self.writer.submit(change)?.answer().await?;
        self.deletions.note_chat();
        let by = caller.user().map(|me| me.0);
        tracing::info!(chat = chat.0, by, "chat deleted");
        Ok(())
    }
}

/// Last messages that are read at once for a list of chats: together never much over what a page may
/// hold.
const LAST_AT_ONCE: usize = 64;

/// Where a page of a user's chats begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatCursor {
    /// After this chat, at its present place in the list.
    Chat(ChatId),
    /// After this position, which stays where it is: the chat may be gone or active by now.
    Position(ChatPosition),
}

/// One page of a user's chats.
#[derive(Debug)]
pub struct ChatPage {
    /// The chats, the latest active first.
    pub rows: Vec<UserChat>,
    /// Where the next page begins. None where this page is the last.
    pub next: Option<ChatCursor>,
}

/// `7`, or `7.41.90`: the chat, the message that placed it, and the message that the list is as of.
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
            // A chat without messages.
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
    /// A user's chats, the latest active first, from `after` on; `user_not_found`, `invalid_field`.
    pub async fn chats_of(
        &self,
        caller: Caller,
        user: UserId,
        after: Option<ChatCursor>,
        limit: Limit,
    ) -> Result<ChatPage, Error> {
        policy::act_as(caller, user)?;
        let after = self.position(user, after).await?;
        let listed = self.members.chats_of(user, after, limit.and_one()).await?;
        if listed.is_empty() && self.users.find_all(&[user]).await?.is_empty() {
            return Err(Error::user_not_found(user));
        }
        let page = limit.page(listed);
        let positions: Vec<ChatPosition> = page.rows.iter().map(ListedChat::position).collect();
        let Page { mut rows, more } = self.with_last_messages(page).await?;
        // Taken before rows are left out, so that a page of chats that are gone has a next one too.
        let last = rows.len().checked_sub(1).filter(|_| more);
        let next = last.map(|last| ChatCursor::Position(positions[last]));
        self.keep_own(user, &mut rows).await?;
        Ok(ChatPage { rows, next })
    }

    /// The position after which a page begins.
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
        let found = self.members.position_of(user, chat).await?;
        let expected = "a chat of this list, or the value that the Link header gives";
        found
            .map(Some)
            .ok_or_else(|| Error::invalid_field("after", expected))
    }

    /// Reads the chats' last messages. The page ends before it is too much text.
    async fn with_last_messages(&self, page: Page<ListedChat>) -> Result<Page<UserChat>, Error> {
        let (mut rows, mut held) = (Vec::new(), 0);
        for listed in page.rows.chunks(LAST_AT_ONCE) {
            let ids: Vec<MessageId> = listed.iter().map(|row| row.last_message_id).collect();
            let last = self.messages.find_all(&ids).await?;
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

    /// Takes out of a user's list the chats that they were removed from while it was read.
    async fn keep_own(&self, user: UserId, rows: &mut Vec<UserChat>) -> Result<(), Error> {
        let pairs: Vec<(UserId, ChatId)> =
            rows.iter().map(|row| (user, row.chat.chat_id)).collect();
        let gone = self.members.non_members(&pairs).await?;
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
