//! Searches that do not regard case and accents, and long chats.

use serde_json::Value;
use testkit::{Client, Server, Store, apply, both_stores, number, rstest};
use url::form_urlencoded::byte_serialize;

async fn search(client: &Client, chat: i64, text: &str) -> Vec<Value> {
    let text: String = byte_serialize(text.as_bytes()).collect();
    client.list(&format!("/chat/{chat}/message?q={text}")).await
}

#[apply(both_stores)]
async fn case_and_accents_are_folded_alike_on_both_stores(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let (carl, chat) = (
        client.new_user("carl").await,
        client.new_chat("general").await,
    );
    let texts = [
        "Äpfel und Birnen",
        "Из МОСКВЫ",
        "МОСКВА",
        "cafe\u{301}",
        "ΟΔΟΣ",
        "STRASSE",
        "が",
        "STRA\u{1e9e}E",
        "Straße",
        "Øl",
    ];
    let mut sent = Vec::new();
    for text in texts {
        sent.push(client.say(carl, chat, text).await);
    }
    for (text, found) in [
        ("äpfel", &[0][..]),
        ("A\u{308}PFEL", &[0]),
        ("apfel", &[0]),
        ("москва", &[2]),
        ("Москв", &[1, 2]),
        ("caf\u{e9}", &[3]),
        ("CAFE\u{301}", &[3]),
        ("οδός", &[4]),
        ("straße", &[5, 7, 8]),
        ("strasse", &[5, 7, 8]),
        ("STRA\u{1e9e}E", &[5, 7, 8]),
        ("øl", &[9]),
        ("ol", &[]),
        ("か", &[]),
        ("が", &[6]),
    ] {
        let found: Vec<Value> = found.iter().map(|&n| sent[n].clone()).collect();
        assert_eq!(search(&client, chat, text).await, found, "{text}");
    }
}

#[apply(both_stores)]
async fn a_search_of_accents_alone_is_refused(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let chat = client.new_chat("general").await;
    let path = format!("/chat/{chat}/message?q=%CC%81");
    client.get(&path).await.expect_error(400, "invalid_field");
}

#[apply(both_stores)]
async fn a_repeated_parameter_is_refused_and_an_unknown_one_is_not(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let chat = client.new_chat("general").await;
    let path = format!("/chat/{chat}/message");
    for query in ["limit=1&limit=2", "q=a&q=a", "since=0&limit=1&since=1"] {
        let refused = client.get(&format!("{path}?{query}")).await;
        let refused = refused.expect_error(400, "invalid_field");
        assert!(refused.to_string().contains("given once"), "{refused}");
    }
    let ignored = client.get(&format!("{path}?limit=1&x=1&x=2")).await;
    ignored.expect(200);
}

/// A chat with a needle, this many straws, and another needle. Returns the chat and the needles.
async fn needles_around(server: &Server, straws: i64) -> (i64, [Value; 2]) {
    let client = server.client();
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    let first = client.say(carl, chat, "Nadel").await;
    server.database.fill(chat, carl, straws, "straw").await;
    let last = client.say(carl, chat, "NADEL").await;
    (chat, [first, last])
}

#[apply(both_stores)]
async fn a_search_without_the_index_is_walked_to_its_end_in_bounded_pages(store: Store) {
    // Over twice as many as one search compares.
    const MANY: i64 = 45_000;
    let server = Server::start(store).await;
    let client = server.client();
    let (chat, [first, last]) = needles_around(&server, MANY).await;
    // The index has no pieces of two letters.
    let path = format!("/chat/{chat}/message?q=na");
    let pages = client.pages(&path).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 1]);
    assert_eq!(pages.concat(), [last, first]);
}

#[apply(both_stores)]
async fn a_rare_text_in_a_long_chat_is_on_one_page(store: Store) {
    // More than a segment of the index.
    const MANY: i64 = 70_000;
    let server = Server::start(store).await;
    let client = server.client();
    let (chat, [first, last]) = needles_around(&server, MANY).await;
    let waiting = format!(
        "SELECT c.seq - coalesce(p.seq, 0) FROM chat c LEFT JOIN search_position p \
         ON p.chat_id = c.chat_id WHERE c.chat_id = {chat}"
    );
    server.database.until(&waiting, 0).await;
    let segments = format!("SELECT count(*) FROM search_segment WHERE chat_id = {chat}");
    assert_eq!(server.database.number(segments).await, 2);
    assert_eq!(search(&client, chat, "nadel").await, [first, last]);
    assert_eq!(search(&client, chat, "nowhere").await.len(), 0);
    assert_eq!(search(&client, chat, "strawnadel").await.len(), 0);

    let path = format!("/chat/{chat}/message?q=straw&limit=1000");
    let pages = client.pages(&path).await;
    let straw: Vec<i64> = pages
        .iter()
        .rev()
        .flatten()
        .map(|m| number(m, "seq"))
        .collect();
    assert_eq!(straw, (2..=MANY + 1).collect::<Vec<_>>());
}
