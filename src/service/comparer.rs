//! Compares what those who are connected have been told with what is stored, every few seconds and
//! whenever the link to the other servers may have lost something: whatever was missed, it is made
//! up for within 5 s, as long as the database answers.

use crate::{
    error::Error,
    hub::{Event, Hub},
    model::{ChatId, Seq, UserId},
    repository::{LogRepository, MemberRepository, SessionRepository, UserRepository},
};
use std::{collections::HashSet, future::Future, time::Duration};
use tokio::{
    select,
    time::{self, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

/// How long the database may take for one question.
const READ_LIMIT: Duration = Duration::from_secs(2);
/// What is stored and has not been told may just be on its way: it is missing if it still is after
/// this long.
const GRACE: Duration = Duration::from_millis(500);
/// Most chats, or users, of one question.
const AT_ONCE: usize = 10_000;

/// Compares, until it is told to stop.
pub struct Comparer(ComparerParts);

/// What it compares.
pub struct ComparerParts {
    /// Who is connected, and what they were told.
    pub hub: Hub,
    /// The chats.
    pub log: LogRepository,
    /// Who belongs to them.
    pub members: MemberRepository,
    /// Who there is.
    pub users: UserRepository,
    /// Who is signed in.
    pub sessions: SessionRepository,
    /// How often.
    pub period: Duration,
}

/// What a comparison of the chats has found.
struct Compared {
    /// Stored further than told.
    behind: Vec<(ChatId, Seq)>,
    /// Not stored.
    gone: Vec<ChatId>,
}

impl Comparer {
    /// On these parts.
    #[must_use]
    pub fn new(parts: ComparerParts) -> Self {
        Self(parts)
    }

    /// Works until `stop`. The heads go their own way: what is behind waits for no other answer.
    pub async fn run(self, stop: CancellationToken) {
        let all = async {
            let heads = self.again_and_again(|| self.heal());
            let rest = self.again_and_again(|| self.end_what_is_gone());
            tokio::join!(heads, rest);
        };
        stop.run_until_cancelled(all).await;
    }

    async fn again_and_again<T: Future<Output = ()>>(&self, compare: impl Fn() -> T) {
        let mut doubts = self.0.hub.doubts();
        let mut ticks = time::interval(self.0.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            select! {
                _ = ticks.tick() => {}
                () = doubts.next() => {}
            }
            compare().await;
        }
    }

    /// Tells chats that they are behind, if they still are after a while, and those that are gone. Chats
    /// are looked at twice: who connects to one is in its room before it is looked for.
    async fn heal(&self) {
        let Compared { behind, gone } = match self.heads().await {
            Ok(compared) => compared,
            Err(error) => return error.log(),
        };
        if behind.is_empty() && gone.is_empty() {
            return;
        }
        time::sleep(GRACE).await;
        for (chat, head) in behind {
            self.tell(chat, head);
        }
        match self.still_gone(&gone).await {
            Ok(gone) => {
                for chat in gone {
                    self.0.hub.deliver(chat, Event::Closed);
                }
            }
            Err(error) => error.log(),
        }
    }

    /// One after the other, users first: a deleted user takes sessions and memberships along. What of
    /// this fails, fails alone.
    async fn end_what_is_gone(&self) {
        let users = self.end_users().await;
        let sessions = self.end_sessions().await;
        let memberships = self.end_memberships().await;
        for ended in [users, sessions, memberships] {
            if let Err(error) = ended {
                error.log();
            }
        }
    }

    /// Sessions and users end at once: whoever has one was found in the database before. Members may
    /// just be on their way, and are looked at twice.
    async fn end_memberships(&self) -> Result<(), Error> {
        let strangers = self.strangers(&self.0.hub.seated()).await?;
        if strangers.is_empty() {
            return Ok(());
        }
        time::sleep(GRACE).await;
        let seated: HashSet<(UserId, ChatId)> = self.0.hub.seated().into_iter().collect();
        let still = strangers.into_iter().filter(|seat| seated.contains(seat));
        let still: Vec<(UserId, ChatId)> = still.collect();
        for (user, chat) in self.strangers(&still).await? {
            self.0.hub.deliver(chat, Event::Removed(user));
        }
        Ok(())
    }

    /// Tells a chat that it is behind, if it still is.
    fn tell(&self, chat: ChatId, head: Seq) {
        let Some(told) = self.0.hub.told(chat).filter(|told| *told < head) else {
            return;
        };
        // Who has just come knows more than the chat has been told.
        if told > Seq(0) {
            self.0.hub.count_healed();
        }
        self.0.hub.deliver(chat, Event::Behind(head));
    }

    /// The chats that are stored further than they have been told, and those that are not stored.
    async fn heads(&self) -> Result<Compared, Error> {
        let (mut behind, mut gone) = (Vec::new(), Vec::new());
        for chats in self.0.hub.occupied().chunks(AT_ONCE) {
            let heads = within(self.0.log.heads(chats)).await?;
            let stored: HashSet<ChatId> = heads.iter().map(|head| head.chat_id).collect();
            gone.extend(chats.iter().filter(|chat| !stored.contains(chat)));
            behind.extend(heads.into_iter().filter_map(|head| {
                let told = self.0.hub.told(head.chat_id)?;
                (told < head.seq).then_some((head.chat_id, head.seq))
            }));
        }
        Ok(Compared { behind, gone })
    }

    /// Those of the chats that are still not stored.
    async fn still_gone(&self, chats: &[ChatId]) -> Result<Vec<ChatId>, Error> {
        let mut gone = Vec::new();
        for chats in chats.chunks(AT_ONCE) {
            let heads = within(self.0.log.heads(chats)).await?;
            let stored: HashSet<ChatId> = heads.iter().map(|head| head.chat_id).collect();
            gone.extend(chats.iter().filter(|chat| !stored.contains(chat)));
        }
        Ok(gone)
    }

    /// Closes the sockets of users who are gone.
    async fn end_users(&self) -> Result<(), Error> {
        for users in self.0.hub.users().chunks(AT_ONCE) {
            for gone in within(self.0.users.missing(users)).await? {
                self.0.hub.end_user_here(gone);
            }
        }
        Ok(())
    }

    /// Closes the sockets of sessions that have ended.
    async fn end_sessions(&self) -> Result<(), Error> {
        for sessions in self.0.hub.sessions().chunks(AT_ONCE) {
            for gone in within(self.0.sessions.missing(sessions)).await? {
                self.0.hub.end_session_here(gone);
            }
        }
        Ok(())
    }

    /// Those in these seats who do not belong to the chat, which is there.
    async fn strangers(&self, seats: &[(UserId, ChatId)]) -> Result<Vec<(UserId, ChatId)>, Error> {
        let mut strangers = Vec::new();
        for seats in seats.chunks(AT_ONCE) {
            strangers.extend(within(self.0.members.strangers(seats)).await?);
        }
        Ok(strangers)
    }
}

async fn within<T>(read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let read = time::timeout(READ_LIMIT, read).await;
    read.unwrap_or_else(|_| Err(Error::unavailable()))
}
