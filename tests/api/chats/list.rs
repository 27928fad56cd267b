//! A user's list of chats.

use serde_json::{Value, json};
use std::collections::HashSet;
use testkit::{Server, Store, apply, both_stores, rstest};

fn ids(list: &Value) -> Vec<i64> {
    let list = list.as_array().expect("a list");
    list.iter()
        .map(|chat| chat["chatId"].as_i64().expect("an id"))
        .collect()
}

#[apply(both_stores)]
async fn the_latest_active_chat_comes_first(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let mut chats = Vec::new();
    for name in ["quiet", "old", "new"] {
        let chat = client.new_chat(name).await;
        client
            .put(&format!("/chat/{chat}/user/{carl}"), json!({}))
            .await
            .expect(201);
        chats.push(chat);
    }
    client.new_chat("not mine").await;
    client.say(carl, chats[2], "first").await;
    client.say(carl, chats[1], "second").await;
    let list = client.get(&format!("/user/{carl}/chat")).await.expect(200);
    assert_eq!(ids(&list), [chats[1], chats[2], chats[0]]);
    client.say(carl, chats[2], "third").await;
    let list = client.get(&format!("/user/{carl}/chat")).await.expect(200);
    assert_eq!(ids(&list), [chats[2], chats[1], chats[0]]);
}

#[apply(both_stores)]
async fn a_chat_shows_its_last_message_and_what_is_unread(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let (carl, dora) = (client.new_user("carl").await, client.new_user("dora").await);
    let chat = client.new_chat("general").await;
    client
        .put(
            &format!("/chat/{chat}/user/{carl}"),
            json!({ "role": "admin" }),
        )
        .await
        .expect(201);
    let path = format!("/user/{carl}/chat");
    let empty = client.get(&path).await.expect(200);
    assert_eq!(
        (
            &empty[0]["lastMessage"],
            &empty[0]["unread"],
            &empty[0]["lastReadMessageId"]
        ),
        (&Value::Null, &json!(0), &Value::Null)
    );
    client.say(carl, chat, "my own does not count").await;
    client.say(dora, chat, "one").await;
    let gone = client.say(dora, chat, "two, deleted").await;
    let last = client.say(dora, chat, "three").await;
    let delete = format!("/message/{}", gone["messageId"]);
    client.delete(&delete).await.expect(204);
    let list = client.get(&path).await.expect(200);
    assert_eq!(list[0]["lastMessage"], last);
    assert_eq!(
        (&list[0]["unread"], &list[0]["role"]),
        (&json!(2), &json!("admin"))
    );
    assert_eq!(list[0]["chatName"], "general");
}

#[apply(both_stores)]
async fn the_list_comes_in_pages(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let mut expected = Vec::new();
    for n in 0..5 {
        let chat = client.new_chat("room").await;
        client
            .put(&format!("/chat/{chat}/user/{carl}"), json!({}))
            .await
            .expect(201);
        if n % 2 == 0 {
            client.say(carl, chat, "hello").await;
        }
        expected.push(chat);
    }
    let active = [4, 2, 0, 3, 1].map(|n| expected[n]);
    let pages = client.pages(&format!("/user/{carl}/chat?limit=2")).await;
    let seen: Vec<i64> = pages
        .into_iter()
        .flat_map(|page| ids(&Value::Array(page)))
        .collect();
    assert_eq!(seen, active);
}

#[apply(both_stores)]
async fn a_page_ends_before_its_last_messages_are_too_much_text(store: Store) {
    // Of 16 KiB each, 64 are one MiB.
    const CHATS: usize = 66;
    let server = Server::start(store).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let text = "x".repeat(16 * 1024);
    for n in 0..CHATS {
        let chat = client.new_chat(&format!("room {n}")).await;
        client.say(carl, chat, &text).await;
        client
            .put(&format!("/chat/{chat}/user/{carl}"), json!({}))
            .await;
    }
    let pages = client.pages(&format!("/user/{carl}/chat?limit=1000")).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [64, 2]);
    let names: HashSet<String> = pages
        .concat()
        .iter()
        .map(|chat| chat["chatName"].to_string())
        .collect();
    assert_eq!(names.len(), CHATS);
}

#[apply(both_stores)]
async fn an_unknown_user_has_no_list(store: Store) {
    let server = Server::start(store).await;
    server
        .client()
        .get("/user/77/chat")
        .await
        .expect_error(404, "user_not_found");
    server
        .client()
        .get("/user/x/chat")
        .await
        .expect_error(400, "invalid_field");
}
