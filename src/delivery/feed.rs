//! One socket's frames in order, without holes: live from the hub; where the hub has lost
//! something, or the socket was away, from the database. Whatever a socket is sent of its chats
//! comes through here.

use super::{
    Connected, MembershipLoader,
    cursor::{self, Cursor},
    replay_cache::{ReplayCache, SharedPage},
};
use crate::{
    auth::Caller,
    error::Error,
    hub::{Batch, Event, Hub, Registration, Sequenced, Subscription},
    metrics::FeedMetrics,
    model::{ChatId, Epoch, Seq, SessionId, Since, UserId},
    protocol::{Frame, Online},
    repository::{MembershipStatus, MessageRepository, PageLimit},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Semaphore, time};
use tokio_stream::{
    StreamExt, StreamMap,
    wrappers::{BroadcastStream, errors::BroadcastStreamRecvError},
};
use tokio_util::sync::CancellationToken;

/// What is read from the database at once for one socket: a bound on its memory, and little enough
/// that a healing socket holds nobody up. One that does not read holds it for `WRITE_SECONDS`, and in
/// JSON the text can become six times as long.
pub(crate) const PAGE: PageLimit = PageLimit {
    rows: 200,
    bytes: 256 * 1024,
};
/// Most messages replayed on a socket; the rest is paged by REST.
const REPLAY_LIMIT: i64 = 1000;

/// How long a socket waits for its turn to read: when many thousands come back at once, the last
/// of them waits for all the others.
const TURN_LIMIT: Duration = Duration::from_secs(20);
/// How long a read may take once its turn has come.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// Builds feeds, and reads what they begin with.
#[derive(Clone)]
pub struct Feeds {
    hub: Hub,
    members: MembershipLoader,
    messages: MessageRepository,
    metrics: FeedMetrics,
    /// As many sockets read at once as there are connections to the database. The others wait
    /// here, where waiting takes a few bytes, instead of in front of the pool with all that a
    /// query takes.
    turns: Arc<Semaphore>,
    /// What is read at this moment: sockets of one chat read together.
    pages: ReplayCache,
}

/// The frames of all chats that one socket is connected to, for one user.
pub struct Feed {
    feeds: Feeds,
    user: UserId,
    registration: Registration,
    streams: StreamMap<ChatId, BroadcastStream<Sequenced>>,
    /// Few, and mostly one: a list takes a tenth of what a map would, ten thousand times.
    places: Vec<Cursor>,
}

/// Something that happened in a chat, as it comes from the hub.
pub type HubEvent = (ChatId, Result<Sequenced, BroadcastStreamRecvError>);

/// What is to be done about an arrival.
#[derive(Debug)]
pub enum FeedAction {
    /// Send the batch's frames from this place on.
    Changes(Batch, usize),
    /// Send this frame.
    Frame(Frame),
    /// Send what `catch_up` gives until it gives nothing.
    CatchUp(ChatId),
    /// Close the socket: what it was sent is of another log.
    Reset,
    /// Nothing: it was sent before, or lost without harm.
    Nothing,
}

/// How a socket begins in a chat.
pub struct FeedStart {
    /// The user's stored name.
    pub username: String,
    /// The epoch of the log.
    pub epoch: Option<Epoch>,
    /// Whether what came before must be paged by REST.
    pub truncated: bool,
    /// The socket's seat from an earlier connect to the same chat, to be given up once the new one
    /// is announced: nobody leaves by connecting again.
    pub previous: Option<Subscription>,
}

impl Feeds {
    /// For sockets of this hub, `at_once` of which read from the database at a time.
    #[must_use]
    pub fn new(
        hub: Hub,
        members: MembershipLoader,
        messages: MessageRepository,
        at_once: usize,
        metrics: FeedMetrics,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(at_once));
        Self {
            hub,
            members,
            messages,
            metrics,
            turns,
            pages: ReplayCache::default(),
        }
    }

    /// An empty feed for a user's socket, which ends with the session they signed in by.
    #[must_use]
    pub fn feed(&self, user: UserId, session: Option<SessionId>) -> Feed {
        let (feeds, registration) = (self.clone(), self.hub.register(user, session));
        let (streams, places) = (StreamMap::new(), Vec::new());
        Feed {
            feeds,
            user,
            registration,
            streams,
            places,
        }
    }

    /// Reads when it is this socket's turn.
    async fn in_turn<T>(&self, read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let turn = time::timeout(TURN_LIMIT, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Error::unavailable());
        };
        // Boxed only now: whoever waits holds next to nothing.
        let read = time::timeout(READ_LIMIT, Box::pin(read)).await;
        read.unwrap_or_else(|_| Err(Error::unavailable()))
    }
}

impl Feed {
    /// Connects to a chat. With `since`, what came after it is to be sent first: `catch_up` gives
    /// it. The hub is joined before the database is read, so that nothing falls between the two.
    /// Connecting again goes on from where the socket was.
    ///
    /// # Errors
    /// `user_not_found`, `chat_not_found`; `invalid_field` for a `since` of another epoch or beyond
    /// the head; `unavailable`.
    pub async fn open(
        &mut self,
        caller: Caller,
        chat: ChatId,
        since: Option<&Since>,
    ) -> Result<FeedStart, Error> {
        let (seat, receiver) = self.feeds.hub.subscribe(chat);
        let (mark, generation) = (seat.mark(), self.feeds.hub.generation());
        let feeds = self.feeds.clone();
        let StartState {
            username,
            head,
            epoch,
            truncated,
        } = feeds.load_start(caller, self.user, chat, since).await?;
        let since = since.map(|since| since.seq);
        let since = since.or_else(|| self.place(chat).map(|place| place.seen));
        // Another may have read more than this one, and what lies between was passed over for it.
        let head = head.max(seat.learn(head));
        let (seen, behind) = cursor::beginning(since.filter(|_| !truncated), head);
        if behind.is_some() {
            self.feeds.metrics.replays.inc();
        }
        let previous = self.leave(chat);
        self.streams.insert(chat, BroadcastStream::new(receiver));
        self.places.reserve_exact(1);
        self.places.push(Cursor {
            chat,
            seat,
            seen,
            mark,
            generation,
            behind,
        });
        Ok(FeedStart {
            username,
            epoch,
            truncated,
            previous,
        })
    }

    /// Tells the chat who is here; gives the frame that this socket alone must be sent.
    #[must_use]
    pub fn join(&mut self, chat: ChatId, who: Online) -> Option<Frame> {
        self.place_mut(chat)?.seat.join(who)
    }

    /// Tells the chat that this socket's user types.
    pub fn type_in(&self, chat: ChatId) {
        if let Some(place) = self.place(chat) {
            place.seat.notify_typing();
        }
    }

    /// Who is in the chat.
    #[must_use]
    pub fn online(&self, chat: ChatId) -> Vec<Online> {
        self.feeds.hub.online(chat)
    }

    /// Leaves a chat; gives the seat to give up, none where the socket was not in it.
    pub fn leave(&mut self, chat: ChatId) -> Option<Subscription> {
        let place = self.places.iter().position(|place| place.chat == chat)?;
        self.streams.remove(&chat);
        Some(self.places.swap_remove(place).seat)
    }

    fn place(&self, chat: ChatId) -> Option<&Cursor> {
        self.places.iter().find(|place| place.chat == chat)
    }

    fn place_mut(&mut self, chat: ChatId) -> Option<&mut Cursor> {
        self.places.iter_mut().find(|place| place.chat == chat)
    }

    /// Whose socket it is.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Done when the user's or the session's sockets must close.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.registration.ended()
    }

    /// Whether the socket is connected to the chat.
    #[must_use]
    pub fn is_in(&self, chat: ChatId) -> bool {
        self.place(chat).is_some()
    }

    /// How many chats the socket is in.
    #[must_use]
    pub fn chats(&self) -> usize {
        self.places.len()
    }

    /// How far each chat has been told, by whichever way the server learned it; all of it that was
    /// not lost is on its way to this socket.
    #[must_use]
    pub fn told(&self) -> HashMap<ChatId, Seq> {
        let places = self.places.iter();
        places
            .map(|place| (place.chat, place.seat.told()))
            .collect()
    }

    /// The head of each chat: what was told of it by then, and never less than was sent.
    #[must_use]
    pub fn heads(&self, told: &HashMap<ChatId, Seq>) -> BTreeMap<ChatId, Seq> {
        let head = |place: &Cursor| {
            told.get(&place.chat)
                .map_or(place.seen, |&t| t.max(place.seen))
        };
        let places = self.places.iter();
        places.map(|place| (place.chat, head(place))).collect()
    }

    /// The last change that was sent of a chat.
    #[must_use]
    pub fn seen(&self, chat: ChatId) -> Seq {
        self.place(chat).map_or(Seq(0), |place| place.seen)
    }

    /// Waits for the next thing to happen; none while the socket is in no chat. Nothing is lost
    /// where this is broken off.
    pub async fn arrival(&mut self) -> Option<HubEvent> {
        self.streams.next().await
    }

    /// Decides what is to be sent about an arrival.
    pub fn take(&mut self, (chat, signal): HubEvent) -> FeedAction {
        let generation = self.feeds.hub.generation();
        let Some(place) = self.place_mut(chat) else {
            return FeedAction::Nothing;
        };
        let Ok(Sequenced { mark, event }) = signal else {
            let delivery = place.overrun(chat, generation);
            if let FeedAction::CatchUp(_) = delivery {
                self.feeds.metrics.overruns.inc();
            }
            return delivery;
        };
        place.mark = mark;
        let delivery = match event {
            Event::Ephemeral(frame) => FeedAction::Frame(frame),
            Event::Changes(batch) => place.changes(chat, batch),
            Event::HeadAdvanced(head) if head > place.seen => place.fall_behind(chat),
            Event::Removed(user) if user == self.user => self.end(chat, Frame::removed(chat)),
            // Read from the database, where it also stands whether they still belong to the chat.
            Event::RemovalReported(user) if user == self.user => {
                return self.fall_behind(chat);
            }
            Event::Closed => self.end(chat, Frame::chat_deleted(chat)),
            Event::Reset => FeedAction::Reset,
            Event::HeadAdvanced(_) | Event::Removed(_) | Event::RemovalReported(_) => {
                FeedAction::Nothing
            }
        };
        if let FeedAction::CatchUp(_) = delivery {
            self.feeds.metrics.gaps.inc();
        }
        delivery
    }

    fn fall_behind(&mut self, chat: ChatId) -> FeedAction {
        let place = self.place_mut(chat);
        place.map_or(FeedAction::Nothing, |place| place.fall_behind(chat))
    }

    fn end(&mut self, chat: ChatId, frame: Frame) -> FeedAction {
        self.leave(chat);
        FeedAction::Frame(frame)
    }

    /// The next frames of a socket that is behind, from the database; none once it is not. A chat
    /// that the user lost meanwhile ends with its last frame.
    ///
    /// # Errors
    /// `unavailable` where the store is; the socket is as far as it was.
    pub async fn catch_up(&mut self, chat: ChatId) -> Result<Option<Vec<Frame>>, Error> {
        let user = self.user;
        let Some(place) = self.place(chat) else {
            return Ok(None);
        };
        let Some(behind) = &place.behind else {
            return Ok(None);
        };
        let (seen, head, generation) = (place.seen, behind.head, place.generation);
        let feeds = self.feeds.clone();
        let read = feeds.load_next_page(user, chat, (seen, head)).await?;
        match (read, self.place_mut(chat)) {
            (NextPage::Page(shared), Some(place)) => {
                let page = shared.page().ok_or_else(Error::unavailable)?;
                let frames = place.replay(page);
                self.feeds.metrics.replayed.inc_by(frames.len() as u64);
                Ok(Some(frames))
            }
            (NextPage::Gone(frame), _) => {
                self.leave(chat);
                Ok(Some(vec![frame]))
            }
            (NextPage::Contradicted, place) => {
                // Every socket is told to begin again once the log is in another epoch.
                if let Some(place) = place {
                    place.behind = None;
                }
                self.feeds.hub.contradict(generation);
                Ok(None)
            }
            (NextPage::Page(_), None) => Ok(None),
        }
    }
}

/// What a socket must know before it is in a chat.
struct StartState {
    username: String,
    head: Seq,
    epoch: Option<Epoch>,
    truncated: bool,
}

/// What a socket that is behind finds in the database.
enum NextPage {
    /// The messages that changed next, by change.
    Page(SharedPage),
    /// The chat is gone for this user: their last frame of it.
    Gone(Frame),
    /// Less than the socket was sent.
    Contradicted,
}

impl Feeds {
    async fn load_start(
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
            // There are at most as many changed messages as there were changes.
            Some(since) if head.0 - since.0 > REPLAY_LIMIT => {
                let counting = self.messages.count_since(chat, since, REPLAY_LIMIT + 1);
                self.in_turn(counting).await? > REPLAY_LIMIT
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

    /// What a removed member is sent ends with their membership, so that it is asked for after the
    /// messages are read.
    async fn load_next_page(
        &self,
        user: UserId,
        chat: ChatId,
        (seen, head): (Seq, Seq),
    ) -> Result<NextPage, Error> {
        // Before the read: whatever this socket was told of must be in what it is given.
        let told = self.hub.told(chat).map_or(head, |told| told.max(head));
        let read = || {
            self.metrics.reads.inc();
            self.in_turn(self.messages.since(chat, seen, PAGE))
        };
        let page = self.pages.after((chat, seen), told, read).await?;
        match self.members.ask(user, chat).await? {
            MembershipStatus { username: None, .. } => {
                // The socket ends with its user, and hears of no chat before that.
                self.hub.end_user_here(user);
                Err(Error::user_not_found(user))
            }
            MembershipStatus { head: None, .. } => Ok(NextPage::Gone(Frame::chat_deleted(chat))),
            // Less is stored than this socket was sent before it was asked for.
            MembershipStatus {
                head: Some(stored), ..
            } if stored < seen => Ok(NextPage::Contradicted),
            MembershipStatus { role: None, .. } => Ok(NextPage::Gone(Frame::removed(chat))),
            MembershipStatus { .. } => Ok(NextPage::Page(page)),
        }
    }
}
