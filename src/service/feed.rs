//! One socket's frames in order, without holes: live from the hub; where the hub has lost
//! something, or the socket was away, from the database. Whatever a socket is sent of its chats
//! comes through here.

use crate::{
    error::Error,
    hub::{Batch, Event, Hub, Registration, Seat, Signal},
    model::{ChatId, MessageId, Seq, UserId},
    protocol::{Frame, Online},
    repository::{MemberRepository, MessageRepository, Standing},
};
use std::collections::{BTreeMap, HashSet};
use tokio_stream::{
    StreamExt, StreamMap,
    wrappers::{BroadcastStream, errors::BroadcastStreamRecvError},
};
use tokio_util::sync::CancellationToken;

/// Messages that are read from the database at once for one socket: a bound on its memory (at
/// most 16 KiB of text each), and few enough that a healing socket holds nobody up.
const PAGE: i64 = 200;
/// Most messages replayed on a socket; the rest is paged by REST.
const REPLAY_LIMIT: i64 = 1000;

/// Builds feeds, and answers for the chats they begin in.
#[derive(Clone)]
pub struct Feeds {
    hub: Hub,
    members: MemberRepository,
    messages: MessageRepository,
}

/// The frames of all chats that one socket is connected to, for one user.
pub struct Feed {
    feeds: Feeds,
    user: UserId,
    registration: Registration,
    streams: StreamMap<ChatId, BroadcastStream<Signal>>,
    places: BTreeMap<ChatId, Place>,
}

/// How far one chat's frames have been sent.
struct Place {
    seat: Seat,
    /// The last change that was sent.
    seen: Seq,
    /// The last lasting event that was taken note of.
    mark: u64,
    /// Reading from the database: what the socket had before, and what it has got since.
    behind: Option<Behind>,
}

/// A replay under way. A message changed while its replay is under way may turn up twice: the
/// second time it is an edit, because the socket has it.
struct Behind {
    since: Seq,
    sent: HashSet<MessageId>,
}

/// Something that happened in a chat, as it comes from the hub.
pub type Arrival = (ChatId, Result<Signal, BroadcastStreamRecvError>);

/// What is to be done about an arrival.
#[derive(Debug)]
pub enum Delivery {
    /// Send the batch's frames from this place on.
    Changes(Batch, usize),
    /// Send this frame.
    Frame(Frame),
    /// Send what `catch_up` gives until it gives nothing.
    Behind(ChatId),
    /// Nothing: it was sent before, or lost without harm.
    Nothing,
}

/// How a socket begins in a chat.
pub struct Opened {
    /// Whether what came before must be paged by REST.
    pub truncated: bool,
    /// The socket's seat from an earlier connect to the same chat, to be given up once the new one
    /// is announced: nobody leaves by connecting again.
    pub previous: Option<Seat>,
}

impl Feeds {
    /// For sockets of this hub.
    #[must_use]
    pub fn new(hub: Hub, members: MemberRepository, messages: MessageRepository) -> Self {
        Self {
            hub,
            members,
            messages,
        }
    }

    /// An empty feed for a user's socket.
    #[must_use]
    pub fn feed(&self, user: UserId) -> Feed {
        let (feeds, registration) = (self.clone(), self.hub.register(user));
        Feed {
            feeds,
            user,
            registration,
            streams: StreamMap::new(),
            places: BTreeMap::new(),
        }
    }
}

impl Feed {
    /// Connects to a chat that the user belongs to. With `since`, what came after it is to be sent
    /// first: `catch_up` gives it. The hub is joined before the database is read, so that nothing
    /// falls between the two.
    ///
    /// # Errors
    /// `chat_not_found`; `invalid_field` for a `since` beyond the head; `unavailable`.
    pub async fn open(&mut self, chat: ChatId, since: Option<Seq>) -> Result<Opened, Error> {
        let (seat, receiver) = self.feeds.hub.enter(chat);
        let mark = seat.mark();
        let head = self.feeds.messages.head(chat).await?;
        let head = head.ok_or_else(|| Error::chat_not_found(chat))?;
        let truncated = match since {
            Some(since) if since > head => {
                let expected = format!("at most {head}, the chat's latest change");
                return Err(Error::invalid_field("content.since", &expected));
            }
            Some(since) => self.is_too_much(chat, since, head).await?,
            None => false,
        };
        let since = since.filter(|since| !truncated && *since < head);
        let behind = since.map(|since| Behind {
            since,
            sent: HashSet::new(),
        });
        let seen = since.unwrap_or(head);
        self.streams.insert(chat, BroadcastStream::new(receiver));
        let previous = self.places.insert(
            chat,
            Place {
                seat,
                seen,
                mark,
                behind,
            },
        );
        Ok(Opened {
            truncated,
            previous: previous.map(|place| place.seat),
        })
    }

    async fn is_too_much(&self, chat: ChatId, since: Seq, head: Seq) -> Result<bool, Error> {
        // There are at most as many changed messages as there were changes.
        if head.0 - since.0 <= REPLAY_LIMIT {
            return Ok(false);
        }
        let messages = &self.feeds.messages;
        Ok(messages.count_since(chat, since, REPLAY_LIMIT + 1).await? > REPLAY_LIMIT)
    }

    /// Tells the chat who is here; gives the frame that this socket alone must be sent.
    #[must_use]
    pub fn announce(&mut self, chat: ChatId, who: Online) -> Option<Frame> {
        self.places.get_mut(&chat)?.seat.announce(who)
    }

    /// Who is in the chat.
    #[must_use]
    pub fn online(&self, chat: ChatId) -> Vec<Online> {
        self.feeds.hub.online(chat)
    }

    /// Leaves a chat: under which name the socket was announced there; none where it was not in it.
    pub fn leave(&mut self, chat: ChatId) -> Option<Option<Online>> {
        self.streams.remove(&chat);
        self.places
            .remove(&chat)
            .map(|place| place.seat.who().cloned())
    }

    /// Whose socket it is.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Done when the user's sockets must close.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.registration.ended()
    }

    /// Whether the socket is connected to the chat.
    #[must_use]
    pub fn is_in(&self, chat: ChatId) -> bool {
        self.places.contains_key(&chat)
    }

    /// How many chats the socket is in.
    #[must_use]
    pub fn chats(&self) -> usize {
        self.places.len()
    }

    /// The last change that was sent of each chat.
    #[must_use]
    pub fn heads(&self) -> BTreeMap<ChatId, Seq> {
        self.places
            .iter()
            .map(|(chat, place)| (*chat, place.seen))
            .collect()
    }

    /// The last change that was sent of a chat.
    #[must_use]
    pub fn seen(&self, chat: ChatId) -> Seq {
        self.places.get(&chat).map_or(Seq(0), |place| place.seen)
    }

    /// Waits for the next thing to happen; none while the socket is in no chat. Nothing is lost
    /// where this is broken off.
    pub async fn arrival(&mut self) -> Option<Arrival> {
        self.streams.next().await
    }

    /// Decides what is to be sent about an arrival.
    pub fn take(&mut self, (chat, signal): Arrival) -> Delivery {
        let Some(place) = self.places.get_mut(&chat) else {
            return Delivery::Nothing;
        };
        let Ok(Signal { mark, event }) = signal else {
            return place.overrun(chat);
        };
        place.mark = mark;
        match event {
            Event::Passing(frame) => Delivery::Frame(frame),
            Event::Changes(batch) => place.changes(chat, batch),
            Event::Behind(head) if head > place.seen => place.fall_behind(chat),
            Event::Removed(user) if user == self.user => self.end(chat, Frame::removed(chat)),
            Event::Closed => self.end(chat, Frame::chat_deleted(chat)),
            Event::Behind(_) | Event::Removed(_) => Delivery::Nothing,
        }
    }

    fn end(&mut self, chat: ChatId, frame: Frame) -> Delivery {
        self.leave(chat);
        Delivery::Frame(frame)
    }

    /// The next frames of a socket that is behind, from the database; none once it is not. A chat
    /// that the user lost meanwhile ends with its last frame.
    ///
    /// # Errors
    /// `unavailable` where the store is; the socket is as far as it was.
    pub async fn catch_up(&mut self, chat: ChatId) -> Result<Option<Vec<Frame>>, Error> {
        let Some(place) = self.places.get_mut(&chat) else {
            return Ok(None);
        };
        let Some(behind) = &mut place.behind else {
            return Ok(None);
        };
        match self.feeds.members.standing(self.user, chat).await? {
            Standing { head: None, .. } => {
                self.leave(chat);
                return Ok(Some(vec![Frame::chat_deleted(chat)]));
            }
            Standing { role: None, .. } => {
                self.leave(chat);
                return Ok(Some(vec![Frame::removed(chat)]));
            }
            Standing { .. } => {}
        }
        let page = self.feeds.messages.since(chat, place.seen, PAGE).await?;
        let mut frames = Vec::with_capacity(page.len());
        for message in &page {
            let known = !behind.sent.insert(message.message_id);
            let since = if known { message.seq } else { behind.since };
            frames.push(Frame::replayed(message, since));
            place.seen = message.seq;
        }
        if (page.len() as i64) < PAGE {
            place.behind = None;
        }
        Ok(Some(frames))
    }
}

impl Place {
    fn changes(&mut self, chat: ChatId, batch: Batch) -> Delivery {
        let skip = batch.partition_point(|(seq, _)| *seq <= self.seen);
        let (Some((first, _)), Some((last, _))) = (batch.get(skip), batch.last()) else {
            return Delivery::Nothing;
        };
        #[cfg(feature = "planted-faults")]
        if crate::planted::skips_lagged() {
            self.seen = *last;
            return Delivery::Changes(batch, skip);
        }
        if self.behind.is_some() || *first != self.seen.next() {
            return self.fall_behind(chat);
        }
        self.seen = *last;
        Delivery::Changes(batch, skip)
    }

    /// The channel went on without this socket: what lasts is read from the database.
    fn overrun(&mut self, chat: ChatId) -> Delivery {
        #[cfg(feature = "planted-faults")]
        if crate::planted::skips_lagged() {
            return Delivery::Nothing;
        }
        let mark = self.seat.mark();
        if mark == self.mark {
            return Delivery::Nothing;
        }
        self.mark = mark;
        self.fall_behind(chat)
    }

    fn fall_behind(&mut self, chat: ChatId) -> Delivery {
        let since = self.seen;
        self.behind.get_or_insert_with(|| Behind {
            since,
            sent: HashSet::new(),
        });
        Delivery::Behind(chat)
    }
}
