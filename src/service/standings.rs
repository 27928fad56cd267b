//! How users stand to chats, and who becomes a member by connecting: asked by many at once.

use super::together::Together;
use crate::{
    error::Error,
    model::{ChatId, UserId},
    repository::{MemberRepository, Standing},
};

/// Where sockets ask. Cloning shares it.
#[derive(Clone)]
pub struct Standings {
    standings: Together<(UserId, ChatId), Standing>,
    newcomers: Together<(UserId, ChatId), ()>,
}

impl Standings {
    /// On these members.
    #[must_use]
    pub fn new(members: &MemberRepository) -> Self {
        let (reader, writer) = (members.clone(), members.clone());
        Self {
            standings: Together::start(move |pairs| {
                let members = reader.clone();
                async move { members.standings(&pairs).await }
            }),
            newcomers: Together::start(move |pairs| {
                let members = writer.clone();
                async move {
                    members.join(&pairs).await?;
                    Ok(vec![(); pairs.len()])
                }
            }),
        }
    }

    /// Whether nobody answers any more.
    pub(super) fn is_closed(&self) -> bool {
        self.standings.is_closed() || self.newcomers.is_closed()
    }

    /// How the user stands to the chat, read after this was called.
    ///
    /// # Errors
    /// `unavailable` where the store is.
    pub async fn ask(&self, user: UserId, chat: ChatId) -> Result<Standing, Error> {
        self.standings.ask((user, chat)).await
    }

    /// Makes a user a member, unless they are one or there is no such user or chat.
    ///
    /// # Errors
    /// `unavailable` where the store is.
    pub async fn join(&self, user: UserId, chat: ChatId) -> Result<(), Error> {
        self.newcomers.ask((user, chat)).await
    }
}
