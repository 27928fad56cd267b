//! Chats without an admin and chats without members, and how a server repairs or deletes them.

use futures_util::{StreamExt, future::join, stream};
use serde_json::json;
use sha2::{Digest, Sha256};
use testkit::{Client, Database, Process, Room, Server, Store, apply, both_stores, field, rstest};

const REQUIRED: [&str; 2] = ["--auth=required", "--rate-limit=off"];
/// The number of rounds of a race. `AT_ONCE` rounds run at once.
const ROUNDS: i64 = 60;
const AT_ONCE: usize = 2;
/// Messages of each user, so that the deletion of their account takes a while.
const MESSAGES: i64 = 600;

/// Stores users with a session each, without a password hash. Returns the id and a client of each.
async fn signed_in(database: &Database, server: &Client, users: i64) -> Vec<(i64, Client)> {
    let mut people = Vec::new();
    let mut sql = String::new();
    for n in 1..=users {
        let (id, token) = (1000 + n, format!("{n:064x}"));
        let hash: String = Sha256::digest(token.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let blob = match database.url.starts_with("sqlite") {
            true => format!("x'{hash}'"),
            false => format!("'\\x{hash}'"),
        };
        let (now, later) = ("'2026-11-01T00:00:00+00:00'", "'2099-01-01T00:00:00+00:00'");
        sql.push_str(&format!(
            "INSERT INTO customer (customer_id, username, password, created_at) \
             VALUES ({id}, 'user {id}', '!', {now}); \
             INSERT INTO session (customer_id, token_hash, created_at, last_used_at, expires_at) \
             VALUES ({id}, {blob}, {now}, {later}, {later}); "
        ));
        people.push((id, server.with_token(&token)));
    }
    database.execute(sql).await;
    people
}

/// Gives each user a chat with `MESSAGES` messages of the user.
async fn write_much(database: &Database, people: &[(i64, Client)]) {
    for (id, _) in people {
        let chat = format!(
            "INSERT INTO chat (chat_id, chat_name, created_at) \
             VALUES ({}, 'diary', '2026-11-01T00:00:00+00:00')",
            10_000 + id
        );
        database.execute(chat).await;
        database
            .fill(10_000 + id, *id, MESSAGES, "dear diary")
            .await;
    }
}

/// Stores a chat with one member and no admin, as an earlier version may leave it.
async fn leave_ungoverned(database: &Database, chat: i64, member: i64) {
    let rows = format!(
        "INSERT INTO chat (chat_id, chat_name, created_at) \
         VALUES ({chat}, 'general', '2026-11-01T00:00:00+00:00'); \
         INSERT INTO customer_chat (chat_id, customer_id, role, joined_at) \
         VALUES ({chat}, {member}, 'participant', '2026-11-01T00:00:00+00:00')"
    );
    database.execute(rows).await;
}

/// Returns the number of chats that have a member and no admin.
async fn ungoverned(database: &Database) -> i64 {
    let sql = "SELECT count(*) FROM chat c WHERE c.deleted_at IS NULL \
               AND EXISTS (SELECT 1 FROM customer_chat m WHERE m.chat_id = c.chat_id) \
               AND NOT EXISTS (SELECT 1 FROM customer_chat m \
                   WHERE m.chat_id = c.chat_id AND m.role = 'admin')";
    database.number(sql.to_owned()).await
}

async fn role(client: &Client, chat: i64, user: i64, role: &str) -> u16 {
    let path = format!("/chat/{chat}/user/{user}");
    client.put(&path, json!({ "role": role })).await.status
}

/// Starts a server process. Its log contains `HEALED` if the server made a member an admin.
async fn process(database: &Database) -> Process {
    let url = database.url.as_str();
    let settings = [
        ("DATABASE_URL", url),
        ("AUTH", "required"),
        ("RATE_LIMIT", "off"),
        ("DEMO_DATA", "false"),
    ];
    Process::start(database.folder.path(), &settings).await
}

const HEALED: &str = "a chat without an admin has a new admin";

#[apply(both_stores)]
async fn a_promotion_and_the_deletion_of_the_promoted_leave_an_admin(store: Store) {
    let database = Database::new(store).await;
    let server = process(&database).await;
    let people = signed_in(&database, &server.client(), 1 + ROUNDS).await;
    let (carl, others) = people.split_first().expect("carl");
    write_much(&database, others).await;
    let race = async |(other, theirs): &(i64, Client)| {
        let (me, mine) = carl;
        let chat = mine.new_chat("general").await;
        assert_eq!(role(mine, chat, *other, "participant").await, 201);
        let stepping_down = async {
            role(mine, chat, *other, "admin").await;
            role(mine, chat, *me, "participant").await
        };
        let path = format!("/user/{other}");
        let (_, deleted) = join(stepping_down, theirs.delete(&path)).await;
        deleted.expect(204);
    };
    let racing = stream::iter(others).map(race).buffer_unordered(AT_ONCE);
    racing.collect::<Vec<()>>().await;
    assert_eq!(ungoverned(&database).await, 0);
    let (_, log) = server.stop().await;
    assert!(!log.contains(HEALED), "none was without an admin: {log}");
}

#[apply(both_stores)]
async fn two_admins_and_their_successor_deleted_at_once_leave_an_admin(store: Store) {
    let database = Database::new(store).await;
    let server = process(&database).await;
    let (first, second) = (server.client(), process_beside(store, &database).await);
    let there = second
        .as_ref()
        .map_or_else(|| first.clone(), Process::client);
    let people = signed_in(&database, &first, ROUNDS).await;
    write_much(&database, &people).await;
    let race = async |trio: &[(i64, Client)]| {
        let [(one, his), (two, _), (three, _)] = trio else {
            panic!("three people");
        };
        let chat = his.new_chat("general").await;
        assert_eq!(role(his, chat, *two, "participant").await, 201);
        assert_eq!(role(his, chat, *three, "participant").await, 201);
        let hers = there.with_token(&format!("{:064x}", two - 1000));
        let (one, two) = (format!("/user/{one}"), format!("/user/{two}"));
        let (one, two) = join(his.delete(&one), hers.delete(&two)).await;
        assert_eq!((one.status, two.status), (204, 204), "{one:?} {two:?}");
    };
    let racing = stream::iter(people.chunks(3)).map(race);
    let racing = racing.buffer_unordered(AT_ONCE);
    racing.collect::<Vec<()>>().await;
    assert_eq!(ungoverned(&database).await, 0);
    let (_, log) = server.stop().await;
    assert!(!log.contains(HEALED), "none was without an admin: {log}");
}

/// Starts a second server on the database. Returns `None` on SQLite, which allows one server only.
async fn process_beside(store: Store, database: &Database) -> Option<Process> {
    match store {
        Store::Sqlite => None,
        Store::Postgres => Some(process(database).await),
    }
}

#[apply(both_stores)]
async fn a_chat_goes_with_the_account_of_its_only_member(store: Store) {
    let server = Server::start_with(store, &REQUIRED).await;
    let (carl, dora) = (server.person("carl").await, server.person("dora").await);
    let (alone, shared) = (carl.chat("alone").await, carl.chat("shared").await);
    carl.add(shared, &dora, "participant").await;
    carl.say(alone, "A secret.").await;
    let path = format!("/user/{}", carl.id);
    carl.client.delete(&path).await.expect(204);
    let rows = |chat: i64| {
        format!(
            "SELECT (SELECT count(*) FROM chat WHERE chat_id = {chat}) \
             + (SELECT count(*) FROM message WHERE chat_id = {chat})"
        )
    };
    server.database.until(&rows(alone), 0).await;
    let chats = dora.client.list("/chat").await;
    assert_eq!(field(&chats, "chatId"), [shared]);
    server.stop().await;
}

/// Returns a database as open mode may leave it, its chat without an admin, and its chat without members.
async fn left_by_open_mode(store: Store) -> (Database, i64, i64) {
    let room = Room::open(store).await;
    let empty = room.client.new_chat("empty").await;
    for user in [room.carl, room.sigmund] {
        let path = format!("/chat/{}/user/{user}", room.chat);
        room.client.put(&path, json!({})).await.expect(201);
    }
    assert_eq!(ungoverned(&room.server.database).await, 1);
    let chat = room.chat;
    (room.server.stop().await, chat, empty)
}

#[apply(both_stores)]
async fn chats_without_an_admin_get_one_at_the_start(store: Store) {
    let (database, chat, empty) = left_by_open_mode(store).await;
    let server = Server::start_on(database, &REQUIRED).await;
    let admins = format!(
        "SELECT customer_id FROM customer_chat WHERE role = 'admin' AND chat_id = {chat} UNION ALL SELECT 0 ORDER BY 1 DESC LIMIT 1"
    );
    // The member who joined first becomes the admin.
    server.database.until(&admins, 1).await;
    let login = server.client().login("carl", "correct horse").await;
    let carl = server
        .client()
        .with_token(login["token"].as_str().expect("a token"));
    let renamed = json!({ "chatName": "his" });
    carl.put(&format!("/chat/{chat}"), renamed)
        .await
        .expect(200);
    // A chat without members is not deleted at once.
    let there = format!("SELECT count(*) FROM chat WHERE chat_id = {empty} AND deleted_at IS NULL");
    assert_eq!(server.database.number(there).await, 1);
    server.stop().await;
}

#[apply(both_stores)]
async fn a_chat_without_an_admin_gets_one_after_the_deletion_of_a_user(store: Store) {
    let server = Server::start_with(store, &REQUIRED).await;
    let carl = server.person("carl").await;
    let (dora, otto) = (server.person("dora").await, server.person("otto").await);
    let chat = carl.chat("general").await;
    carl.add(chat, &dora, "participant").await;
    // An earlier version may leave a chat without an admin.
    server
        .database
        .run("UPDATE customer_chat SET role = 'participant'")
        .await;
    let path = format!("/user/{}", otto.id);
    otto.client.delete(&path).await.expect(204);
    let admin = format!(
        "SELECT count(*) FROM customer_chat WHERE role = 'admin' AND customer_id = {}",
        carl.id
    );
    server.database.until(&admin, 1).await;
    server.stop().await;
}

#[apply(both_stores)]
async fn a_chat_without_an_admin_gets_one_after_a_deletion_that_outlasts_its_request(store: Store) {
    const MANY: i64 = 40_000;
    const UNGOVERNED: &str = "SELECT count(*) FROM customer_chat WHERE role = 'participant'";
    let database = Server::start(store).await.stop().await;
    let [carl, otto, diary] = [1001, 1002, 11_002];
    let absent = Client::new(([127, 0, 0, 1], 0).into());
    signed_in(&database, &absent, 2).await;
    write_much(&database, &[(otto, absent)]).await;
    database.fill(diary, otto, MANY, "dear diary").await;
    leave_ungoverned(&database, 20_000, carl).await;

    let flags = [REQUIRED[0], REQUIRED[1], "--request-seconds=0.1"];
    let server = Server::start_on(database, &flags).await;
    // The check at the start has reached the last chat, and does not go back to lower ids.
    server.database.until(UNGOVERNED, 0).await;
    leave_ungoverned(&server.database, 10_000, carl).await;
    let client = server.client().with_token(&format!("{:064x}", 2));
    let refused = client.delete(&format!("/user/{otto}")).await;
    let refused = refused.expect_error(503, "unavailable");
    let said = refused["error"].as_str().expect("a sentence");
    assert!(said.contains("does not know if this was stored"), "{said}");
    server.database.until(UNGOVERNED, 0).await;
    server.stop().await;
}

#[apply(both_stores)]
async fn chats_without_members_go_after_thirty_days(store: Store) {
    let (database, chat, empty) = left_by_open_mode(store).await;
    let server = Server::start_on(database, &REQUIRED).await;
    let marked = "SELECT count(*) FROM chat WHERE empty_since IS NOT NULL";
    server.database.until(marked, 1).await;
    let database = server.stop().await;
    // A member joins before the chat is deleted.
    let id = empty.to_string();
    let made = database.command(&["make-admin", &id, "carl"]).await;
    made.expect_success();
    assert_eq!(database.number(marked.to_owned()).await, 0);
    let alone = format!("DELETE FROM customer_chat WHERE chat_id = {empty}");
    database.run(&alone).await;
    let past = "UPDATE chat SET empty_since = '2026-01-01T00:00:00.000000+00:00'";
    database.run(past).await;
    let server = Server::start_on(database, &REQUIRED).await;
    let chats = "SELECT count(*) FROM chat";
    server.database.until(chats, 1).await;
    // The other chat has members, so it stays although `empty_since` is set.
    let left = "SELECT chat_id FROM chat WHERE empty_since IS NULL UNION ALL SELECT 0 ORDER BY 1 DESC LIMIT 1";
    server.database.until(left, chat).await;
    server.stop().await;
}

#[apply(both_stores)]
async fn open_mode_changes_nothing(store: Store) {
    let (database, chat, _) = left_by_open_mode(store).await;
    let past = "UPDATE chat SET empty_since = '2026-01-01T00:00:00.000000+00:00'";
    database.run(past).await;
    let server = Server::start_on(database, &[]).await;
    let noted = "SELECT count(*) FROM chat WHERE empty_since IS NOT NULL";
    server.database.until(noted, 0).await;
    let client = server.client();
    let gone = client.new_user("gone").await;
    client.delete(&format!("/user/{gone}")).await.expect(204);
    assert_eq!(client.list("/chat").await.len(), 2);
    let members = client.list(&format!("/user/chat/{chat}")).await;
    assert_eq!(field(&members, "role"), ["participant", "participant"]);
    server.stop().await;
}
