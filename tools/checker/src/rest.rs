//! The client of the server's REST API.

use crate::{
    journal::Journal,
    record::{Ack, ChatId, Entry, Membership, MessageId, OpId, Seq, State, UserId},
    wire,
};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
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

/// Everything that is stored of a chat.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The messages, ordered by seq.
    pub rows: Vec<Row>,
    /// Everything that changed, ordered by seq.
    pub entries: Vec<Entry>,
    pub members: BTreeMap<UserId, Membership>,
    /// The state of the chat itself. `None` if it was never renamed.
    pub named: Option<State>,
}

impl Log {
    /// The number of the latest change.
    pub fn head(&self) -> Seq {
        self.entries.last().map_or(0, |entry| entry.seq)
    }
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

    /// All things of a chat that changed after `since`, ordered by seq.
    pub async fn changes(&self, chat: ChatId, mut since: Seq) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        loop {
            let path = format!("/chat/{chat}/change?since={since}&limit={PAGE}");
            let page = self.page(&path).await?;
            if page.is_empty() {
                return Ok(entries);
            }
            for row in page {
                let read = wire::change(&row).filter(|(of, _)| *of == chat);
                let (_, frame) = read.ok_or_else(|| format!("not a change: {row}"))?;
                since = frame.seq;
                entries.push(Entry {
                    thing: frame.thing,
                    seq: frame.seq,
                    state: frame.state,
                });
            }
        }
    }

    /// Everything that is stored of a chat. Its changes are read last: if they end at the head that was known before,
    /// nothing has changed meanwhile.
    pub async fn stored(&self, chat: ChatId) -> Result<Log, String> {
        let rows = self.log(chat, 0).await?;
        let mut members = BTreeMap::new();
        for member in self
            .page(&format!("/user/chat/{chat}?limit={PAGE}"))
            .await?
        {
            let user = member["customerId"].as_i64();
            let (Some(user), Some(state)) = (user, wire::membership(&member)) else {
                return Err(format!("chat {chat} has the member {member}"));
            };
            members.insert(user, state);
        }
        let path = format!("/chat/{chat}");
        let Reply::Done(_, named) = self.call(Method::GET, &path, None).await else {
            return Err(format!("{path} cannot be read"));
        };
        Ok(Log {
            rows,
            members,
            named: wire::named(&named),
            entries: self.changes(chat, 0).await?,
        })
    }

    async fn page(&self, path: &str) -> Result<Vec<Value>, String> {
        match self.call(Method::GET, path, None).await {
            Reply::Done(_, Value::Array(page)) => Ok(page),
            other => Err(format!("{path} cannot be read: {other:?}")),
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
