//! The client of the server's REST API.

use crate::{
    journal::Journal,
    record::{Ack, ChatId, MessageId, OpId, Seq, State},
    wire,
};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Time limit of a request: longer than the server's own 15 s and the longest freeze.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The size of the largest page, in messages.
const PAGE: usize = 1000;

/// A REST client.
#[derive(Clone)]
pub struct Rest {
    http: reqwest::Client,
    /// The URLs of the servers, used in turn.
    bases: Vec<String>,
    turn: Arc<AtomicUsize>,
}

/// A message as stored.
#[derive(Clone, Debug)]
pub struct Row {
    pub message: MessageId,
    pub user: Option<i64>,
    pub seq: Seq,
    pub state: State,
    pub key: Option<String>,
}

/// How a request ended.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It succeeded, with this body.
    Done(StatusCode, Value),
    /// It was refused for certain.
    Refused { code: String, sentence: String },
    /// It is unknown if the request took effect.
    InDoubt,
}

impl Rest {
    pub fn new(addresses: &[SocketAddr]) -> Result<Self, String> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build();
        Ok(Self {
            http: http.map_err(|e| e.to_string())?,
            bases: addresses.iter().map(|a| format!("http://{a}")).collect(),
            turn: Arc::default(),
        })
    }

    /// Creates a user or a chat. Returns `field` of the answer.
    pub async fn make(&self, path: &str, body: Value, field: &str) -> Result<i64, String> {
        let asking = self.http.post(self.url(path)).json(&body).send();
        let answer = asking.await.map_err(|e| e.to_string())?;
        let answer: Value = answer.json().await.map_err(|e| e.to_string())?;
        answer[field]
            .as_i64()
            .ok_or_else(|| format!("{path} answered {answer}"))
    }

    pub async fn send(&self, journal: &mut Journal, op: OpId) {
        let chat = journal.op(op).chat;
        let url = self.url(&format!("/chat/{chat}/message"));
        let body = json!({
            "customerId": journal.user, "content": op.text(), "clientMessageId": op.key()
        });
        self.ask(journal, op, self.http.post(url).json(&body)).await;
    }

    pub async fn edit(&self, journal: &mut Journal, op: OpId, message: MessageId) {
        let url = self.url(&format!("/message/{message}"));
        let body = json!({ "customerId": journal.user, "content": op.text() });
        self.ask(journal, op, self.http.put(url).json(&body)).await;
    }

    pub async fn delete(&self, journal: &mut Journal, op: OpId, message: MessageId) {
        let user = journal.user;
        let url = self.url(&format!("/message/{message}?customerId={user}"));
        let deleted = self.ask(journal, op, self.http.delete(url)).await;
        if deleted == Some(StatusCode::NO_CONTENT) {
            journal.op(op).acks.push(Ack {
                message,
                seq: None,
                state: None,
                duplicate: false,
            });
        }
    }

    /// Sends a request of any kind.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let mut request = self.http.request(method, self.url(path));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let Some((status, body)) = answer(request).await else {
            return Reply::InDoubt;
        };
        if status.is_success() {
            return Reply::Done(status, body);
        }
        let (code, sentence) = wire::refusal(&body);
        match wire::leaves_open(&code, &sentence) {
            true => Reply::InDoubt,
            false => Reply::Refused { code, sentence },
        }
    }

    /// Sends the request of an operation and records its answer. Returns `None` if no complete answer
    /// came.
    async fn ask(
        &self,
        journal: &mut Journal,
        op: OpId,
        request: RequestBuilder,
    ) -> Option<StatusCode> {
        let Some((status, body)) = answer(request).await else {
            journal.op(op).in_doubt = true;
            return None;
        };
        if !status.is_success() {
            let (code, sentence) = wire::refusal(&body);
            journal.refuse(op, &code, &sentence);
        } else if let Some(mut ack) = wire::ack(&body) {
            // A new send answers 201, a repeated send 200.
            let send = matches!(journal.op(op).kind, crate::record::Kind::Send);
            ack.duplicate = send && status == StatusCode::OK;
            journal.op(op).acks.push(ack);
        }
        Some(status)
    }

    /// All messages of a chat that changed after `since`, ordered by seq.
    pub async fn log(&self, chat: ChatId, mut since: Seq) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        loop {
            let url = self.url(&format!("/chat/{chat}/message?since={since}&limit={PAGE}"));
            let answer = self.http.get(url).send().await.map_err(|e| e.to_string())?;
            let page: Value = answer.json().await.map_err(|e| e.to_string())?;
            let page = page
                .as_array()
                .ok_or_else(|| format!("not a page: {page}"))?;
            if page.is_empty() {
                return Ok(rows);
            }
            for message in page {
                let row = row(message).ok_or_else(|| format!("not a message: {message}"))?;
                since = row.seq;
                rows.push(row);
            }
        }
    }

    /// The seq of the latest change of the chat's newest message.
    pub async fn newest(&self, chat: ChatId) -> Option<Seq> {
        let path = format!("/chat/{chat}/message?limit=1");
        match self.call(Method::GET, &path, None).await {
            Reply::Done(_, page) => page[0]["seq"].as_i64(),
            _ => None,
        }
    }

    fn url(&self, path: &str) -> String {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.bases.len();
        format!("{}{path}", self.bases[turn])
    }
}

/// Sends a request. Returns its status and its body (null for 204), or `None` if the answer is
/// incomplete.
async fn answer(request: RequestBuilder) -> Option<(StatusCode, Value)> {
    let answer = request.send().await.ok()?;
    let status = answer.status();
    if status == StatusCode::NO_CONTENT {
        return Some((status, Value::Null));
    }
    Some((status, answer.json().await.ok()?))
}

fn row(message: &Value) -> Option<Row> {
    Some(Row {
        message: message["messageId"].as_i64()?,
        user: message["customerId"].as_i64(),
        seq: message["seq"].as_i64()?,
        state: State::of(message["content"].as_str()),
        key: message["clientMessageId"].as_str().map(ToOwned::to_owned),
    })
}
