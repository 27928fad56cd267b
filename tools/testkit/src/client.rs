//! A REST client.

use futures_util::{StreamExt, stream};
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};

/// The time for which a connection without a request is kept: half of the time after which the server closes
/// it. A request that is sent while the server closes its connection gets no answer.
const IDLE_LIMIT: Duration = Duration::from_secs(5);
/// The number of requests that `say_many` has under way: enough for the writer to gather batches.
const SENDING_AT_ONCE: usize = 32;

/// A REST client of one server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    /// The token of its requests, if any.
    token: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; null if it was empty or not JSON.
    pub body: Value,
}

impl Reply {
    /// Checks the status and gives the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:?}", self.body);
        self.body
    }

    /// Checks that this is an error with this status, this code and a sentence.
    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status, self.body["code"].as_str()),
            (status, Some(code)),
            "{self:?}"
        );
        let sentence = self.body["error"].as_str().unwrap_or_default();
        assert!(
            sentence.len() > 10,
            "an error says what would be right: {self:?}"
        );
        self.body
    }

    /// A header; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

impl Client {
    /// Makes one for the server at this address.
    pub fn new(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder().pool_idle_timeout(IDLE_LIMIT);
        Self {
            http: http.build().expect("a client"),
            base: format!("http://{address}"),
            token: None,
        }
    }

    /// A client with this token.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// Builds a request of any kind.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request, and checks the answer against the OpenAPI document.
    pub async fn send(&self, request: RequestBuilder) -> Reply {
        let request = request.build().expect("a request");
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = super::patiently("an answer", self.http.execute(request))
            .await
            .expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("a whole answer");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let reply = Reply {
            status,
            headers,
            body,
        };
        super::openapi::assert_told(&method, &path, &reply);
        reply
    }

    /// Sends a GET.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// Sends a POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    /// Sends a POST with a JSON body to an address that may be dead or a proxy; gives the status and
    /// the body of the answer, if one comes.
    pub async fn try_post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let request = self.request(Method::POST, path).json(body);
        let answer = super::patiently("an answer, or none", request.send()).await;
        let answer = answer.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.ok()?))
    }

    /// Sends a PUT with a JSON body.
    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::PUT, path).json(&body)).await
    }

    /// Sends a DELETE.
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Sends a sign-up or login, and again as long as the queue of passwords is full. Every other refusal is
    /// returned: only this one says that nothing was done.
    pub async fn post_password(&self, path: &str, body: Value) -> Reply {
        const QUEUE_IS_FULL: &str =
            "Too many sign-ups and logins at once; nothing was done, try again";
        let posting = async {
            loop {
                let reply = self.post(path, body.clone()).await;
                if reply.body["error"] != QUEUE_IS_FULL {
                    return reply;
                }
            }
        };
        super::patiently("room in the queue of passwords", posting).await
    }

    /// Makes a user and gives its id.
    pub async fn new_user(&self, name: &str) -> i64 {
        let body = json!({ "username": name, "password": "correct horse" });
        let user = self.post_password("/user", body).await.expect(201);
        user["customerId"].as_i64().expect("an id")
    }

    /// Makes a chat and gives its id.
    pub async fn new_chat(&self, name: &str) -> i64 {
        let chat = self
            .post("/chat", json!({ "chatName": name }))
            .await
            .expect(201);
        chat["chatId"].as_i64().expect("an id")
    }

    /// Sends a message by REST and gives it.
    pub async fn say(&self, user: i64, chat: i64, text: &str) -> Value {
        let body = json!({ "customerId": user, "content": text });
        self.post(&format!("/chat/{chat}/message"), body)
            .await
            .expect(201)
    }

    /// Sends `count` messages, several at a time, in any order.
    pub async fn say_many(&self, user: i64, chat: i64, count: usize) {
        let texts: Vec<String> = (0..count).map(|n| format!("message {n}")).collect();
        let sending = texts.iter().map(|text| self.say(user, chat, text));
        let sent = stream::iter(sending).buffer_unordered(SENDING_AT_ONCE);
        assert_eq!(sent.count().await, count);
    }
}
