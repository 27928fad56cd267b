//! Search: the index and the changes that it has not read yet give one answer.

use messaging_api::model::SearchText;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use testkit::{
    Client, Database, Room, Server, Store, apply, both_stores, number, patiently, rstest,
};
use url::form_urlencoded::byte_serialize;

/// The number of chats with changes that the index has not read.
const BEHIND: &str = "SELECT count(*) FROM chat c \
    LEFT JOIN search_position p ON p.chat_id = c.chat_id \
    WHERE c.deleted_at IS NULL AND c.seq > coalesce(p.seq, 0)";

/// Waits until the index has read every change.
async fn indexed(database: &Database) {
    database.until(BEHIND, 0).await;
}

/// The number of messages with a token in the index. On SQLite the tokens themselves are counted: each begins with a
/// hexadecimal digit.
async fn messages_in_index(database: &Database) -> i64 {
    let rows = "SELECT count(*) FROM message_search";
    if !database.url.starts_with("sqlite") {
        return database.number(rows).await;
    }
    let digits: Vec<String> = "0123456789abcdef"
        .chars()
        .map(|c| format!("{c}*"))
        .collect();
    let digits = digits.join(" OR ");
    let tokens = format!("SELECT count(*) FROM message_token WHERE message_token MATCH '{digits}'");
    let found = database.number(tokens).await;
    assert_eq!(found, database.number(rows).await);
    found
}

/// The texts that a search finds, on all pages.
async fn found(client: &Client, chat: i64, text: &str, limit: usize) -> Vec<String> {
    let text: String = byte_serialize(text.as_bytes()).collect();
    let path = format!("/chat/{chat}/message?limit={limit}&q={text}");
    let mut pages = client.pages(&path).await;
    pages.reverse();
    let text = |message: &Value| message["content"].as_str().expect("a text").to_owned();
    pages.iter().flatten().map(text).collect()
}

async fn edit(room: &Room, message: &Value, text: &str) {
    let path = format!("/message/{}", message["messageId"]);
    let edit = json!({ "content": text, "customerId": room.carl });
    room.client.put(&path, edit).await.expect(200);
}

async fn delete(room: &Room, message: &Value) {
    let path = format!("/message/{}?customerId={}", message["messageId"], room.carl);
    room.client.delete(&path).await.expect(204);
}

#[apply(both_stores)]
async fn each_change_is_found_from_its_ack_on(store: Store) {
    let room = Room::open(store).await;
    let (client, chat) = (&room.client, room.chat);
    let search = async |text: &str| found(client, chat, text, 100).await;
    // Every second round begins with an index that has read all earlier rounds.
    for round in 0..6 {
        let one = room.say(&format!("first needle{round}")).await;
        assert_eq!(search("first needle").await.len(), 1, "{round}");
        edit(&room, &one, &format!("changed pin{round}")).await;
        assert_eq!(search("first needle").await.len(), 0, "{round}");
        let changed = search("pin").await;
        assert_eq!(changed.len(), 1, "{round}");
        if round % 2 == 0 {
            indexed(&room.server.database).await;
            assert_eq!(search("pin").await, changed, "{round}");
        }
        edit(&room, &one, &format!("changed thorn{round}")).await;
        assert_eq!(search("pin").await.len(), 0, "{round}");
        assert_eq!(search("thorn").await.len(), 1, "{round}");
        delete(&room, &one).await;
        assert_eq!(search("thorn").await.len(), 0, "{round}");
    }
    room.close().await;
}

/// Texts of many scripts, with and without spaces.
const TEXTS: [&str; 12] = [
    "Äpfel und Birnen, 100% sure: it's \"so\"!",
    "STRASSE straße STRA\u{1e9e}E Strassenbahn",
    "cafe\u{301} CAFÉ cafeteria C++ a_b-c",
    "5月に東京タワーへ行きます",
    "東京都と京都",
    "カラオケ ｶﾗｵｹ からおけ",
    "안녕하세요 세계, 안녕",
    "我们在北京的图书馆",
    "Из МОСКВЫ в Москву",
    "שָׁלוֹם עולם",
    "ok 👍👍🏽 so",
    "hello othello hell elf llo shell",
];

#[apply(both_stores)]
async fn every_piece_of_a_text_is_found_with_and_without_the_index(store: Store) {
    let room = Room::open(store).await;
    for text in TEXTS {
        room.say(text).await;
    }
    let mut pieces = BTreeMap::new();
    for text in TEXTS {
        let letters: Vec<char> = text.chars().collect();
        for length in 1..=5 {
            for piece in letters.windows(length).step_by(3) {
                let piece: String = piece.iter().collect();
                let Some(parsed) = SearchText::parse(&piece) else {
                    continue;
                };
                let matching = TEXTS.into_iter().filter(|text| parsed.is_in(text));
                let matching: Vec<&str> = matching.collect();
                pieces.insert(piece, matching);
            }
        }
    }
    for is_indexed in [false, true] {
        if is_indexed {
            indexed(&room.server.database).await;
        }
        for (piece, matching) in &pieces {
            let found = found(&room.client, room.chat, piece, 100).await;
            assert_eq!(found, *matching, "{piece:?} {is_indexed}");
        }
    }
    room.close().await;
}

#[apply(both_stores)]
async fn pages_are_whole_and_in_order_while_the_index_follows(store: Store) {
    const MANY: usize = 240;
    let room = Room::open(store).await;
    let mut sent = Vec::new();
    for n in 0..MANY {
        let word = if n % 3 == 0 { "needle" } else { "straw" };
        sent.push(room.say(&format!("{word} {n}")).await);
        if n == MANY / 2 {
            indexed(&room.server.database).await;
        }
    }
    // Old messages in the tail, beside others that are in the index.
    let mut texts: Vec<String> = Vec::new();
    for (n, message) in sent.iter().enumerate() {
        match n % 12 {
            0 => delete(&room, message).await,
            1 => {
                let text = format!("a needle after all {n}");
                edit(&room, message, &text).await;
                texts.push(text);
            }
            3 => edit(&room, message, "straw").await,
            _ if n % 3 == 0 => texts.push(format!("needle {n}")),
            _ => {}
        }
    }
    for limit in [1, 7, 1000] {
        let found = found(&room.client, room.chat, "needle", limit).await;
        assert_eq!(found, texts, "{limit}");
    }
    indexed(&room.server.database).await;
    for limit in [1, 7, 1000] {
        let found = found(&room.client, room.chat, "needle", limit).await;
        assert_eq!(found, texts, "{limit}, indexed");
    }
    room.close().await;
}

/// Words with grams in common.
const WORDS: [&str; 10] = [
    "hello",
    "othello",
    "shell",
    "elf",
    "mellow",
    "yellow",
    "東京都",
    "京都",
    "100%",
    "low",
];

#[apply(both_stores)]
async fn the_index_is_right_after_any_sequence_of_changes(store: Store) {
    const CHANGES: usize = 400;
    let room = Room::open(store).await;
    // A linear congruential generator, so that each run is the same.
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    let mut messages: Vec<(Value, Option<String>)> = Vec::new();
    for n in 1..=CHANGES {
        let words: Vec<&str> = (0..=random(5))
            .map(|_| WORDS[random(WORDS.len())])
            .collect();
        let text = words.join(" ");
        let live: Vec<usize> = (0..messages.len())
            .filter(|&at| messages[at].1.is_some())
            .collect();
        match (random(5), live.is_empty()) {
            (0 | 1, _) | (_, true) => {
                let message = room.say(&text).await;
                messages.push((message, Some(text)));
            }
            (2 | 3, false) => {
                let (message, old) = &mut messages[live[random(live.len())]];
                edit(&room, message, &text).await;
                *old = Some(text);
            }
            (_, false) => {
                let (message, old) = &mut messages[live[random(live.len())]];
                delete(&room, message).await;
                *old = None;
            }
        }
        if n % 40 != 0 {
            continue;
        }
        if n % 80 == 0 {
            indexed(&room.server.database).await;
        }
        let texts = || messages.iter().filter_map(|(_, text)| text.as_deref());
        for word in WORDS {
            let expected: Vec<&str> = texts().filter(|text| text.contains(word)).collect();
            let found = found(&room.client, room.chat, word, 100).await;
            assert_eq!(found, expected, "{word} after {n}");
        }
    }
    room.close().await;
}

#[apply(both_stores)]
async fn deleted_and_replaced_texts_leave_the_index(store: Store) {
    let room = Room::open(store).await;
    let database = &room.server.database;
    // So many different words that their removal takes several steps.
    let words: Vec<String> = (0..700)
        .map(|n| format!("{:04x}", n * 7919 % 65_536))
        .collect();
    let long = room.say(&words.join(" ")).await;
    let short = room.say("a secret word").await;
    let other = room.say("another word").await;
    indexed(database).await;
    assert_eq!(messages_in_index(database).await, 3);
    edit(&room, &short, "no").await;
    indexed(database).await;
    assert_eq!(messages_in_index(database).await, 2);
    delete(&room, &long).await;
    indexed(database).await;
    assert_eq!(messages_in_index(database).await, 1);
    edit(&room, &other, "a word of another kind").await;
    indexed(database).await;
    assert_eq!(messages_in_index(database).await, 1);
    for (text, expected) in [
        ("word", 1),
        ("secret", 0),
        ("kind", 1),
        (words[7].as_str(), 0),
    ] {
        let found = found(&room.client, room.chat, text, 100).await;
        assert_eq!(found.len(), expected, "{text}");
    }
    delete(&room, &other).await;
    indexed(database).await;
    assert_eq!(messages_in_index(database).await, 0);
    room.close().await;
}

#[apply(both_stores)]
async fn deleted_chats_and_users_leave_the_index(store: Store) {
    let room = Room::open(store).await;
    let database = &room.server.database;
    for n in 0..90 {
        room.say(&format!("a word in a chat that will go {n}"))
            .await;
    }
    let other = room.client.new_chat("other").await;
    room.client.say(room.carl, other, "a word of carl").await;
    room.client
        .say(room.sigmund, other, "a word of sigmund")
        .await;
    indexed(database).await;
    assert_eq!(messages_in_index(database).await, 92);
    room.client
        .delete(&format!("/chat/{}", room.chat))
        .await
        .expect(204);
    for table in [
        "chat",
        "search_position",
        "search_segment",
        "message_search",
    ] {
        let rows = format!("SELECT count(*) FROM {table} WHERE chat_id = {}", room.chat);
        database.until(&rows, 0).await;
    }
    assert_eq!(messages_in_index(database).await, 2);
    room.client
        .delete(&format!("/user/{}", room.carl))
        .await
        .expect(204);
    indexed(database).await;
    assert_eq!(messages_in_index(database).await, 1);
    let left = found(&room.client, other, "word", 100).await;
    assert_eq!(left, ["a word of sigmund"]);
    room.close().await;
}

#[apply(both_stores)]
async fn an_index_that_was_broken_off_is_finished_after_the_next_start(store: Store) {
    const MANY: i64 = 6000;
    let room = Room::open(store).await;
    let chat = room.chat;
    room.say("the first needle").await;
    let database = &room.server.database;
    database.fill(chat, room.carl, MANY, "straw").await;
    room.say("the last needle").await;
    let begun = format!("SELECT count(*) FROM search_position WHERE chat_id = {chat} AND seq > 0");
    database.until(&begun, 1).await;
    let database = room.server.stop().await;
    let server = Server::start_on(database, &[]).await;
    let client = server.client();
    let needles = ["the first needle", "the last needle"];
    assert_eq!(found(&client, chat, "needle", 100).await, needles);
    indexed(&server.database).await;
    assert_eq!(messages_in_index(&server.database).await, MANY + 2);
    assert_eq!(found(&client, chat, "needle", 100).await, needles);
    let whole = client.get(&format!("/chat/{chat}/message?q=needle")).await;
    assert_eq!(whole.header("link"), "");
    server.stop().await;
}

#[apply(both_stores)]
async fn an_import_makes_the_index_again(store: Store) {
    let room = Room::open(store).await;
    let message = room.say("the old text").await;
    let chat = room.chat;
    let database = room.server.stop().await;
    let archive = database.export().await;

    // The index reads a later change. Then a server of an earlier version removes the chat, and leaves the index.
    let server = Server::start_on(database, &[]).await;
    let path = format!("/message/{}", message["messageId"]);
    let change = json!({ "content": "other words" });
    server.client().put(&path, change).await.expect(200);
    indexed(&server.database).await;
    let database = server.stop().await;
    for table in ["message", "customer_chat", "chat", "session", "customer"] {
        database.execute(format!("DELETE FROM {table}")).await;
    }
    database.import(&archive).await.expect_success();
    let server = Server::start_on(database, &[]).await;
    for _ in 0..2 {
        let old = found(&server.client(), chat, "old text", 100).await;
        assert_eq!(old, ["the old text"]);
        assert_eq!(found(&server.client(), chat, "words", 100).await.len(), 0);
        indexed(&server.database).await;
    }
    assert_eq!(messages_in_index(&server.database).await, 1);
    server.stop().await;
}

#[apply(both_stores)]
async fn what_is_left_of_a_chat_that_is_gone_leaves_the_index(store: Store) {
    let room = Room::open(store).await;
    room.say("a word").await;
    let database = &room.server.database;
    indexed(database).await;
    let database = room.server.stop().await;
    // As the purge of an earlier version, which knows no index.
    for table in ["message", "customer_chat", "chat"] {
        database.execute(format!("DELETE FROM {table}")).await;
    }
    let server = Server::start_on(database, &[]).await;
    let database = &server.database;
    database
        .until("SELECT count(*) FROM search_position", 0)
        .await;
    assert_eq!(messages_in_index(database).await, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn two_servers_index_one_chat_together() {
    let room = Room::open(Store::Postgres).await;
    let second = room.server.beside(&[]).await;
    let clients = [room.client.clone(), second.client()];
    for client in &clients {
        client.say_many(room.carl, room.chat, 200).await;
    }
    let database = &room.server.database;
    indexed(database).await;
    assert_eq!(messages_in_index(database).await, 400);
    for client in &clients {
        let found = found(client, room.chat, "message 19", 100).await;
        assert_eq!(found.len(), 2 * 11);
    }
    second.stop().await;
    room.close().await;
}

#[apply(both_stores)]
async fn the_metrics_tell_of_the_index(store: Store) {
    let room = Room::open(store).await;
    let message = room.say("a word").await;
    assert!(number(&message, "seq") > 0);
    let read = async {
        loop {
            let text = crate::monitoring::metrics::scrape(&room.client).await;
            let value = |name| crate::monitoring::metrics::value(&text, name);
            if value("search_messages_indexed_total") >= 1.0 && value("search_chats_waiting") == 0.0
            {
                return;
            }
        }
    };
    patiently("the index to read the message", read).await;
    indexed(&room.server.database).await;
    room.close().await;
}
