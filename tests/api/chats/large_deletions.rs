//! Deletion of chats and users with very many messages. Other requests do not wait for it.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::{
    Client, Database, Process, Room, Server, Socket, Store, apply, both_stores, number, rstest,
};

/// A number of messages that one statement cannot delete within two seconds, the limit of a commit.
const VERY_MANY: i64 = 300_000;
/// The most that a send may take: far more than it needs, and less than one statement over `VERY_MANY` rows.
const AT_MOST: Duration = Duration::from_millis(1500);

async fn rows(database: &Database, chat: i64) -> i64 {
    let messages = format!("SELECT count(*) FROM message WHERE chat_id = {chat}");
    let row = format!("SELECT count(*) FROM chat WHERE chat_id = {chat}");
    database.number(messages).await + database.number(row).await
}

/// Sends messages until `is_over` is true. Returns the longest time that a send took.
async fn talk_until<F: Future<Output = bool>>(
    talker: &mut Socket,
    chat: i64,
    is_over: impl Fn() -> F,
) -> Duration {
    let mut longest = Duration::ZERO;
    loop {
        let begun = Instant::now();
        talker.say(chat, "still here").await;
        longest = longest.max(begun.elapsed());
        if is_over().await {
            return longest;
        }
    }
}

#[apply(both_stores)]
async fn a_chat_of_very_many_messages_goes_at_once_and_holds_nobody_up(store: Store) {
    let room = Room::open(store).await;
    let database = &room.server.database;
    let quiet = room.client.new_chat("quiet").await;
    database
        .fill(room.chat, room.carl, VERY_MANY, "filler")
        .await;
    let mut listener = room.enter(room.sigmund).await;
    let mut talker = room.server.socket().await;
    talker.enter(room.carl, quiet).await;

    let begun = Instant::now();
    let deleted = room.client.delete(&format!("/chat/{}", room.chat)).await;
    let took = begun.elapsed();
    deleted.expect(204);
    assert!(took < AT_MOST, "{took:?}");
    let told = listener.until("delete-chat").await;
    assert_eq!(told["content"], room.chat);
    let gone = || async { rows(database, room.chat).await == 0 };
    let longest = talk_until(&mut talker, quiet, gone).await;
    assert!(longest < AT_MOST, "a message took {longest:?}");
    room.close().await;
}

#[apply(both_stores)]
async fn nothing_of_a_deleted_chat_is_there_while_it_is_swept_away(store: Store) {
    let room = Room::open(store).await;
    let (client, database, chat, carl) =
        (&room.client, &room.server.database, room.chat, room.carl);
    let mut socket = room.enter(carl).await;
    let message = number(&room.say("one").await, "messageId");
    // Marks the chat as deleted, as the deletion does. Only the server itself starts the removal of the rows.
    let mark = "UPDATE chat SET deleted_at = '2026-01-01T00:00:00.000000+00:00' WHERE chat_id =";
    database.execute(format!("{mark} {chat}")).await;

    let no_chat = [
        format!("/chat/{chat}"),
        format!("/chat/{chat}/message"),
        format!("/chat/{chat}/message?since=0"),
        format!("/chat/{chat}/change"),
        format!("/chat/{chat}/message?q=one"),
        format!("/user/chat/{chat}"),
    ];
    for path in no_chat {
        client.get(&path).await.expect_error(404, "chat_not_found");
    }
    let path = format!("/message/{message}");
    client
        .get(&path)
        .await
        .expect_error(404, "message_not_found");
    let edited = client.put(&path, json!({ "content": "two" })).await;
    edited.expect_error(404, "message_not_found");
    client
        .delete(&path)
        .await
        .expect_error(404, "message_not_found");
    let body = json!({ "customerId": carl, "content": "two" });
    let sent = client.post(&format!("/chat/{chat}/message"), body).await;
    sent.expect_error(404, "chat_not_found");
    let renamed = json!({ "chatName": "other" });
    let renamed = client.put(&format!("/chat/{chat}"), renamed).await;
    renamed.expect_error(404, "chat_not_found");
    let member = format!("/chat/{chat}/user/{carl}");
    let joined = client.put(&member, json!({})).await;
    joined.expect_error(404, "chat_not_found");
    client
        .delete(&member)
        .await
        .expect_error(404, "chat_not_found");
    let again = client.delete(&format!("/chat/{chat}")).await;
    again.expect_error(404, "chat_not_found");
    assert!(client.list("/chat").await.is_empty());
    assert!(client.list(&format!("/user/{carl}/chat")).await.is_empty());
    let access = format!("/chat/user/{carl}/chat/{chat}/access");
    let access = client.get(&access).await;
    assert_eq!(access.expect(200), json!({ "hasAccess": false }));

    let content = json!({ "chatId": chat, "content": "two" });
    socket
        .refused("send-message", content, "chat_not_found")
        .await;
    let read = json!({ "chatId": chat, "messageId": message });
    socket.refused("mark-read", read, "member_not_found").await;
    let mut other = room.server.socket().await;
    let connect = json!({ "customerId": carl, "chatId": chat });
    other
        .refused("connect-chat", connect, "chat_not_found")
        .await;
    // Connected sockets are notified, as after a deletion by another server.
    let told = socket.until("delete-chat").await;
    assert_eq!(told["content"], chat);

    // The next start removes the rows.
    let server = Server::start_on(room.server.stop().await, &[]).await;
    let client = server.client();
    let other = client.new_chat("other").await;
    let mut talker = server.socket().await;
    talker.enter(carl, other).await;
    let gone = || async { rows(&server.database, chat).await == 0 };
    talk_until(&mut talker, other, gone).await;
    assert!(client.new_chat("next").await > chat);
    server.stop().await;
}

/// Starts a server process on a database. Returns the process and a client of it.
async fn process(database: &Database) -> (Process, Client) {
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("DEMO_DATA", "false"),
    ];
    let process = Process::start(database.folder.path(), &settings).await;
    let client = process.client();
    (process, client)
}

#[apply(both_stores)]
async fn a_server_killed_while_it_sweeps_finishes_after_its_restart(store: Store) {
    const MANY: i64 = 60_000;
    let database = Database::new(store).await;
    let (first, client) = process(&database).await;
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("big").await;
    let quiet = client.new_chat("quiet").await;
    database.fill(chat, carl, MANY, "filler").await;
    client.delete(&format!("/chat/{chat}")).await.expect(204);
    let mut talker = first.socket().await;
    talker.enter(carl, quiet).await;
    let begun = || async { rows(&database, chat).await < MANY };
    talk_until(&mut talker, quiet, begun).await;
    first.kill().await;
    let left = rows(&database, chat).await;
    assert!(0 < left && left < MANY, "{left}");

    let (second, client) = process(&database).await;
    let found = client.get(&format!("/chat/{chat}")).await;
    found.expect_error(404, "chat_not_found");
    let mut talker = second.socket().await;
    talker.enter(carl, quiet).await;
    let gone = || async { rows(&database, chat).await == 0 };
    talk_until(&mut talker, quiet, gone).await;
    second.stop().await;
}

/// A user with 10,000 messages in each of five chats, some of which are deleted already.
async fn writer_of_many(room: &Room) -> Vec<i64> {
    let mut chats = Vec::new();
    for _ in 0..5 {
        let chat = room.client.new_chat("written to").await;
        room.server
            .database
            .fill(chat, room.carl, 10_000, "filler")
            .await;
        chats.push(chat);
    }
    let some = "UPDATE message SET content = NULL, deleted_at = sent_at WHERE chat_id =";
    let some = format!("{some} {} AND seq <= 3000", chats[1]);
    room.server.database.execute(some).await;
    chats
}

/// The limit of a request, REQUEST_SECONDS by default.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// Deletes a user. On a slow machine the deletion may outlast the limit of a request: only then is the request
/// refused, the server goes on, and a repeated request waits for the end.
async fn delete_until_gone(client: &Client, path: &str) {
    let mut is_repeated = false;
    loop {
        let begun = Instant::now();
        let reply = client.delete(path).await;
        match reply.status {
            204 => return,
            404 if is_repeated => return,
            _ => reply.expect_error(503, "unavailable"),
        };
        let took = begun.elapsed();
        assert!(took >= REQUEST_LIMIT, "refused after {took:?}");
        is_repeated = true;
    }
}

async fn assert_buried(room: &Room, chats: &[i64]) {
    let database = &room.server.database;
    let left = format!(
        "SELECT count(*) FROM message WHERE customer_id = {}",
        room.carl
    );
    assert_eq!(database.number(left).await, 0);
    for (place, chat) in chats.iter().enumerate() {
        let dead = if place == 1 { 3000 } else { 0 };
        let of_chat = |what: &str| format!("SELECT {what} FROM message WHERE chat_id = {chat}");
        let tombstones = of_chat("count(deleted_at)");
        assert_eq!(database.number(tombstones).await, 10_000);
        let new = format!("{} AND seq > 10000", of_chat("count(*)"));
        assert_eq!(database.number(new).await, 10_000 - dead);
        let head = database.number(format!("SELECT seq FROM chat WHERE chat_id = {chat}"));
        assert_eq!(head.await, 20_000 - dead);
        assert_eq!(database.number(of_chat("max(seq)")).await, 20_000 - dead);
    }
}

#[apply(both_stores)]
async fn a_user_of_very_many_messages_goes_and_holds_nobody_up(store: Store) {
    let room = Room::open(store).await;
    let chats = writer_of_many(&room).await;
    let mut talker = room.enter(room.sigmund).await;
    let path = format!("/user/{}", room.carl);
    let deleting = tokio::spawn({
        let client = room.client.clone();
        let path = path.clone();
        async move { delete_until_gone(&client, &path).await }
    });
    let done = || async { deleting.is_finished() };
    let longest = talk_until(&mut talker, room.chat, done).await;
    assert!(longest < AT_MOST, "a message took {longest:?}");
    deleting.await.expect("an answer");
    assert_buried(&room, &chats).await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_user_goes_although_whoever_asked_has_gone(store: Store) {
    let room = Room::open(store).await;
    let chats = writer_of_many(&room).await;
    room.server.database.settle(chats[0], room.sigmund).await;
    let mut listener = room.server.socket().await;
    listener.enter(room.sigmund, chats[0]).await;
    let path = format!("/user/{}", room.carl);
    let told: Value = tokio::select! {
        told = listener.until("delete-message") => told,
        done = room.client.delete(&path) => panic!("{done:?} came before its first tombstone"),
    };
    assert_eq!(told["customerId"], room.carl);
    let mut talker = room.enter(room.sigmund).await;
    let gone = || async { room.client.get(&path).await.status == 404 };
    talk_until(&mut talker, room.chat, gone).await;
    assert_buried(&room, &chats).await;
    room.close().await;
}
