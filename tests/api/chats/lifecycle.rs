//! Creation, lists, renaming and deletion of chats.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use testkit::{Client, Server, Store, apply, assert_keys, assert_now, both_stores, field, rstest};

const CHAT: [&str; 3] = ["chatId", "chatName", "createdAt"];

#[apply(both_stores)]
async fn a_new_chat_is_answered_whole_and_found_at_its_location(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let reply = client.post("/chat", json!({ "chatName": "general" })).await;
    let location = reply.header("location").to_owned();
    let chat = reply.expect(201);
    assert_keys(&chat, &CHAT);
    assert_eq!(chat["chatName"], "general");
    assert_now(&chat["createdAt"]);
    assert_eq!(location, format!("/chat/{}", chat["chatId"]));
    assert_eq!(client.get(&location).await.expect(200), chat);
    // The request names no user in open mode, so the chat has no members and no admin.
    assert_eq!(client.list("/user/chat/1").await.len(), 0);
}

#[apply(both_stores)]
async fn chats_are_listed_by_id(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    assert_eq!(client.get("/chat").await.expect(200), json!([]));
    for name in ["random", "general"] {
        client.new_chat(name).await;
    }
    let chats = client.list("/chat").await;
    assert_eq!(field(&chats, "chatName"), ["random", "general"]);
    assert!(chats.is_sorted_by_key(|chat| chat["chatId"].as_i64()));
    for chat in &chats {
        assert_keys(chat, &CHAT);
    }
}

#[apply(both_stores)]
async fn a_page_has_100_chats_and_never_more_than_1000(store: Store) {
    const MANY: usize = 1_005;
    let server = Server::start(store).await;
    let client = server.client();
    let making = (0..MANY).map(|_| client.new_chat("one of many"));
    let mut ids: Vec<i64> = stream::iter(making).buffer_unordered(32).collect().await;
    ids.sort_unstable();

    let page_of = async |path: &str| client.get(path).await.expect(200).as_array().map(Vec::len);
    assert_eq!(page_of("/chat").await, Some(100));
    assert_eq!(page_of("/chat?limit=1").await, Some(1));
    assert_eq!(
        page_of("/chat?limit=9999999999999999999999").await,
        Some(1000)
    );
    let pages = client.pages("/chat?limit=5000").await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 5]);
    assert_eq!(field(&pages.concat(), "chatId"), ids);
    assert_eq!(field(&client.pages("/chat").await.concat(), "chatId"), ids);
}

#[apply(both_stores)]
async fn several_chats_may_share_a_name(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    assert_ne!(
        client.new_chat("general").await,
        client.new_chat("general").await
    );
}

#[apply(both_stores)]
async fn a_chat_is_renamed(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let chat = client.new_chat("general").await;
    let path = format!("/chat/{chat}");
    let before = client.get(&path).await.expect(200);
    let name = "名".repeat(255);
    let after = client
        .put(&path, json!({ "chatName": name }))
        .await
        .expect(200);
    let expected = json!({ "chatId": chat, "chatName": name, "createdAt": before["createdAt"] });
    assert_eq!(after, expected);
    assert_eq!(client.get(&path).await.expect(200), expected);
}

#[apply(both_stores)]
async fn the_names_alias_is_understood(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let made = client
        .post("/chat", json!({ "chat_name": "general" }))
        .await
        .expect(201);
    assert_eq!(made["chatName"], "general");
    let path = format!("/chat/{}", made["chatId"]);
    let renamed = client
        .put(&path, json!({ "chat_name": "random" }))
        .await
        .expect(200);
    assert_eq!(renamed["chatName"], "random");
}

#[apply(both_stores)]
async fn a_deleted_chat_is_gone_for_ever(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let chat = client.new_chat("general").await;
    let path = format!("/chat/{chat}");
    client.delete(&path).await.expect(204);
    client.get(&path).await.expect_error(404, "chat_not_found");
    client
        .delete(&path)
        .await
        .expect_error(404, "chat_not_found");
    assert_eq!(client.list("/chat").await.len(), 0);
    assert!(
        client.new_chat("general").await > chat,
        "ids are not used again"
    );
}

#[apply(both_stores)]
async fn a_deleted_chats_members_and_messages_go_and_its_users_stay(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let (chat, other) = (
        client.new_chat("general").await,
        client.new_chat("random").await,
    );
    let (gone, kept) = (
        in_chat(&client, carl, chat).await,
        in_chat(&client, carl, other).await,
    );
    client.delete(&format!("/chat/{chat}")).await.expect(204);

    for path in [
        format!("/user/chat/{chat}"),
        format!("/chat/{chat}/message"),
    ] {
        client.get(&path).await.expect_error(404, "chat_not_found");
    }
    let access = client
        .get(&format!("/chat/user/{carl}/chat/{chat}/access"))
        .await;
    assert_eq!(access.expect(200), json!({ "hasAccess": false }));
    let message = client.get(&format!("/message/{}", gone["messageId"])).await;
    message.expect_error(404, "message_not_found");

    assert_eq!(client.list("/user").await.len(), 1);
    assert_eq!(client.list(&format!("/user/chat/{other}")).await.len(), 1);
    assert_eq!(client.list(&format!("/chat/{other}/message")).await, [kept]);
}

/// Makes the user a member and sends a message as the user. Returns the message.
async fn in_chat(client: &Client, user: i64, chat: i64) -> Value {
    client
        .put(&format!("/chat/{chat}/user/{user}"), json!({}))
        .await
        .expect(201);
    client.say(user, chat, "Hi.").await
}

#[apply(both_stores)]
async fn a_slash_at_the_end_is_ignored(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let chat = client
        .post("/chat/", json!({ "chatName": "general" }))
        .await
        .expect(201);
    let path = format!("/chat/{}/", chat["chatId"]);
    assert_eq!(client.get(&path).await.expect(200), chat);
    assert_eq!(client.list("/chat/?limit=5").await, [chat]);
    client.delete(&path).await.expect(204);
}
