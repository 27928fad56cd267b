//! Invalid REST input. Each request is refused with its status and code, and changes nothing.

mod bodies;
mod fields;
mod ids;
mod routes;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use testkit::{Client, Reply, Server, Store};

/// A server with two users, a chat, a member and a message, and everything that the server holds. The
/// chat and the message have the id 1.
struct World {
    _server: Server,
    client: Client,
    holds: Vec<Value>,
}

/// A route that takes a body: method, path, and a valid body.
type Route = (Method, &'static str, Value);

fn routes_with_a_body() -> Vec<Route> {
    let user = json!({ "username": "gustav", "password": "secret" });
    let chat = json!({ "chatName": "random" });
    let message =
        json!({ "content": "Hi.", "customerId": 1, "clientMessageId": "k", "replyTo": 1 });
    vec![
        (Method::POST, "/user", user.clone()),
        (Method::PUT, "/user/1", user),
        (Method::POST, "/chat", chat.clone()),
        (Method::PUT, "/chat/1", chat),
        (Method::PUT, "/chat/1/user/1", json!({ "role": "admin" })),
        (Method::POST, "/chat/1/message", message),
        (
            Method::PUT,
            "/message/1",
            json!({ "content": "Hi.", "customerId": 1 }),
        ),
    ]
}

impl World {
    async fn new(store: Store) -> Self {
        let server = Server::start(store).await;
        let client = server.client();
        client.new_user("carl").await;
        client.new_user("sigmund").await;
        client.new_chat("general").await;
        client.get("/chat/user/1?chat_id=1").await.expect(201);
        client.say(1, 1, "Hi world.").await;
        let holds = everything(&client).await;
        Self {
            _server: server,
            client,
            holds,
        }
    }

    /// Builds a request with this text as its body and the content type of JSON.
    fn with_text(&self, method: &Method, path: &str, body: impl Into<String>) -> RequestBuilder {
        let request = self.client.request(method.clone(), path);
        request
            .header("content-type", "application/json")
            .body(body.into())
    }

    /// Builds a request with a JSON body.
    fn with_json(&self, method: &Method, path: &str, body: &Value) -> RequestBuilder {
        self.with_text(method, path, body.to_string())
    }

    /// Checks that a request is refused with this status and code. `case` names it in the failure text.
    async fn refuses(&self, request: RequestBuilder, status: u16, code: &str, case: &str) -> Reply {
        let reply = self.client.send(request).await;
        let seen = (reply.status, reply.body["code"].as_str());
        assert_eq!(seen, (status, Some(code)), "{case}: {reply:?}");
        let sentence = reply.body["error"].as_str().unwrap_or_default();
        assert!(
            sentence.len() > 10,
            "{case}: an error says what would be right: {reply:?}"
        );
        assert!(
            !sentence.contains("SELECT"),
            "{case}: nothing internal is shown: {reply:?}"
        );
        reply
    }

    /// Checks that a request is refused as `invalid_field`, with an error that names the field.
    async fn names(&self, request: RequestBuilder, field: &str, case: &str) {
        let reply = self.refuses(request, 400, "invalid_field", case).await;
        let sentence = reply.body["error"].as_str().unwrap_or_default();
        assert!(
            sentence.contains(field),
            "{case}: {field} is not named: {sentence}"
        );
    }

    /// Checks that the data of the server is unchanged.
    async fn is_unchanged(&self) {
        assert_eq!(everything(&self.client).await, self.holds);
    }
}

/// Returns all data that REST can read.
async fn everything(client: &Client) -> Vec<Value> {
    let mut lists = Vec::new();
    for path in ["/user", "/chat", "/user/chat/1", "/chat/1/message"] {
        lists.push(Value::from(client.list(path).await));
    }
    lists
}
