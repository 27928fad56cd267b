//! The actions of a connected client.

use crate::{
    client::{ANSWER_LIMIT, Client},
    record::{ChatId, Kind, MessageId, OpId, Outcome, Thing},
    socket::{Disconnected, Socket},
    violation::ViolationKind,
};
use serde_json::json;
use std::time::Duration;
use tokio::time::{self, Instant};

/// The number of a client's latest operations among which it picks one to retry or to edit.
const RECENT: usize = 200;

impl Client {
    /// Works for a while on one socket.
    pub async fn use_socket(&mut self, socket: &mut Socket) -> Result<(), Disconnected> {
        self.retry(socket).await?;
        for _ in 0..self.rng.u32(1..80) {
            if !self.is_working() {
                break;
            }
            self.operate(socket).await?;
        }
        // Some clients leave while answers are pending.
        match self.is_working() && self.rng.u32(0..3) == 0 {
            true => Ok(()),
            false => self.settle(socket).await,
        }
    }

    /// Performs one random action.
    async fn operate(&mut self, socket: &mut Socket) -> Result<(), Disconnected> {
        let chats = socket.subscriptions.chats();
        if chats.is_empty() {
            // The client was removed from each chat.
            return Err(Disconnected);
        }
        let chat = chats[self.rng.usize(0..chats.len())];
        match self.rng.u32(0..100) {
            0..52 => {
                self.submit(socket, chat).await?;
                self.settle(socket).await
            }
            52..70 => {
                for _ in 0..self.rng.u32(2..25) {
                    self.submit(socket, chat).await?;
                }
                match self.rng.bool() {
                    true => self.settle(socket).await,
                    false => Ok(()),
                }
            }
            70..76 => {
                self.by_rest(chat).await;
                Ok(())
            }
            76..85 => {
                self.act(chat).await;
                Ok(())
            }
            85..88 => self.retry(socket).await,
            88..96 if self.journal.is_slow() => {
                // Stops reading: the server must apply backpressure, and resend afterwards.
                let pause = Duration::from_millis(self.rng.u64(500..6000));
                time::sleep(pause).await;
                Ok(())
            }
            _ => self.listen(socket).await,
        }
    }

    /// Only reads frames, for 1 to 100 ms.
    async fn listen(&mut self, socket: &mut Socket) -> Result<(), Disconnected> {
        let until = Instant::now() + Duration::from_millis(self.rng.u64(1..100));
        loop {
            match time::timeout_at(until, socket.step(&mut self.journal)).await {
                Ok(stepped) => stepped?,
                Err(_) => return Ok(()),
            }
        }
    }

    /// Waits until every operation of this socket is answered.
    async fn settle(&mut self, socket: &mut Socket) -> Result<(), Disconnected> {
        let settling = async {
            while !socket.is_settled() {
                socket.step(&mut self.journal).await?;
            }
            Ok(())
        };
        let settled = time::timeout(ANSWER_LIMIT, settling).await;
        settled.unwrap_or_else(|_| {
            let text = format!("an operation was not answered within {ANSWER_LIMIT:?}");
            self.journal.report(ViolationKind::Unanswered, text);
            Err(Disconnected)
        })
    }

    /// Submits a random operation over the socket.
    async fn submit(&mut self, socket: &mut Socket, chat: ChatId) -> Result<(), Disconnected> {
        let kind = self.choose(chat);
        let op = self.journal.begin(chat, kind);
        self.submit_op(socket, op).await
    }

    pub async fn submit_op(&mut self, socket: &mut Socket, op: OpId) -> Result<(), Disconnected> {
        let (chat, kind) = (self.journal.op(op).chat, self.journal.op(op).kind);
        let (name, content) = match kind {
            Kind::Send => (
                "send-message",
                json!({ "chatId": chat, "content": op.text(), "clientMessageId": op.key() }),
            ),
            Kind::Edit(None) => (
                "update-message",
                json!({ "chatId": chat, "content": op.text() }),
            ),
            Kind::Edit(Some(message)) => (
                "update-message",
                json!({ "chatId": chat, "messageId": message, "content": op.text() }),
            ),
            Kind::Delete(message) => ("delete-message", json!(message)),
        };
        socket.submit(&mut self.journal, op, name, content).await
    }

    /// Submits a random operation over REST.
    async fn by_rest(&mut self, chat: ChatId) {
        let kind = match self.choose(chat) {
            Kind::Edit(None) => Kind::Send,
            kind => kind,
        };
        let op = self.journal.begin(chat, kind);
        match kind {
            Kind::Edit(Some(message)) => self.rest.edit(&mut self.journal, op, message).await,
            Kind::Delete(message) => self.rest.delete(&mut self.journal, op, message).await,
            Kind::Send | Kind::Edit(None) => self.rest.send(&mut self.journal, op).await,
        }
    }

    /// Picks a send mostly, else an edit or a deletion of the client's own message. Sometimes it picks
    /// an edit of a random message, which the server must refuse if another user wrote it.
    fn choose(&mut self, chat: ChatId) -> Kind {
        match self.rng.u32(0..100) {
            0..12 => self
                .own_message(chat)
                .map_or(Kind::Send, |m| Kind::Edit(Some(m))),
            12..15 => Kind::Edit(None),
            15..22 => self.own_message(chat).map_or(Kind::Send, Kind::Delete),
            22..24 => self
                .any_message(chat)
                .map_or(Kind::Send, |m| Kind::Edit(Some(m))),
            _ => Kind::Send,
        }
    }

    /// A message that this client sent not long ago.
    fn own_message(&mut self, chat: ChatId) -> Option<MessageId> {
        let sent = |op: &crate::record::Op| {
            let ours = op.chat == chat && op.kind == Kind::Send;
            op.acks.first().filter(|_| ours).map(|ack| ack.message)
        };
        let recent: Vec<MessageId> = (self.journal.ops.iter().rev().take(RECENT))
            .filter_map(sent)
            .collect();
        self.rng.choice(recent)
    }

    /// A random message of any author, from the client's view of the chat.
    fn any_message(&mut self, chat: ChatId) -> Option<MessageId> {
        // Draws an id, because the order of a hash map does not follow the seed.
        let view = self.journal.views.get(&chat)?;
        let messages = view.things.keys().filter_map(|thing| match thing {
            Thing::Message(id) => Some(*id),
            Thing::Member(_) | Thing::Chat => None,
        });
        let newest = messages.max()?;
        Some(self.rng.i64(1..=newest)).filter(|id| view.things.contains_key(&Thing::Message(*id)))
    }

    /// Repeats sends in doubt under their idempotency key, and one other send in 50. Uses the socket if
    /// it is connected to the chat, else REST for one operation in four.
    async fn retry(&mut self, socket: &mut Socket) -> Result<(), Disconnected> {
        let again: Vec<OpId> = (self.journal.ops.iter().rev().take(RECENT))
            .filter(|op| op.kind == Kind::Send && op.outcome() != Outcome::Refused)
            .filter(|op| op.acks.is_empty() && op.in_doubt || op.id.number % 50 == 0)
            .map(|op| op.id)
            .collect();
        for op in again {
            let chat = self.journal.op(op).chat;
            if socket.subscriptions.chats().contains(&chat) {
                self.submit_op(socket, op).await?;
            } else if self.rng.u32(0..4) == 0 {
                self.rest.send(&mut self.journal, op).await;
            }
        }
        self.settle(socket).await
    }
}
