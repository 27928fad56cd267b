//! Clients that return after a restore, with the cursors they had before it.

use crate::{
    client::{ANSWER_LIMIT, Client},
    presence::{ConnectAnswer, connect_chat},
    record::ChatId,
    violation::ViolationKind,
};
use serde_json::json;
use std::time::Duration;
use tokio::time;

impl Client {
    /// Returns to every chat with a cursor of an earlier epoch. The server must refuse it, so that the
    /// client discards its state.
    pub async fn resume_old_epoch(&mut self) {
        for chat in self.chats.clone() {
            let asking = time::timeout(ANSWER_LIMIT, async {
                while !self.is_refused(chat).await {
                    time::sleep(Duration::from_millis(100)).await;
                }
            });
            if asking.await.is_err() {
                let text = format!("the return to chat {chat} was not answered");
                self.journal.report(ViolationKind::Unanswered, text);
            }
        }
    }

    /// True if a final answer came. A wrong answer is recorded as a violation.
    async fn is_refused(&mut self, chat: ChatId) -> bool {
        let seen = self.journal.views.get(&chat).map_or(0, |view| view.seen);
        let Some(epoch) = self.journal.epochs.get(&chat).cloned() else {
            return true;
        };
        let content = json!({
            "customerId": self.journal.user, "chatId": chat,
            "since": { "seq": seen, "epoch": epoch },
        });
        let address = self.addresses[self.rng.usize(0..self.addresses.len())];
        let text = match connect_chat(address, content).await {
            None => return false,
            Some(ConnectAnswer::Refused { code }) if code == "unavailable" => return false,
            Some(ConnectAnswer::Refused { code }) if code == "invalid_field" => return true,
            Some(ConnectAnswer::Refused { code }) => format!("refused as {code}"),
            Some(ConnectAnswer::Accepted(_, ack)) => format!("let in: {ack}"),
        };
        let text = format!("with seq {seen} of another epoch in chat {chat}: {text}");
        self.journal.report(ViolationKind::Epoch, text);
        true
    }
}
