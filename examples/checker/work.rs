//! What a client does while it is connected.

use crate::{
    client::{ANSWER_LIMIT, Client},
    record::{ChatId, Kind, MessageId, OpId, Outcome},
    socket::{Gone, Socket},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::{self, Instant};

/// How many of its latest operations a client looks at for something to try again or to edit.
const RECENT: usize = 200;

impl Client {
    /// Works for a while on one socket.
    pub async fn visit(&mut self, socket: &mut Socket) -> Result<(), Gone> {
        self.retry(socket).await?;
        for _ in 0..self.rng.u32(1..80) {
            if !self.is_working() {
                break;
            }
            self.act(socket).await?;
        }
        // Some leave with answers still to come.
        match self.is_working() && self.rng.u32(0..3) == 0 {
            true => Ok(()),
            false => self.settle(socket).await,
        }
    }

    /// Does one thing.
    async fn act(&mut self, socket: &mut Socket) -> Result<(), Gone> {
        let chats = socket.places.chats();
        let chat = chats[self.rng.usize(0..chats.len())];
        match self.rng.u32(0..100) {
            0..55 => {
                self.submit(socket, chat).await?;
                self.settle(socket).await
            }
            55..75 => {
                for _ in 0..self.rng.u32(2..25) {
                    self.submit(socket, chat).await?;
                }
                match self.rng.bool() {
                    true => self.settle(socket).await,
                    false => Ok(()),
                }
            }
            75..85 => {
                self.by_rest(chat).await;
                Ok(())
            }
            85..88 => self.retry(socket).await,
            88..96 if self.journal.is_slow() => {
                // Does not read at all: the server must hold back, and heal it afterwards.
                let pause = Duration::from_millis(self.rng.u64(500..6000));
                time::sleep(pause).await;
                Ok(())
            }
            _ => self.listen(socket).await,
        }
    }

    /// Only listens, for a moment.
    async fn listen(&mut self, socket: &mut Socket) -> Result<(), Gone> {
        let until = Instant::now() + Duration::from_millis(self.rng.u64(1..100));
        loop {
            match time::timeout_at(until, socket.step(&mut self.journal)).await {
                Ok(stepped) => stepped?,
                Err(_) => return Ok(()),
            }
        }
    }

    /// Waits until everything is answered.
    async fn settle(&mut self, socket: &mut Socket) -> Result<(), Gone> {
        let settling = async {
            while !socket.is_settled() {
                socket.step(&mut self.journal).await?;
            }
            Ok(())
        };
        let settled = time::timeout(ANSWER_LIMIT, settling).await;
        settled.unwrap_or_else(|_| {
            let text = format!("an operation was not answered within {ANSWER_LIMIT:?}");
            self.journal.violate("unanswered", text);
            Err(Gone)
        })
    }

    /// Submits some operation over the socket.
    async fn submit(&mut self, socket: &mut Socket, chat: ChatId) -> Result<(), Gone> {
        let kind = self.choose(chat);
        let op = self.journal.begin(chat, kind);
        self.submit_op(socket, op).await
    }

    async fn submit_op(&mut self, socket: &mut Socket, op: OpId) -> Result<(), Gone> {
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

    /// Does some operation over REST.
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

    /// Mostly a send; else a change of one's own, now and then of somebody else's, which must be
    /// refused.
    fn choose(&mut self, chat: ChatId) -> Kind {
        match self.rng.u32(0..100) {
            0..12 => self.own(chat).map_or(Kind::Send, |m| Kind::Edit(Some(m))),
            12..15 => Kind::Edit(None),
            15..22 => self.own(chat).map_or(Kind::Send, Kind::Delete),
            22..24 => self.any(chat).map_or(Kind::Send, |m| Kind::Edit(Some(m))),
            _ => Kind::Send,
        }
    }

    /// A message that this client sent not long ago.
    fn own(&mut self, chat: ChatId) -> Option<MessageId> {
        let sent = |op: &crate::record::Op| {
            let ours = op.chat == chat && op.kind == Kind::Send;
            op.acks.first().filter(|_| ours).map(|ack| ack.message)
        };
        let recent: Vec<MessageId> = (self.journal.ops.iter().rev().take(RECENT))
            .filter_map(sent)
            .collect();
        self.rng.choice(recent)
    }

    /// A message that somebody sent.
    fn any(&mut self, chat: ChatId) -> Option<MessageId> {
        // By id and not by place: the order of a hash map is not the seed's.
        let view = self.journal.views.get(&chat)?;
        let newest = view.messages.keys().max()?;
        Some(self.rng.i64(1..=*newest)).filter(|id| view.messages.contains_key(id))
    }

    /// Sends again, under the same name, what was left in doubt, and now and then what was not;
    /// over the socket where that is in the chat, else over REST.
    async fn retry(&mut self, socket: &mut Socket) -> Result<(), Gone> {
        let again: Vec<OpId> = (self.journal.ops.iter().rev().take(RECENT))
            .filter(|op| op.kind == Kind::Send && op.outcome() != Outcome::Refused)
            .filter(|op| op.acks.is_empty() && op.doubt || op.id.number % 50 == 0)
            .map(|op| op.id)
            .collect();
        for op in again {
            let chat = self.journal.op(op).chat;
            if socket.places.chats().contains(&chat) {
                self.submit_op(socket, op).await?;
            } else if self.rng.u32(0..4) == 0 {
                self.rest.send(&mut self.journal, op).await;
            }
        }
        self.settle(socket).await
    }
}
