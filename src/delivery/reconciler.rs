//! The reconciler compares the state of the hub with the database, every few seconds and whenever the link
//! between nodes may have lost an event. A lost event is made up for within 5 s while the database answers.
//! Ends that another node reports (of a chat, a user or a session) are verified in the database at once. If
//! the database has less than was published, it went back: the log begins a new epoch, and all sockets are
//! reset.

use crate::{
    database::Database,
    error::{Error, within},
    hub::{Claims, Event, Hub},
    model::{ChatId, Seq, SessionId, UserId},
    repository::LogState,
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

/// The time that the database has to answer one query.
const READ_LIMIT: Duration = Duration::from_secs(2);
/// How long a difference must last before it is acted on. A change that is stored and not yet published may
/// be on its way. Also the pause after a failed query.
const GRACE: Duration = Duration::from_millis(500);
/// The maximum number of chats, users, sessions or memberships in one query.
const QUERY_SIZE: usize = 10_000;

/// The task that reconciles the hub with the database.
pub struct Reconciler {
    hub: Hub,
    database: Database,
    /// The time between two comparisons.
    period: Duration,
    /// The state of the log at the last read. Null before the first read.
    log: Mutex<Option<LogState>>,
}

/// The differences that a comparison of chats has found.
struct Compared {
    /// Chats with a stored head above the published head, and the stored head.
    behind: Vec<(ChatId, Seq)>,
    /// Occupied chats that do not exist in the database.
    gone: Vec<ChatId>,
    /// Whether a chat's stored head is below its published or committed head: the database went back.
    went_back: bool,
}

impl Reconciler {
    /// Creates a reconciler that compares the hub with the database once per `period`.
    #[must_use]
    pub fn new(hub: Hub, database: Database, period: Duration) -> Self {
        Self {
            hub,
            database,
            period,
            log: Mutex::new(None),
        }
    }

    /// Reconciles until `stop`. The heads have a loop of their own, so that a chat that is behind does not
    /// wait for the other queries.
    pub async fn run(self, stop: CancellationToken) {
        let all = Box::pin(async {
            let heads = self.run_every(|| self.reconcile_heads());
            let rest = self.run_every(|| self.evict_deleted());
            tokio::join!(
                heads,
                rest,
                self.verify_claims(),
                self.renew_epoch_on_contradiction()
            );
        });
        stop.run_until_cancelled(all).await;
    }

    /// Runs a comparison once per period, and at once when the link may have lost an event.
    async fn run_every<T: Future<Output = ()>>(&self, compare: impl Fn() -> T) {
        let mut losses = self.hub.possible_loss();
        let mut ticks = time::interval(self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            select! {
                _ = ticks.tick() => {}
                () = losses.next() => {}
            }
            compare().await;
        }
    }

    /// Verifies the claims of other nodes in the database, as they arrive.
    async fn verify_claims(&self) {
        loop {
            let claims = self.hub.claims().await;
            if let Err(error) = self.verify(claims).await {
                error.log();
                time::sleep(GRACE).await;
            }
        }
    }

    /// Acts on the claims that the database confirms.
    async fn verify(&self, claims: Claims) -> Result<(), Error> {
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
            self.notify_behind(chat, head);
        }
        for chat in compared.gone {
            self.hub.deliver(chat, Event::Closed);
        }
        match compared.went_back {
            true => self.renew_epoch(&known).await,
            false => Ok(()),
        }
    }

    /// Begins a new epoch when another part of the node has found that the database went back.
    async fn renew_epoch_on_contradiction(&self) {
        let hub = &self.hub;
        loop {
            hub.contradiction().await;
            let (known, generation) = (self.known(), hub.generation());
            if let Err(error) = self.renew_epoch(&known).await {
                error.log();
                time::sleep(GRACE).await;
                hub.contradict(generation);
            }
        }
    }

    /// Notifies chats that are still behind after `GRACE`, and closes chats that do not exist. A missing chat
    /// is read twice: a socket subscribes to a chat before it reads whether the chat exists.
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
            self.notify_behind(chat, head);
        }
        match self.compare(&gone, &HashMap::new()).await {
            Ok(compared) => {
                for chat in compared.gone {
                    self.hub.deliver(chat, Event::Closed);
                }
            }
            Err(error) => error.log(),
        }
    }

    /// Compares the heads of all occupied chats and of the chats that this node committed to lately. Checks first
    /// that the log is still in its epoch.
    async fn heads(&self) -> Result<Compared, Error> {
        self.follow_epoch().await?;
        let (known, recent) = (self.known(), self.hub.take_recent());
        let compared = self.compare(&self.hub.occupied(), &recent).await;
        let noted = match &compared {
            Ok(compared) if compared.went_back => self.renew_epoch(&known).await,
            Ok(_) if recent.is_empty() => Ok(()),
            Ok(_) => self.advance(&known).await,
            Err(_) => Err(Error::unavailable()),
        };
        if let Err(error) = noted {
            error.log();
            // Kept for the next comparison.
            for (chat, seq) in recent {
                self.hub.committed(chat, seq);
            }
        }
        compared
    }

    /// Increments the mark of the log, because the log has grown.
    async fn advance(&self, known: &Option<LogState>) -> Result<(), Error> {
        let now = within(READ_LIMIT, self.database.epoch().advance()).await?;
        self.remember(known, now);
        Ok(())
    }

    /// Follows the log into an epoch that another node or an import has begun. A mark below the known mark
    /// proves that the database went back, even within an epoch.
    async fn follow_epoch(&self) -> Result<(), Error> {
        let known = self.known();
        let now = within(READ_LIMIT, self.database.epoch().read()).await?;
        if known.as_ref().is_some_and(|known| now.mark < known.mark) {
            return self.renew_epoch(&known).await;
        }
        self.remember(&known, now);
        Ok(())
    }

    /// Begins a new epoch, because the database went back from the known state. Does nothing if another node
    /// has already begun one.
    async fn renew_epoch(&self, known: &Option<LogState>) -> Result<(), Error> {
        let now = within(READ_LIMIT, self.database.epoch().read()).await?;
        if known.is_none() {
            self.remember(known, now.clone());
        }
        let known = known.clone().unwrap_or_else(|| now.clone());
        if known.epoch != now.epoch && known.mark < now.mark {
            self.remember(&Some(known), now);
            return Ok(());
        }
        tracing::warn!(
            "the database lost changes that clients have received, such as after a restore; the \
             log begins a new epoch"
        );
        let now = within(
            READ_LIMIT,
            self.database.epoch().renew(&now.epoch, known.mark),
        )
        .await?;
        self.remember(&Some(known), now);
        Ok(())
    }

    /// The state of the log at the last read. Null before the first read.
    fn known(&self) -> Option<LogState> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }

    /// Stores the state of the log, unless a concurrent read has replaced `known` in the meantime. A new
    /// epoch resets all sockets.
    fn remember(&self, known: &Option<LogState>, now: LogState) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if *log != *known {
            return;
        }
        let another = log.as_ref().is_some_and(|log| log.epoch != now.epoch);
        if another {
            tracing::warn!(
                "the log has a new epoch: all sockets are closed, and clients load their chats \
                 again"
            );
            self.hub.reset();
        }
        *log = Some(now);
    }

    /// Closes the sockets of deleted users and ended sessions, and removes non-members from chats. Users come
    /// first, because the deletion of a user also deletes sessions and memberships. The three checks are
    /// independent; one that fails does not skip the other two.
    async fn evict_deleted(&self) {
        let users = self.end_users(&self.hub.users()).await;
        let sessions = self.end_sessions(&self.hub.sessions()).await;
        let memberships = self.end_memberships().await;
        for ended in [users, sessions, memberships] {
            if let Err(error) = ended {
                error.log();
            }
        }
    }

    /// Removes online users from chats that they are no member of. A user may be online shortly before the
    /// membership is stored, so each missing membership is read twice, `GRACE` apart. Users and sessions need
    /// one read: both were in the database before their socket registered.
    async fn end_memberships(&self) -> Result<(), Error> {
        let non_members = self.non_members(&self.hub.members_online()).await?;
        if non_members.is_empty() {
            return Ok(());
        }
        time::sleep(GRACE).await;
        let members_online: HashSet<(UserId, ChatId)> =
            self.hub.members_online().into_iter().collect();
        let still = non_members
            .into_iter()
            .filter(|pair| members_online.contains(pair));
        let still: Vec<(UserId, ChatId)> = still.collect();
        for (user, chat) in self.non_members(&still).await? {
            self.hub.deliver(chat, Event::Removed(user));
        }
        Ok(())
    }

    /// Notifies a chat's sockets that they are behind the stored head, if they still are.
    fn notify_behind(&self, chat: ChatId, head: Seq) {
        let Some(published) = self.hub.head(chat).filter(|seq| *seq < head) else {
            return;
        };
        // At head 0 the first socket has just subscribed and the head is not known yet: nothing was lost.
        if published > Seq(0) {
            self.hub.count_healed();
        }
        self.hub.deliver(chat, Event::HeadAdvanced(head));
    }

    /// Compares the stored heads of chats with the published heads, and with the heads that this node
    /// committed (`recent`). The published heads are read first: a change is stored before it is published,
    /// so a stored head that is lower proves that the database went back.
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
        for asked in all.chunks(QUERY_SIZE) {
            let published = asked.iter().map(|chat| (*chat, self.hub.head(*chat)));
            let published: HashMap<ChatId, Option<Seq>> = published.collect();
            let heads = within(READ_LIMIT, self.database.message_log().heads(asked)).await?;
            let stored: HashMap<ChatId, Seq> =
                heads.iter().map(|head| (head.chat_id, head.seq)).collect();
            for (chat, published) in published {
                let known = published.max(recent.get(&chat).copied());
                match (stored.get(&chat), published) {
                    (None, Some(_)) => compared.gone.push(chat),
                    (Some(head), _) if Some(*head) < known => compared.went_back = true,
                    (Some(head), Some(published)) if published < *head => {
                        compared.behind.push((chat, *head));
                    }
                    _ => {}
                }
            }
        }
        Ok(compared)
    }

    /// Closes the sockets of users who do not exist any more.
    async fn end_users(&self, users: &[UserId]) -> Result<(), Error> {
        for users in users.chunks(QUERY_SIZE) {
            for gone in within(READ_LIMIT, self.database.users().missing(users)).await? {
                self.hub.end_user_here(gone);
            }
        }
        Ok(())
    }

    /// Closes the sockets of sessions that have ended.
    async fn end_sessions(&self, sessions: &[SessionId]) -> Result<(), Error> {
        for sessions in sessions.chunks(QUERY_SIZE) {
            for gone in within(READ_LIMIT, self.database.sessions().missing(sessions)).await? {
                self.hub.end_session_here(gone);
            }
        }
        Ok(())
    }

    /// The pairs of an existing user and an existing chat that are no membership.
    async fn non_members(
        &self,
        pairs: &[(UserId, ChatId)],
    ) -> Result<Vec<(UserId, ChatId)>, Error> {
        let mut non_members = Vec::new();
        for pairs in pairs.chunks(QUERY_SIZE) {
            non_members
                .extend(within(READ_LIMIT, self.database.members().non_members(pairs)).await?);
        }
        Ok(non_members)
    }
}
