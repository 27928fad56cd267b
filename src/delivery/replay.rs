//! Reads for the feeds: the facts with which a socket begins in a chat, and the pages of a replay.

use super::{Connected, feed::FeedParts, replay_cache::SharedPage};
use crate::{
    auth::Caller,
    error::{Error, within},
    model::{ChatId, Epoch, Seq, Since, UserId},
    protocol::Frame,
    rate_limit::{LimitKey, Reservation},
    repository::{MembershipStatus, PageLimit},
};
use std::time::Duration;
use tokio::time;

/// The maximum size of a page: the messages that one read from the database loads for a socket. It bounds the
/// memory of a socket, and is small enough that a socket that catches up does not delay other sockets. A
/// socket with a client that does not read keeps its page for up to `WRITE_SECONDS`. JSON escapes can make the text
/// six times as long.
pub(crate) const PAGE: PageLimit = PageLimit {
    rows: 200,
    bytes: 256 * 1024,
};
/// The maximum number of things replayed on a socket. A client that missed more gets no replay and pages
/// them by REST.
const REPLAY_LIMIT: i64 = 1000;

/// How long a socket waits for a read permit, for a turn of its user, and for memory. If many thousands of
/// sockets reconnect at once, the last socket waits for the reads of all sockets before it.
const PERMIT_LIMIT: Duration = Duration::from_secs(20);
/// The maximum duration of a read, once the socket has its permit.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// The facts that a socket needs to begin in a chat.
pub(super) struct StartState {
    pub(super) username: String,
    pub(super) head: Seq,
    pub(super) epoch: Option<Epoch>,
    /// Whether the client missed more than `REPLAY_LIMIT` things.
    pub(super) truncated: bool,
}

/// The result of reading the next page of a replay.
pub(super) enum NextPage {
    /// The things with the next changes, by `seq`, and the memory that is reserved for them.
    Page(SharedPage, Reservation),
    /// The chat was deleted or the user was removed from it. Holds the chat's last frame for the user.
    Gone(Frame),
    /// The database has fewer changes than the socket was sent: it went back.
    Contradicted,
}

impl FeedParts {
    /// Runs a read once a permit is free.
    ///
    /// # Errors
    /// The error of the read; `unavailable` if the permit or the read takes too long.
    async fn with_read_permit<T>(
        &self,
        read: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let permit = time::timeout(PERMIT_LIMIT, self.read_permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else {
            return Err(Error::unavailable());
        };
        // Boxed after the wait, so that a waiting socket holds no running query.
        within(READ_LIMIT, Box::pin(read)).await
    }

    /// Checks that the user may connect, and reads the facts that the socket needs to begin.
    pub(super) async fn load_start(
        &self,
        caller: Caller,
        user: UserId,
        chat: ChatId,
        since: Option<&Since>,
    ) -> Result<StartState, Error> {
        let connected = self.members.connect(caller, user, chat, since).await?;
        let Connected {
            username,
            head,
            epoch,
        } = connected;
        let truncated = match since.map(|since| since.seq) {
            // Counted only if there are more changes than the limit: there are never more changed things
            // than changes.
            Some(since) if head.0 - since.0 > REPLAY_LIMIT => {
                let own = self.turns.take_own(LimitKey::User(user), PERMIT_LIMIT);
                let _turn = own.await?;
                let changes = self.database.changes();
                let counting = changes.count_since(chat, since, REPLAY_LIMIT + 1);
                self.with_read_permit(counting).await? > REPLAY_LIMIT
            }
            _ => false,
        };
        Ok(StartState {
            username,
            head,
            epoch,
            truncated,
        })
    }

    /// Reads the next page after `seen`. `head` is the lowest change that the replay must reach. The
    /// membership is read after the messages, so that a removed member gets no message of the time after the
    /// removal.
    pub(super) async fn load_next_page(
        &self,
        user: UserId,
        chat: ChatId,
        (seen, head): (Seq, Seq),
    ) -> Result<NextPage, Error> {
        // Read before the page: the page must reach every change that the hub has announced so far.
        let target = self.hub.head(chat).map_or(head, |known| known.max(head));
        let (page, memory) = self.reserved_page(user, (chat, seen), target).await?;
        match self.members.ask(user, chat).await? {
            MembershipStatus { username: None, .. } => {
                // The user was deleted: the socket is closed, without a last frame of any chat.
                self.hub.end_user_here(user);
                Err(Error::user_not_found(user))
            }
            MembershipStatus { head: None, .. } => Ok(NextPage::Gone(Frame::chat_deleted(chat))),
            // The head, read after the socket was sent `seen`, is below `seen`: the database went back.
            MembershipStatus {
                head: Some(stored), ..
            } if stored < seen => Ok(NextPage::Contradicted),
            MembershipStatus { role: None, .. } => Ok(NextPage::Gone(Frame::removed(chat))),
            MembershipStatus { .. } => Ok(NextPage::Page(page, memory)),
        }
    }

    /// Reads a page, and reserves memory for it. If the memory is in use, the page is not kept for the time of
    /// the wait, but read again.
    async fn reserved_page(
        &self,
        user: UserId,
        from: (ChatId, Seq),
        target: Seq,
    ) -> Result<(SharedPage, Reservation), Error> {
        let caller = LimitKey::User(user);
        let page = self.page_in_turn(caller, from, target).await?;
        let bytes = page.bytes();
        if let Some(memory) = self.memory.try_reserve(caller, bytes) {
            return Ok((page, memory));
        }
        drop(page);
        let memory = self.memory.reserve(caller, bytes, PERMIT_LIMIT).await?;
        let page = self.page_in_turn(caller, from, target).await?;
        Ok((page, memory))
    }

    /// Reads a page in a turn of the caller. The turn comes before a read that other users may share, so that
    /// they never wait for the turn of a busy user.
    async fn page_in_turn(
        &self,
        caller: LimitKey,
        (chat, seen): (ChatId, Seq),
        target: Seq,
    ) -> Result<SharedPage, Error> {
        let _turn = self.turns.take_own(caller, PERMIT_LIMIT).await?;
        let read = || {
            self.metrics.reads.inc();
            self.with_read_permit(self.database.changes().since(chat, seen, PAGE))
        };
        self.replay_cache.after((chat, seen), target, read).await
    }
}
