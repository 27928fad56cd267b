//! A user's own list of chats.

use super::{
    MemberService,
    page::{Limit, PAGE_BYTES, Page},
    permission,
};
use crate::{
    auth::Caller,
    error::Error,
    model::{ChatId, Message, MessageId, UserChat, UserId},
    repository::ListedChat,
};
use std::collections::HashMap;

/// Last messages that are read at once for a list of chats: together never much over what a page may
/// hold.
const LAST_AT_ONCE: usize = 64;

impl MemberService {
    /// A user's chats, the latest active first, after the chat `after`; `user_not_found`.
    pub async fn chats_of(
        &self,
        caller: Caller,
        user: UserId,
        after: ChatId,
        limit: Limit,
    ) -> Result<Page<UserChat>, Error> {
        permission::own(caller, user)?;
        let page = limit.page(self.members.chats_of(user, after, limit.and_one()).await?);
        if page.rows.is_empty() && self.users.find_all(&[user]).await?.is_empty() {
            return Err(Error::user_not_found(user));
        }
        let page = self.with_last_messages(page).await?;
        self.still_of(user, page).await
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
    async fn still_of(
        &self,
        user: UserId,
        mut page: Page<UserChat>,
    ) -> Result<Page<UserChat>, Error> {
        let pairs: Vec<(UserId, ChatId)> = page
            .rows
            .iter()
            .map(|row| (user, row.chat.chat_id))
            .collect();
        let gone = self.members.strangers(&pairs).await?;
        page.rows
            .retain(|row| !gone.contains(&(user, row.chat.chat_id)));
        Ok(page)
    }
}
