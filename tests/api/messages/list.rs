//! A chat's messages: the newest, older pages, changes since a number, and search.

use serde_json::{Value, json};
use testkit::{Client, Server, Store, apply, both_stores, field, rstest};
use url::form_urlencoded::byte_serialize;

/// A server with one user and one chat.
async fn world(store: Store) -> (Server, Client, i64, i64) {
    let server = Server::start(store).await;
    let client = server.client();
    client.new_chat("the first").await;
    let (user, chat) = (
        client.new_user("carl").await,
        client.new_chat("general").await,
    );
    (server, client, user, chat)
}

/// Says these things in this order; gives the messages.
async fn say_all(client: &Client, user: i64, chat: i64, texts: &[&str]) -> Vec<Value> {
    let mut messages = Vec::new();
    for text in texts {
        messages.push(client.say(user, chat, text).await);
    }
    messages
}

#[apply(both_stores)]
async fn the_newest_page_comes_first_and_each_page_is_oldest_first(store: Store) {
    let (_server, client, carl, chat) = world(store).await;
    let path = format!("/chat/{chat}/message");
    assert_eq!(client.get(&path).await.expect(200), json!([]));
    let sent = say_all(&client, carl, chat, &["a", "b", "c", "d", "e"]).await;
    assert_eq!(client.list(&path).await, sent);

    let pages = client.pages(&format!("{path}?limit=2")).await;
    assert_eq!(pages, [&sent[3..], &sent[1..3], &sent[..1]]);
    let before = &sent[2]["messageId"];
    let earlier = client.list(&format!("{path}?before={before}")).await;
    assert_eq!(earlier, sent[..2]);
}

#[apply(both_stores)]
async fn a_page_has_100_messages_and_never_more_than_1000(store: Store) {
    const MANY: usize = 1_005;
    let (_server, client, carl, chat) = world(store).await;
    client.say_many(carl, chat, MANY).await;
    let path = format!("/chat/{chat}/message");
    let numbers: Vec<usize> = (1..=MANY).collect();

    let newest = client.get(&path).await.expect(200);
    let newest = newest.as_array().expect("a list");
    assert_eq!(field(newest, "seq"), numbers[MANY - 100..]);
    let mut pages = client.pages(&format!("{path}?limit=5000")).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 5]);
    pages.reverse();
    let all = pages.concat();
    assert_eq!(field(&all, "seq"), numbers);
    assert!(all.is_sorted_by_key(|message| message["messageId"].as_i64()));

    let changes = client.pages(&format!("{path}?since=0&limit=1001")).await;
    assert_eq!(changes.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 5]);
    assert_eq!(changes.concat(), all);
}

#[apply(both_stores)]
async fn every_change_after_a_number_comes_by_number(store: Store) {
    let (_server, client, carl, chat) = world(store).await;
    let sent = say_all(&client, carl, chat, &["a", "b", "c"]).await;
    let message = |n: usize| format!("/message/{}", sent[n]["messageId"]);
    let since = async |n: i64| {
        client
            .list(&format!("/chat/{chat}/message?since={n}"))
            .await
    };
    assert_eq!(since(0).await, sent);
    assert_eq!(since(2).await, sent[2..]);
    assert_eq!(since(3).await.len(), 0);

    let edited = client
        .put(&message(1), json!({ "content": "B" }))
        .await
        .expect(200);
    client.delete(&message(0)).await.expect(204);
    let deleted = client.get(&message(0)).await.expect(200);
    // Of a message changed twice only its present state.
    assert_eq!(
        since(0).await,
        [sent[2].clone(), edited.clone(), deleted.clone()]
    );
    assert_eq!(field(&since(0).await, "seq"), [3, 4, 5]);
    assert_eq!(since(3).await, [edited, deleted.clone()]);
    assert_eq!(since(4).await, [deleted]);
}

#[apply(both_stores)]
async fn changes_are_walked_to_their_end_along_the_links(store: Store) {
    let (_server, client, carl, chat) = world(store).await;
    let sent = say_all(&client, carl, chat, &["a", "b", "c", "d", "e"]).await;
    let edit = format!("/message/{}", sent[0]["messageId"]);
    client
        .put(&edit, json!({ "content": "A" }))
        .await
        .expect(200);
    let pages = client
        .pages(&format!("/chat/{chat}/message?since=1&limit=2"))
        .await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(field(&pages.concat(), "seq"), [2, 3, 4, 5, 6]);
}

#[apply(both_stores)]
async fn a_search_finds_text_in_whatever_case(store: Store) {
    let (_server, client, carl, chat) = world(store).await;
    let sent = say_all(
        &client,
        carl,
        chat,
        &["Hello World", "goodbye", "say HELLO"],
    )
    .await;
    let found = client.list(&format!("/chat/{chat}/message?q=hello")).await;
    assert_eq!(found, [sent[0].clone(), sent[2].clone()]);
    let none = client
        .list(&format!("/chat/{chat}/message?q=nothing"))
        .await;
    assert_eq!(none.len(), 0);
}

#[apply(both_stores)]
async fn a_search_takes_every_character_as_it_is(store: Store) {
    let (_server, client, carl, chat) = world(store).await;
    let texts = [
        "100% sure",
        "snake_case",
        "wow!",
        "it's \"so\"",
        "back\\slash",
        "[a]*?",
        "ß 名前",
    ];
    let sent = say_all(&client, carl, chat, &texts).await;
    for (n, text) in ["%", "_", "!", "'s \"", "\\", "[a]*?", "名"]
        .into_iter()
        .enumerate()
    {
        let text: String = byte_serialize(text.as_bytes()).collect();
        let found = client.list(&format!("/chat/{chat}/message?q={text}")).await;
        assert_eq!(found, sent[n..=n], "{text}");
    }
}

#[apply(both_stores)]
async fn a_search_is_walked_to_its_end_along_the_links(store: Store) {
    let (_server, client, carl, chat) = world(store).await;
    let texts = ["a & ü=1", "other", "A & ü=1", "b a & ü=1"];
    let sent = say_all(&client, carl, chat, &texts).await;
    let path = format!("/chat/{chat}/message?limit=1&q=a%20%26%20%C3%BC%3D1");
    let pages = client.pages(&path).await;
    assert_eq!(
        pages.concat(),
        [sent[3].clone(), sent[2].clone(), sent[0].clone()]
    );
    let before = format!("/chat/{chat}/message?q=ü&before={}", sent[3]["messageId"]);
    let earlier = client.list(&before).await;
    assert_eq!(earlier, [sent[0].clone(), sent[2].clone()]);
}

#[apply(both_stores)]
async fn a_search_finds_nothing_that_was_deleted(store: Store) {
    let (_server, client, carl, chat) = world(store).await;
    let sent = say_all(&client, carl, chat, &["secret one", "secret two"]).await;
    let path = format!("/message/{}", sent[0]["messageId"]);
    client.delete(&path).await.expect(204);
    let found = client.list(&format!("/chat/{chat}/message?q=secret")).await;
    assert_eq!(found, sent[1..]);
}

#[apply(both_stores)]
async fn a_list_is_of_one_chat_only(store: Store) {
    let (_server, client, carl, chat) = world(store).await;
    client.say(carl, 1, "hello over there").await;
    let sent = say_all(&client, carl, chat, &["hello"]).await;
    for query in ["", "?since=0", "?q=hello", "?before=999"] {
        assert_eq!(
            client.list(&format!("/chat/{chat}/message{query}")).await,
            sent
        );
    }
}
