//! Sample data: some of everything that is stored.

use serde_json::{Value, json};
use testkit::{Client, PASSWORD, Process, history, number};

/// What was made, as far as tests ask for it again.
pub(super) struct SampleData {
    /// A user.
    pub(super) carl: i64,
    /// A chat of theirs.
    pub(super) chat: i64,
    /// What proves that they signed in.
    pub(super) token: String,
    /// A message that they sent under a name of their own.
    pub(super) named: Value,
}

/// The name of that message.
pub(super) const KEY: &str = "schlüssel 🔑 1";

impl SampleData {
    /// Makes everything through the front door.
    pub(super) async fn create(server: &Process) -> Self {
        let client = server.client();
        let carl = client.new_user("carl").await;
        let name = "名前 \u{1f600} O'Brien \\ \"x\"";
        let other = client.new_user(name).await;
        let gone = client.new_user("gone").await;
        let chat = client.new_chat("general").await;
        let second = client.new_chat("Zug ü 🚂").await;
        let empty = client.new_chat("empty").await;
        for (chat, user, role) in [
            (chat, carl, "admin"),
            (chat, other, "participant"),
            (chat, gone, "participant"),
            (second, other, "admin"),
            (second, gone, "participant"),
        ] {
            let path = format!("/chat/{chat}/user/{user}");
            client.put(&path, json!({ "role": role })).await.expect(201);
        }
        let named = send(
            &client,
            chat,
            json!({ "customerId": carl, "clientMessageId": KEY,
            "content": "first\nsecond\t\"third\" \\ \u{7f} \u{2028} é ö 漢字 🎉" }),
        )
        .await;
        let id = &named["messageId"];
        let reply = json!({ "customerId": other, "content": "an answer", "replyTo": id });
        let reply = send(&client, chat, reply).await;
        let edited = client.say(carl, chat, "with a mistkae").await;
        let edit = json!({ "customerId": carl, "content": "without a mistake" });
        let path = format!("/message/{}", edited["messageId"]);
        client.put(&path, edit).await.expect(200);
        let unsaid = client.say(other, chat, "better not").await;
        let path = format!("/message/{}?customerId={other}", unsaid["messageId"]);
        client.delete(&path).await.expect(204);
        for user in [gone, other, gone] {
            client.say(user, second, "who wrote this?").await;
        }
        client.say(gone, chat, "so did I").await;
        let read = json!({ "customerId": other, "messageId": reply["messageId"] });
        let path = format!("/chat/{chat}/read");
        client.put(&path, read).await.expect(200);
        client.delete(&format!("/user/{gone}")).await.expect(204);
        client.delete(&format!("/chat/{empty}")).await.expect(204);
        let told = json!({ "topic": "Züge 🚂", "data": { "line": [1, "U2"] } });
        client.put(&format!("/chat/{chat}"), told).await.expect(200);
        let login = client.login("carl", PASSWORD).await;
        client.login("carl", PASSWORD).await;
        Self {
            carl,
            chat,
            token: login["token"].as_str().expect("a token").to_owned(),
            named: client.get(&format!("/message/{id}")).await.expect(200),
        }
    }

    /// Everything that a client sees of it.
    pub(super) async fn seen(&self, client: &Client) -> Vec<Value> {
        let mut seen = client.list("/user").await;
        for user in seen.clone() {
            let path = format!("/user/{}/chat", user["customerId"]);
            seen.extend(client.list(&path).await);
        }
        for chat in client.list("/chat").await {
            let id = number(&chat, "chatId");
            seen.push(chat);
            seen.extend(client.list(&format!("/user/chat/{id}")).await);
            seen.extend(history(client, id).await);
            seen.extend(client.list(&format!("/chat/{id}/change?limit=1000")).await);
        }
        seen
    }
}

/// Sends a message by REST, with these keys.
pub(super) async fn send(client: &Client, chat: i64, body: Value) -> Value {
    let reply = client.post(&format!("/chat/{chat}/message"), body).await;
    assert!(matches!(reply.status, 200 | 201), "{reply:?}");
    reply.body
}
