//! The feed of a socket: the frames of its chats, in order and without gaps. Frames come live from the hub.
//! If the hub has lost an event, or the socket resumes, they come from the database. Every frame of a chat
//! passes here on its way to the socket.

use super::{
    MembershipLoader,
    cursor::{self, Cursor},
    replay::{NextPage, StartState},
    replay_cache::ReplayCache,
};
use crate::{
    auth::Caller,
    database::Database,
    error::Error,
    hub::{DirectSocket, Event, Hub, Registration, RoomEvents, Sequenced, Subscription},
    metrics::FeedMetrics,
    model::{ChatId, Epoch, Seq, SessionId, Since, UserId},
    protocol::{Audience, EncodedFrames, Frame, Online},
    rate_limit::{MemoryBudget, ReadTurns, Reservation},
    send_queue::SendQueue,
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Deref,
    sync::Arc,
};
use tokio::sync::Semaphore;
use tokio_stream::{
    StreamExt, StreamMap,
    wrappers::{BroadcastStream, errors::BroadcastStreamRecvError},
};
use tokio_util::sync::CancellationToken;

/// Builds the feeds of a node's sockets, and reads the database for them. A clone shares everything: each socket has
/// one.
#[derive(Clone)]
pub struct Feeds(Arc<FeedParts>);

/// The parts of `Feeds`.
pub struct FeedParts {
    pub(super) hub: Hub,
    pub(super) members: MembershipLoader,
    pub(super) database: Database,
    pub(super) metrics: FeedMetrics,
    /// Permits to read from the database: half as many as the general pool has connections, so that catching
    /// up leaves connections for requests. A waiting socket takes a few bytes here; in front of the pool it
    /// would hold a whole query.
    pub(super) read_permits: Semaphore,
    /// The turns of each user, which the user's requests share.
    pub(super) turns: ReadTurns,
    /// The memory of the pages that are sent to sockets, shared with the answers to requests.
    pub(super) memory: MemoryBudget,
    /// The pages that are read or in use. Sockets of one chat share them.
    pub(super) replay_cache: ReplayCache,
}

/// The limits on the reads of all feeds.
pub struct FeedLimits {
    /// The number of sockets that may read from the database at a time.
    pub at_once: usize,
    /// The turns of each user to read.
    pub turns: ReadTurns,
    /// The memory of the pages that are sent.
    pub memory: MemoryBudget,
}

/// Frames from the database.
pub struct ReplayFrames {
    /// The frames, in order.
    pub frames: Vec<Frame>,
    /// The memory of the frames, to be held until they are written. Null for a last frame of a chat.
    pub memory: Option<Reservation>,
}

/// The frames of all chats that one socket is connected to.
pub struct Feed {
    feeds: Feeds,
    user: UserId,
    /// The frames that the socket understands.
    audience: Audience,
    /// The live events of each connected chat without a direct line.
    streams: StreamMap<ChatId, BroadcastStream<Sequenced>>,
    /// Events of closed direct lines, which come before those of `streams`.
    queued: VecDeque<HubEvent>,
    /// The position in each connected chat. A socket has few chats, mostly one: a list takes a tenth of the
    /// memory of a map, and ten thousand sockets have one each.
    cursors: Vec<Cursor>,
    /// Closes the socket with its user or its session. Dropped after `cursors`, so that no publisher writes to the
    /// socket of an ended session while the feed is dropped.
    registration: Registration,
}

/// An event of one of the socket's chats, as received from the hub. An error means that the chat's channel
/// has overrun: events were discarded before the socket received them.
pub type HubEvent = (ChatId, Result<Sequenced, BroadcastStreamRecvError>);

/// The action that an event of the hub requires.
#[derive(Debug)]
pub enum FeedAction {
    /// Send these changes.
    Changes(EncodedFrames),
    /// Send this frame.
    Frame(Frame),
    /// Send the frames that `catch_up` returns, until it returns null.
    CatchUp(ChatId),
    /// Close the socket: its frames belong to another epoch of the log.
    Reset,
    /// Do nothing: the event was sent before, does not concern this socket, or was ephemeral and is lost.
    Nothing,
}

/// The result of a connect to a chat.
pub struct FeedStart {
    /// The user's stored name.
    pub username: String,
    /// The epoch of the log, as of the connect.
    pub epoch: Option<Epoch>,
    /// True if the client missed more than 1000 messages. The feed then replays none: the client pages them
    /// by REST.
    pub truncated: bool,
    /// The socket's subscription from an earlier connect to this chat; null if there is none. The caller
    /// drops it after the new subscription is announced, so that connecting again publishes no `leave`.
    pub previous: Option<Subscription>,
}

impl Deref for Feeds {
    type Target = FeedParts;

    fn deref(&self) -> &FeedParts {
        &self.0
    }
}

impl Feeds {
    /// Builds feeds for the sockets of this hub.
    #[must_use]
    pub fn new(
        hub: Hub,
        members: MembershipLoader,
        database: Database,
        limits: FeedLimits,
        metrics: FeedMetrics,
    ) -> Self {
        let FeedLimits {
            at_once,
            turns,
            memory,
        } = limits;
        Self(Arc::new(FeedParts {
            hub,
            members,
            database,
            metrics,
            read_permits: Semaphore::new(at_once),
            turns,
            memory,
            replay_cache: ReplayCache::default(),
        }))
    }

    /// An empty feed for a user's socket. The socket is closed when the user is deleted, or when `session`
    /// ends. `session` is null for a socket without a login.
    #[must_use]
    pub fn feed(&self, user: UserId, session: Option<SessionId>) -> Feed {
        let (feeds, registration) = (self.clone(), self.hub.register(user, session));
        Feed {
            feeds,
            user,
            audience: Audience::default(),
            streams: StreamMap::new(),
            queued: VecDeque::new(),
            cursors: Vec::new(),
            registration,
        }
    }
}

impl Feed {
    /// Connects the socket to a chat. `since` is the last change that the client has: the later changes are
    /// replayed first, by `catch_up`. Null if the client does not resume; a socket that is already connected
    /// then continues from its position. The hub is subscribed to before the database is read, so that no
    /// change is lost between the two.
    ///
    /// # Errors
    /// `user_not_found`, `chat_not_found`; `invalid_field` for a `since` of another epoch or beyond the head;
    /// `unavailable`.
    pub async fn open(
        &mut self,
        caller: Caller,
        chat: ChatId,
        since: Option<&Since>,
    ) -> Result<FeedStart, Error> {
        // The position of an earlier connect must not move from here on.
        self.close_line(chat);
        let (subscription, events) = self.feeds.hub.subscribe(chat);
        let (count, generation) = (subscription.count(), self.feeds.hub.generation());
        let feeds = self.feeds.clone();
        let StartState {
            username,
            head,
            epoch,
            truncated,
        } = feeds.load_start(caller, self.user, chat, since).await?;
        let since = since.map(|since| since.seq);
        let since = since.or_else(|| self.cursor(chat).map(|cursor| cursor.seen));
        // Another socket may have read a higher head for this room first. The room never broadcasts the
        // changes up to that head, so this socket must read them from the database.
        let head = head.max(subscription.observe_head(head));
        let (seen, behind) = cursor::beginning(since.filter(|_| !truncated), head);
        if behind.is_some() {
            self.feeds.metrics.replays.inc();
        }
        let cursor = Cursor {
            chat,
            subscription,
            seen,
            count,
            index: events.index,
            generation,
            behind,
        };
        let previous = self.place(cursor, events);
        Ok(FeedStart {
            username,
            epoch,
            truncated,
            previous,
        })
    }

    /// Sends frames of all types to the socket from now on.
    pub fn take_all_types(&mut self) {
        if self.audience != Audience::All {
            self.audience = Audience::All;
            // A line is opened for one audience.
            self.close_all_lines();
        }
    }

    /// True if the socket is sent frames of all types.
    #[must_use]
    pub fn takes_all_types(&self) -> bool {
        self.audience == Audience::All
    }

    /// Adds the cursor of a chat with the chat's events. Returns the subscription of an earlier cursor of the
    /// chat; null if there is none.
    fn place(&mut self, cursor: Cursor, events: RoomEvents) -> Option<Subscription> {
        let previous = self.leave(cursor.chat);
        let events = BroadcastStream::new(events.receiver);
        self.streams.insert(cursor.chat, events);
        self.cursors.reserve_exact(1);
        self.cursors.push(cursor);
        previous
    }

    /// Announces the user in the chat. Returns the `join` frame if only this socket is to be sent it, because
    /// the user is already online in the chat. Null if the frame was broadcast, or if the socket is not in
    /// the chat.
    #[must_use]
    pub fn join(&mut self, chat: ChatId, who: Online) -> Option<Frame> {
        self.cursor_mut(chat)?.subscription.join(who)
    }

    /// Notifies the chat that the user is typing. Does nothing if the socket is not in the chat.
    pub fn notify_typing(&self, chat: ChatId) {
        if let Some(cursor) = self.cursor(chat) {
            cursor.subscription.notify_typing();
        }
    }

    /// The users who are online in the chat, on all nodes, by id.
    #[must_use]
    pub fn online(&self, chat: ChatId) -> Vec<Online> {
        self.feeds.hub.online(chat)
    }

    /// Disconnects the socket from a chat. Returns the subscription, which leaves the chat when it is
    /// dropped; null if the socket was not in the chat.
    pub fn leave(&mut self, chat: ChatId) -> Option<Subscription> {
        let index = self.cursors.iter().position(|cursor| cursor.chat == chat)?;
        self.streams.remove(&chat);
        self.queued.retain(|(of, _)| *of != chat);
        Some(self.cursors.swap_remove(index).subscription)
    }

    /// Opens a direct line for each chat in which the socket has nothing to catch up with: the publishers of
    /// these chats write to the send queue themselves, and no event of them arrives here until the line is cut.
    /// Everything that this feed was asked for must be in the send queue.
    pub fn open_lines(&mut self, send_queue: &Arc<SendQueue>) {
        if !self.queued.is_empty() {
            return;
        }
        let mut opened = false;
        for cursor in &mut self.cursors {
            if cursor.behind.is_some() || cursor.subscription.is_direct() {
                continue;
            }
            let socket = DirectSocket {
                send_queue: Arc::clone(send_queue),
                user: self.user,
                audience: self.audience,
                ended: self.registration.ended(),
            };
            let (seen, index) = (cursor.seen, cursor.index);
            if cursor.subscription.open_line(socket, seen, index) {
                self.streams.remove(&cursor.chat);
                opened = true;
            }
        }
        if opened && self.streams.is_empty() {
            // An idle socket keeps no capacity.
            self.streams = StreamMap::new();
        }
    }

    /// Closes the direct lines that were cut. What the socket missed is handled with the next arrivals.
    pub fn close_cut_lines(&mut self) {
        self.close_lines(|cursor| cursor.subscription.is_cut());
    }

    /// Closes the direct line of a chat. The next frames of the chat come after those that the socket's task has
    /// buffered until then.
    pub fn close_line(&mut self, chat: ChatId) {
        self.close_lines(|cursor| cursor.chat == chat);
    }

    /// Closes all direct lines, so that no frame is written to the socket but by its task.
    pub fn close_all_lines(&mut self) {
        self.close_lines(|_| true);
    }

    fn close_lines(&mut self, chosen: impl Fn(&Cursor) -> bool) {
        for cursor in self.cursors.iter_mut().filter(|cursor| chosen(cursor)) {
            let Some((position, events)) = cursor.subscription.close_line() else {
                continue;
            };
            (cursor.seen, cursor.count) = (position.seen, position.count);
            cursor.index = events.index;
            let events = BroadcastStream::new(events.receiver);
            self.streams.insert(cursor.chat, events);
            let cause = position.cause.map(|cause| (cursor.chat, Ok(cause)));
            self.queued.extend(cause);
            // Whatever came between the cut and the new subscription was missed: an overrun.
            let overrun = BroadcastStreamRecvError::Lagged(0);
            self.queued.push_back((cursor.chat, Err(overrun)));
        }
    }

    fn cursor(&self, chat: ChatId) -> Option<&Cursor> {
        self.cursors.iter().find(|cursor| cursor.chat == chat)
    }

    fn cursor_mut(&mut self, chat: ChatId) -> Option<&mut Cursor> {
        self.cursors.iter_mut().find(|cursor| cursor.chat == chat)
    }

    /// The user of the socket.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The token that is cancelled when the user or the session ends, and the socket must close.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.registration.ended()
    }

    /// Whether the socket is connected to the chat.
    #[must_use]
    pub fn is_in(&self, chat: ChatId) -> bool {
        self.cursor(chat).is_some()
    }

    /// The number of chats that the socket is connected to.
    #[must_use]
    pub fn chats(&self) -> usize {
        self.cursors.len()
    }

    /// The head of each connected chat, as far as the hub knows it. Every change up to it is on its way to
    /// this socket, unless it was lost.
    #[must_use]
    pub fn known_heads(&self) -> HashMap<ChatId, Seq> {
        let cursors = self.cursors.iter();
        cursors
            .map(|cursor| (cursor.chat, cursor.subscription.head()))
            .collect()
    }

    /// The head of each connected chat, for the heartbeat frame: the head in `known`, an earlier result of
    /// `known_heads`, but never below the last change that was sent.
    #[must_use]
    pub fn heads(&self, known: &HashMap<ChatId, Seq>) -> BTreeMap<ChatId, Seq> {
        let head = |cursor: &Cursor| {
            known
                .get(&cursor.chat)
                .map_or(cursor.seen, |&t| t.max(cursor.seen))
        };
        let cursors = self.cursors.iter();
        cursors.map(|cursor| (cursor.chat, head(cursor))).collect()
    }

    /// The `seq` of the last change of the chat that was sent; 0 if the socket is not in the chat.
    #[must_use]
    pub fn seen(&self, chat: ChatId) -> Seq {
        self.cursor(chat).map_or(Seq(0), |cursor| cursor.seen)
    }

    /// Waits for the next event of the connected chats. Null at once if no chat has events for this task:
    /// the socket is in no chat, or each has a direct line. Cancel
    /// safe: a dropped call loses no event.
    pub async fn arrival(&mut self) -> Option<HubEvent> {
        match self.queued.pop_front() {
            Some(event) => Some(event),
            None => self.streams.next().await,
        }
    }

    /// Decides how to handle an event of the hub, and moves the position in the event's chat.
    pub fn take(&mut self, (chat, signal): HubEvent) -> FeedAction {
        let (generation, audience) = (self.feeds.hub.generation(), self.audience);
        let Some(cursor) = self.cursor_mut(chat) else {
            return FeedAction::Nothing;
        };
        let Ok(Sequenced {
            count,
            index,
            event,
        }) = signal
        else {
            let action = cursor.overrun(chat, generation);
            if let FeedAction::CatchUp(_) = action {
                self.feeds.metrics.overruns.inc();
            }
            return action;
        };
        (cursor.count, cursor.index) = (count, index);
        let action = match event {
            Event::Ephemeral(frame) if audience.takes(&frame) => FeedAction::Frame(frame),
            Event::Changes(batch) => cursor.changes(chat, &batch, audience),
            Event::HeadAdvanced(head) if head > cursor.seen => cursor.fall_behind(chat),
            Event::Removed(user) if user == self.user => self.end(chat, Frame::removed(chat)),
            // Another node reports the removal. The replay reads the membership from the database and ends
            // the chat if the report is true.
            Event::RemovalReported(user) if user == self.user => {
                return self.fall_behind(chat);
            }
            Event::Closed => self.end(chat, Frame::chat_deleted(chat)),
            Event::Reset => FeedAction::Reset,
            Event::Ephemeral(_)
            | Event::HeadAdvanced(_)
            | Event::Removed(_)
            | Event::RemovalReported(_) => FeedAction::Nothing,
        };
        if let FeedAction::CatchUp(_) = action {
            self.feeds.metrics.gaps.inc();
        }
        action
    }

    fn fall_behind(&mut self, chat: ChatId) -> FeedAction {
        let cursor = self.cursor_mut(chat);
        cursor.map_or(FeedAction::Nothing, |cursor| cursor.fall_behind(chat))
    }

    fn end(&mut self, chat: ChatId, frame: Frame) -> FeedAction {
        self.leave(chat);
        FeedAction::Frame(frame)
    }

    /// The next page of frames of a replay under way, from the database. Null if no replay is under way any
    /// more. If the user no longer has access to the chat, the page is the chat's last frame, and the socket
    /// is disconnected from the chat.
    ///
    /// # Errors
    /// `unavailable` if the database is; `user_not_found` if the user was deleted. The position is unchanged.
    pub async fn catch_up(&mut self, chat: ChatId) -> Result<Option<ReplayFrames>, Error> {
        let (user, audience) = (self.user, self.audience);
        let Some(cursor) = self.cursor(chat) else {
            return Ok(None);
        };
        let Some(behind) = &cursor.behind else {
            return Ok(None);
        };
        let (seen, head, generation) = (cursor.seen, behind.head, cursor.generation);
        let feeds = self.feeds.clone();
        let read = feeds.load_next_page(user, chat, (seen, head)).await?;
        match (read, self.cursor_mut(chat)) {
            (NextPage::Page(shared, memory), Some(cursor)) => {
                let page = shared.page().ok_or_else(Error::unavailable)?;
                let frames = cursor.replay(page, audience);
                self.feeds.metrics.replayed.inc_by(frames.len() as u64);
                let memory = Some(memory);
                Ok(Some(ReplayFrames { frames, memory }))
            }
            (NextPage::Gone(frame), _) => {
                self.leave(chat);
                let (frames, memory) = (vec![frame], None);
                Ok(Some(ReplayFrames { frames, memory }))
            }
            (NextPage::Contradicted, cursor) => {
                // The replay stops here: the reconciler verifies the contradiction, and a new epoch resets
                // all sockets.
                if let Some(cursor) = cursor {
                    cursor.behind = None;
                }
                self.feeds.hub.contradict(generation);
                Ok(None)
            }
            (NextPage::Page(..), None) => Ok(None),
        }
    }
}
