//! How users stand to chats, and who becomes a member by connecting: asked by many at once.

use super::together::Together;
use crate::{
    error::Error,
    model::{ChatId, UserId},
    repository::{MemberRepository, Standing},
};
use std::future::Future;

/// Where sockets ask. Cloning shares it.
#[derive(Clone)]
pub struct Standings {
    standings: Together<(UserId, ChatId), Standing>,
    newcomers: Together<(UserId, ChatId), ()>,
}

impl Standings {
    /// Two queues, and the work of answering, which ends with the last clone of the handle.
    pub fn new(members: MemberRepository) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let reader = members.clone();
        let (standings, reading) = Together::new(move |pairs| {
            let members = reader.clone();
            async move { members.standings(&pairs).await }
        });
        let (newcomers, joining) = Together::new(move |pairs| {
            let members = members.clone();
            async move {
                members.join(&pairs).await?;
                Ok(vec![(); pairs.len()])
            }
        });
        let handle = Self {
            standings,
            newcomers,
        };
        (handle, async {
            tokio::join!(reading, joining);
        })
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
