//! The chats that one socket is connected to, and how far each has come on it.

use crate::{
    journal::Journal,
    record::{ChatId, Event, Frame, Segment, Seq},
    socket::Gone,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// A chat that the socket is connected to.
struct Place {
    segment: usize,
    since: Option<Seq>,
    /// All changes up to this one came, counted from where the segment began.
    position: Option<Seq>,
    connected: bool,
}

/// All of a socket's chats.
pub struct Places {
    /// Which of its client's sockets it is.
    pub socket: u32,
    chats: BTreeMap<ChatId, Place>,
    /// Chats whose replay was cut, and from where they are live: the rest is to be paged by REST.
    pub truncated: Vec<(ChatId, Seq)>,
}

impl Places {
    pub fn new(socket: u32) -> Self {
        Self {
            socket,
            chats: BTreeMap::new(),
            truncated: Vec::new(),
        }
    }

    /// Begins with a chat.
    pub fn begin(&mut self, journal: &mut Journal, chat: ChatId, since: Option<Seq>) {
        let place = Place {
            segment: journal.segments.len(),
            since,
            position: since,
            connected: false,
        };
        self.chats.insert(chat, place);
        journal.segments.push(Segment {
            client: journal.client,
            socket: self.socket,
            chat,
            since,
            events: Vec::new(),
        });
    }

    /// Takes note of a change.
    pub fn change(&mut self, journal: &mut Journal, chat: ChatId, frame: Frame) {
        let Some(place) = self.chats.get_mut(&chat) else {
            let text = format!("a frame of chat {chat}, which it is not in");
            return journal.violate("protocol", text);
        };
        let segment = &mut journal.segments[place.segment];
        segment.events.push(Event::Frame(frame));
        let view = journal.views.entry(chat).or_default();
        view.apply(frame.message, frame.seq, frame.state);
        if let Some(position) = place.position {
            if position <= view.seen {
                view.seen = view.seen.max(frame.seq);
            }
            place.position = Some(frame.seq);
        }
    }

    /// Takes note of a heartbeat.
    pub fn heartbeat(&mut self, journal: &mut Journal, heads: Vec<(ChatId, Seq)>) {
        for (chat, seq) in heads {
            if let Some(place) = self.chats.get(&chat) {
                let segment = &mut journal.segments[place.segment];
                segment.events.push(Event::Heartbeat(seq));
            }
        }
    }

    /// Takes note of connect-chat's answer.
    pub fn connected(
        &mut self,
        journal: &mut Journal,
        chat: ChatId,
        content: &Value,
    ) -> Result<(), Gone> {
        let (Some(place), Some(seq)) = (self.chats.get_mut(&chat), content["seq"].as_i64()) else {
            journal.violate("protocol", format!("a strange ack: {content}"));
            return Err(Gone);
        };
        match content["epoch"].as_str() {
            Some(epoch) => journal.note_epoch(chat, epoch),
            None => journal.violate("protocol", format!("an ack without an epoch: {content}")),
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

    /// How far a chat has come, counted from where it began on this socket.
    pub fn position(&self, chat: ChatId) -> Option<Seq> {
        self.chats.get(&chat)?.position
    }

    /// The chats.
    pub fn chats(&self) -> Vec<ChatId> {
        self.chats.keys().copied().collect()
    }

    /// Whether every connect-chat is answered.
    pub fn are_connected(&self) -> bool {
        self.chats.values().all(|place| place.connected)
    }
}
