//! The chats that one socket is connected to, and the position of the socket in each chat.

use crate::{
    journal::Journal,
    record::{Ack, ChatId, Event, Frame, Segment, Seq},
    socket::Disconnected,
    violation::ViolationKind,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// A chat that the socket is connected to.
struct Subscription {
    segment: usize,
    since: Option<Seq>,
    /// The socket got all changes up to this seq, counted from the beginning of the segment. `None`
    /// before the ack of a connect-chat without `since`. For an original socket, the seq of its latest frame.
    position: Option<Seq>,
    connected: bool,
    /// True once a change of an original socket was acknowledged.
    entered: bool,
}

/// All chats of a socket.
pub struct Subscriptions {
    /// The number of the socket among the sockets of its client.
    pub socket: u32,
    /// True for a client of the original API.
    pub original: bool,
    chats: BTreeMap<ChatId, Subscription>,
    /// Chats with a truncated replay, and the seq at which each became live. The client reads the rest
    /// by REST.
    pub truncated: Vec<(ChatId, Seq)>,
}

impl Subscriptions {
    pub fn new(socket: u32, original: bool) -> Self {
        Self {
            socket,
            original,
            chats: BTreeMap::new(),
            truncated: Vec::new(),
        }
    }

    /// Begins a segment: connect-chat is sent next.
    pub fn begin(&mut self, journal: &mut Journal, chat: ChatId, since: Option<Seq>) {
        let place = Subscription {
            segment: journal.segments.len(),
            since,
            position: since,
            // An original socket gets no ack of connect-chat.
            connected: self.original,
            entered: false,
        };
        self.chats.insert(chat, place);
        journal.segments.push(Segment {
            client: journal.client,
            socket: self.socket,
            chat,
            since,
            original: self.original,
            events: Vec::new(),
        });
    }

    /// Records a change.
    pub fn change(&mut self, journal: &mut Journal, chat: ChatId, frame: Frame) {
        let Some(place) = self.chats.get_mut(&chat) else {
            let text = format!("a frame of chat {chat}, which it is not in");
            return journal.report(ViolationKind::Protocol, text);
        };
        let segment = &mut journal.segments[place.segment];
        segment.events.push(Event::Frame(frame));
        let view = journal.views.entry(chat).or_default();
        view.apply(frame.thing, frame.seq, frame.state);
        if self.original {
            // It knows nothing of the changes of other kinds, so its view is not complete.
            place.position = Some(frame.seq);
        } else if let Some(position) = place.position {
            if position <= view.seen {
                view.seen = view.seen.max(frame.seq);
            }
            place.position = Some(frame.seq);
        }
    }

    /// Records a heartbeat.
    pub fn heartbeat(&mut self, journal: &mut Journal, heads: Vec<(ChatId, Seq)>) {
        if self.original {
            let text = "an original socket got a heartbeat".to_owned();
            journal.report(ViolationKind::Protocol, text);
        }
        for (chat, seq) in heads {
            if let Some(place) = self.chats.get(&chat) {
                let segment = &mut journal.segments[place.segment];
                segment.events.push(Event::Heartbeat(seq));
            }
        }
    }

    /// Records the ack of connect-chat.
    pub fn connected(
        &mut self,
        journal: &mut Journal,
        chat: ChatId,
        content: &Value,
    ) -> Result<(), Disconnected> {
        let (Some(place), Some(seq)) = (self.chats.get_mut(&chat), content["seq"].as_i64()) else {
            journal.report(
                ViolationKind::Protocol,
                format!("an invalid ack: {content}"),
            );
            return Err(Disconnected);
        };
        match content["epoch"].as_str() {
            Some(epoch) => journal.note_epoch(chat, epoch),
            None => journal.report(
                ViolationKind::Protocol,
                format!("an ack without an epoch: {content}"),
            ),
        }
        let truncated = content["truncated"] == true;
        let segment = &mut journal.segments[place.segment];
        segment.events.push(Event::Connected { seq, truncated });
        let view = journal.views.entry(chat).or_default();
        if truncated {
            self.truncated.push((chat, seq));
        } else if place.since.is_some_and(|since| since <= view.seen) {
            view.seen = view.seen.max(seq);
        }
        place.position = Some(seq);
        place.connected = true;
        Ok(())
    }

    /// Records the ack of a change. The first one shows that an original socket is in the chat.
    pub fn acked(&mut self, journal: &mut Journal, chat: ChatId, ack: &Ack) {
        let place = self.chats.get_mut(&chat).filter(|_| self.original);
        let place = place.filter(|place| !place.entered && !ack.duplicate);
        if let (Some(place), Some(seq)) = (place, ack.seq) {
            place.entered = true;
            let segment = &mut journal.segments[place.segment];
            segment.events.push(Event::Entered(seq));
        }
    }

    /// Ends a chat: the user is no member any more.
    pub fn removed(&mut self, journal: &mut Journal, chat: ChatId) {
        if self.chats.remove(&chat).is_none() {
            let text = format!("it was removed from chat {chat}, which it is not in");
            journal.report(ViolationKind::Protocol, text);
        } else if !journal.was_removed(chat) {
            let text = format!("it was removed from chat {chat}, and no operation did so");
            journal.report(ViolationKind::Unexplained, text);
        }
    }

    /// The position of the socket in a chat, counted from the beginning of the segment.
    pub fn position(&self, chat: ChatId) -> Option<Seq> {
        self.chats.get(&chat)?.position
    }

    /// The ids of the chats.
    pub fn chats(&self) -> Vec<ChatId> {
        self.chats.keys().copied().collect()
    }

    /// True if every connect-chat is answered.
    pub fn are_connected(&self) -> bool {
        self.chats.values().all(|place| place.connected)
    }
}
