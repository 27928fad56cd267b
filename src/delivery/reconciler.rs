//! Compares what those who are connected have been told with what is stored, every few seconds and
//! whenever the link to the other servers may have lost something: whatever was missed, it is made
//! up for within 5 s, as long as the database answers. Ends that other servers tell of are asked of
//! the database at once. Where less is stored than was told, the database went back: the log begins
//! another epoch, and every socket begins again.

use crate::{
    error::Error,
    hub::{Claims, Event, Hub},
    model::{ChatId, Seq, SessionId, UserId},
    repository::{
        EpochRepository, LogState, MemberRepository, MessageLogRepository, SessionRepository,
        UserRepository,
    },
};
use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};
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
pub struct Reconciler {
    parts: ReconcilerParts,
    /// The log as it was seen last; none before the first look.
    log: Mutex<Option<LogState>>,
}

/// What it compares.
pub struct ReconcilerParts {
    /// Who is connected, and what they were told.
    pub hub: Hub,
    /// The chats.
    pub log: MessageLogRepository,
    /// Who belongs to them.
    pub members: MemberRepository,
    /// Who there is.
    pub users: UserRepository,
    /// Who is signed in.
    pub sessions: SessionRepository,
    /// Which log it is.
    pub epochs: EpochRepository,
    /// How often.
    pub period: Duration,
}

/// What a comparison of the chats has found.
struct Compared {
    /// Stored further than told.
    behind: Vec<(ChatId, Seq)>,
    /// Not stored.
    gone: Vec<ChatId>,
    /// Whether one is stored less far than it was told, or committed.
    went_back: bool,
}

impl Reconciler {
    /// On these parts.
    #[must_use]
    pub fn new(parts: ReconcilerParts) -> Self {
        let log = Mutex::new(None);
        Self { parts, log }
    }

    /// Works until `stop`. The heads go their own way: what is behind waits for no other answer.
    pub async fn run(self, stop: CancellationToken) {
        let all = Box::pin(async {
            let heads = self.run_every(|| self.reconcile_heads());
            let rest = self.run_every(|| self.evict_deleted());
            tokio::join!(
                heads,
                rest,
                self.look_into_claims(),
                self.begin_again_when_due()
            );
        });
        stop.run_until_cancelled(all).await;
    }

    async fn run_every<T: Future<Output = ()>>(&self, compare: impl Fn() -> T) {
        let mut doubts = self.parts.hub.possible_loss();
        let mut ticks = time::interval(self.parts.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            select! {
                _ = ticks.tick() => {}
                () = doubts.next() => {}
            }
            compare().await;
        }
    }

    /// Asks the database about the claims of other servers.
    async fn look_into_claims(&self) {
        loop {
            let claims = self.parts.hub.claims().await;
            if let Err(error) = self.look_into(claims).await {
                error.log();
                time::sleep(GRACE).await;
            }
        }
    }

    async fn look_into(&self, claims: Claims) -> Result<(), Error> {
        let Claims {
            chats,
            users,
            sessions,
        } = claims;
        self.end_users(&Vec::from_iter(users)).await?;
        self.end_sessions(&Vec::from_iter(sessions)).await?;
        let known = self.known();
        let compared = self
            .compare(&Vec::from_iter(chats), &HashMap::new())
            .await?;
        for (chat, head) in compared.behind {
            self.tell(chat, head);
        }
        for chat in compared.gone {
            self.parts.hub.deliver(chat, Event::Closed);
        }
        match compared.went_back {
            true => self.begin_again(&known).await,
            false => Ok(()),
        }
    }

    /// Begins again where a part of the server has found that the database went back.
    async fn begin_again_when_due(&self) {
        let hub = &self.parts.hub;
        loop {
            hub.contradiction().await;
            let (known, generation) = (self.known(), hub.generation());
            if let Err(error) = self.begin_again(&known).await {
                error.log();
                time::sleep(GRACE).await;
                hub.contradict(generation);
            }
        }
    }

    /// Tells chats that they are behind, if they still are after a while, and those that are gone. Chats
    /// are looked at twice: who connects to one is in its room before it is looked for.
    async fn reconcile_heads(&self) {
        let (behind, gone) = match self.heads().await {
            Ok(compared) => (compared.behind, compared.gone),
            Err(error) => return error.log(),
        };
        if behind.is_empty() && gone.is_empty() {
            return;
        }
        time::sleep(GRACE).await;
        for (chat, head) in behind {
            self.tell(chat, head);
        }
        match self.compare(&gone, &HashMap::new()).await {
            Ok(compared) => {
                for chat in compared.gone {
                    self.parts.hub.deliver(chat, Event::Closed);
                }
            }
            Err(error) => error.log(),
        }
    }

    /// Compares the heads of all chats, once it is sure that the log is the one that it was.
    async fn heads(&self) -> Result<Compared, Error> {
        self.follow().await?;
        let (known, recent) = (self.known(), self.parts.hub.take_recent());
        let compared = self.compare(&self.parts.hub.occupied(), &recent).await;
        let noted = match &compared {
            Ok(compared) if compared.went_back => self.begin_again(&known).await,
            Ok(_) if recent.is_empty() => Ok(()),
            Ok(_) => self.advance(&known).await,
            Err(_) => Err(Error::unavailable()),
        };
        if let Err(error) = noted {
            error.log();
            // Looked at with the next comparison.
            for (chat, seq) in recent {
                self.parts.hub.committed(chat, seq);
            }
        }
        compared
    }

    /// Moves the mark on: the log has grown.
    async fn advance(&self, known: &Option<LogState>) -> Result<(), Error> {
        let now = within(self.parts.epochs.advance()).await?;
        self.see(known, now);
        Ok(())
    }

    /// Follows the log into another epoch. A mark that is lower than it was tells that the database
    /// went back, even where the epoch is the same.
    async fn follow(&self) -> Result<(), Error> {
        let known = self.known();
        let now = within(self.parts.epochs.read()).await?;
        if known.as_ref().is_some_and(|known| now.mark < known.mark) {
            return self.begin_again(&known).await;
        }
        self.see(&known, now);
        Ok(())
    }

    /// The database went back from what was known: begins another epoch, unless another server has.
    async fn begin_again(&self, known: &Option<LogState>) -> Result<(), Error> {
        let now = within(self.parts.epochs.read()).await?;
        if known.is_none() {
            self.see(known, now.clone());
        }
        let known = known.clone().unwrap_or_else(|| now.clone());
        if known.epoch != now.epoch && known.mark < now.mark {
            self.see(&Some(known), now);
            return Ok(());
        }
        tracing::warn!("the database lacks changes that were told: it went back");
        let now = within(self.parts.epochs.renew(&now.epoch, known.mark)).await?;
        self.see(&Some(known), now);
        Ok(())
    }

    fn known(&self) -> Option<LogState> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }

    /// Takes note of the log, unless it was noted since `known` was; in another epoch every socket
    /// begins again.
    fn see(&self, known: &Option<LogState>, now: LogState) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if *log != *known {
            return;
        }
        let another = log.as_ref().is_some_and(|log| log.epoch != now.epoch);
        if another {
            tracing::warn!("the log is in another epoch: sockets are closed, and begin again");
            self.parts.hub.reset();
        }
        *log = Some(now);
    }

    /// One after the other, users first: a deleted user takes sessions and memberships along. What of
    /// this fails, fails alone.
    async fn evict_deleted(&self) {
        let users = self.end_users(&self.parts.hub.users()).await;
        let sessions = self.end_sessions(&self.parts.hub.sessions()).await;
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
        let non_members = self.non_members(&self.parts.hub.members_online()).await?;
        if non_members.is_empty() {
            return Ok(());
        }
        time::sleep(GRACE).await;
        let members_online: HashSet<(UserId, ChatId)> =
            self.parts.hub.members_online().into_iter().collect();
        let still = non_members
            .into_iter()
            .filter(|seat| members_online.contains(seat));
        let still: Vec<(UserId, ChatId)> = still.collect();
        for (user, chat) in self.non_members(&still).await? {
            self.parts.hub.deliver(chat, Event::Removed(user));
        }
        Ok(())
    }

    /// Tells a chat that it is behind, if it still is.
    fn tell(&self, chat: ChatId, head: Seq) {
        let Some(told) = self.parts.hub.told(chat).filter(|told| *told < head) else {
            return;
        };
        // Who has just come knows more than the chat has been told.
        if told > Seq(0) {
            self.parts.hub.count_healed();
        }
        self.parts.hub.deliver(chat, Event::HeadAdvanced(head));
    }

    /// The chats that are stored further than they have been told, those that are not stored, and
    /// whether one is stored less far than it was told, or committed: `recent`. What was told was
    /// stored before it was told, and so before it is read here.
    async fn compare(
        &self,
        chats: &[ChatId],
        recent: &HashMap<ChatId, Seq>,
    ) -> Result<Compared, Error> {
        let mut compared = Compared {
            behind: Vec::new(),
            gone: Vec::new(),
            went_back: false,
        };
        let mut all: HashSet<ChatId> = chats.iter().copied().collect();
        all.extend(recent.keys());
        let all = Vec::from_iter(all);
        for asked in all.chunks(AT_ONCE) {
            let told = asked.iter().map(|chat| (*chat, self.parts.hub.told(*chat)));
            let told: HashMap<ChatId, Option<Seq>> = told.collect();
            let heads = within(self.parts.log.heads(asked)).await?;
            let stored: HashMap<ChatId, Seq> =
                heads.iter().map(|head| (head.chat_id, head.seq)).collect();
            for (chat, told) in told {
                let known = told.max(recent.get(&chat).copied());
                match (stored.get(&chat), told) {
                    (None, Some(_)) => compared.gone.push(chat),
                    (Some(head), _) if Some(*head) < known => compared.went_back = true,
                    (Some(head), Some(told)) if told < *head => {
                        compared.behind.push((chat, *head));
                    }
                    _ => {}
                }
            }
        }
        Ok(compared)
    }

    /// Closes the sockets of users who are gone.
    async fn end_users(&self, users: &[UserId]) -> Result<(), Error> {
        for users in users.chunks(AT_ONCE) {
            for gone in within(self.parts.users.missing(users)).await? {
                self.parts.hub.end_user_here(gone);
            }
        }
        Ok(())
    }

    /// Closes the sockets of sessions that have ended.
    async fn end_sessions(&self, sessions: &[SessionId]) -> Result<(), Error> {
        for sessions in sessions.chunks(AT_ONCE) {
            for gone in within(self.parts.sessions.missing(sessions)).await? {
                self.parts.hub.end_session_here(gone);
            }
        }
        Ok(())
    }

    /// Those in these seats who do not belong to the chat, which is there.
    async fn non_members(
        &self,
        seats: &[(UserId, ChatId)],
    ) -> Result<Vec<(UserId, ChatId)>, Error> {
        let mut non_members = Vec::new();
        for seats in seats.chunks(AT_ONCE) {
            non_members.extend(within(self.parts.members.non_members(seats)).await?);
        }
        Ok(non_members)
    }
}

async fn within<T>(read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let read = time::timeout(READ_LIMIT, read).await;
    read.unwrap_or_else(|_| Err(Error::unavailable()))
}
