//! The probe that checks if a server has recovered from a fault: it must store a message without a
//! restart.

use crate::{
    record::ChatId,
    rest::Rest,
    violation::{Violation, ViolationKind},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::time::{self, Instant};

/// Time limit for a server to store a message after its database or disk works again: 10 s for a
/// failover, and a margin for a busy machine.
const LIMIT: Duration = Duration::from_secs(15);
/// Time limit of one answer: longer than the server's own 5 s.
const TIMEOUT: Duration = Duration::from_secs(7);

/// A client with its own user and chat.
pub struct Probe {
    http: reqwest::Client,
    user: i64,
    chat: ChatId,
    sent: u64,
}

impl Probe {
    pub async fn new(rest: &Rest) -> Result<Self, String> {
        let body = json!({ "username": "probe", "password": "a long password" });
        let user = rest.make("/user", body, "customerId").await?;
        let chat = json!({ "chatName": "probe" });
        let chat = rest.make("/chat", chat, "chatId").await?;
        let http = reqwest::Client::builder().timeout(TIMEOUT).build();
        Ok(Self {
            http: http.map_err(|e| e.to_string())?,
            user,
            chat,
            sent: 0,
        })
    }

    /// Sends messages until one is acknowledged. Returns a violation with the last answer if none is
    /// within `LIMIT`.
    pub async fn works(&mut self, address: SocketAddr, after: &str) -> Option<Violation> {
        let until = Instant::now() + LIMIT;
        loop {
            let said = self.send(address).await.err()?;
            if Instant::now() > until {
                let ready = self.http.get(format!("http://{address}/health/ready"));
                let ready = ready.send().await.map(|answer| answer.status());
                let text =
                    format!("{LIMIT:?} after {after} {address} says {said}; ready: {ready:?}");
                return Some(Violation::new(ViolationKind::Stuck, text));
            }
            time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn send(&mut self, address: SocketAddr) -> Result<(), String> {
        self.sent += 1;
        let url = format!("http://{address}/chat/{}/message", self.chat);
        let body = json!({ "customerId": self.user, "content": format!("probe {}", self.sent) });
        let answer = self.http.post(url).json(&body).send().await;
        let answer = answer.map_err(|e| e.to_string())?;
        let status = answer.status();
        match status.is_success() {
            true => Ok(()),
            false => {
                let said: Value = answer.json().await.unwrap_or_default();
                Err(format!("{status} {said}"))
            }
        }
    }
}
