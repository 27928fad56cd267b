//! A large database, filled by SQL: one chat has a large share of the messages, and the others share the rest.

use super::super::database::{Database, Store};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection, query_as, raw_sql};

/// The member of every chat.
pub const MEMBER_OF_ALL: i64 = 1;
/// The member of the first 1,000 chats.
pub const MEMBER_OF_1000: i64 = 2;
/// The author of an eighth of the messages of the largest chat.
pub const LARGE_ACCOUNT: i64 = 3;
/// The author of the tombstones, who has one message left: the oldest of all.
pub const DELETER: i64 = 4;
/// A member of the chat of tombstones who has read nothing since the oldest message.
pub const LATE_READER: i64 = 5;
/// The chat with the most messages. They begin in the middle of the table.
pub const LARGEST: i64 = 1;
/// The chat with a run of tombstones, and ten messages after it.
pub const TOMBSTONES: i64 = 2;

/// The most changed memberships of the largest chat. Most of them have ended.
const CHANGED_MEMBERS: i64 = 20_000;
/// One chat in this many has a changed membership for each of its members, and another one was renamed.
const CHANGED: i64 = 10;
/// The first of the 1,000 users who write in the largest chat.
const FIRST_WRITER: i64 = 10;
/// The first user of the other chats.
const FIRST_OTHER: i64 = 1010;
/// The time of everything in the database.
const TIME: &str = "'2026-01-01T00:00:00.000000+00:00'";

/// The size of the database.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// The number of messages in all chats.
    pub messages: i64,
    /// The number of chats.
    pub chats: i64,
    /// The number of messages of the largest chat.
    pub largest: i64,
}

impl Sizes {
    /// Checks that the sizes leave room for every part of the database.
    ///
    /// # Errors
    /// The limits, if one is exceeded.
    pub fn check(self) -> Result<(), String> {
        if self.largest * 2 > self.messages || self.chats < 1000 || self.messages < 20_000 {
            return Err(
                "a large database needs 20,000 messages and 1,000 chats at least, and a largest chat of half of \
                 the messages at most"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The number of users.
    pub fn users(self) -> i64 {
        self.chats.max(3000)
    }

    /// The number of tombstones.
    fn tombstones(self) -> i64 {
        self.messages / 25
    }

    /// The number of messages before the first one of the largest chat.
    pub fn before_largest(self) -> i64 {
        self.messages - 2 * self.largest
    }

    /// The number of changed memberships of the largest chat.
    fn changed_members(self) -> i64 {
        CHANGED_MEMBERS.min(self.largest / 2)
    }

    /// A chat with a changed membership for each of its members.
    pub fn changed_chat(self) -> i64 {
        self.chats / 2 / CHANGED * CHANGED
    }

    /// The statements that store the changes of memberships and of chats, and then the heads. Every second number
    /// of the largest chat is a message's; the changed memberships have some of the others. In other chats their
    /// numbers come after those of the messages.
    fn changes(self, numbers: &str) -> Vec<String> {
        let (messages, first) = (self.messages, self.before_largest() | 1);
        let step = 2 * (self.largest / self.changed_members());
        vec![
            format!(
                "INSERT INTO membership_change (chat_id, customer_id, seq, changed_by, changed_at) {numbers} \
                 SELECT {LARGEST}, n, {first} + (n - 1) * {step}, n, {TIME} FROM number"
            ),
            format!(
                "INSERT INTO membership_change (chat_id, customer_id, seq, changed_by, changed_at) \
                 SELECT chat_id, customer_id, \
                    {messages} + row_number() OVER (PARTITION BY chat_id ORDER BY customer_id), \
                    customer_id, {TIME} \
                 FROM customer_chat WHERE chat_id % {CHANGED} = 0"
            ),
            format!(
                "UPDATE chat SET changed_seq = {messages} + 1, changed_by = 1, topic = 'growing' \
                 WHERE chat_id = {LARGEST} OR chat_id % {CHANGED} = 5"
            ),
            "UPDATE chat SET seq = head.seq FROM (SELECT chat_id, max(seq) AS seq FROM ( \
                SELECT chat_id, seq FROM message UNION ALL SELECT chat_id, seq FROM membership_change \
                UNION ALL SELECT chat_id, changed_seq FROM chat) AS changes \
             GROUP BY chat_id) AS head WHERE chat.chat_id = head.chat_id"
                .to_owned(),
        ]
    }

    /// The statements that fill the tables, in order.
    fn statements(self, store: Store) -> Vec<String> {
        let Self {
            messages, chats, ..
        } = self;
        let numbers = |to: i64| match store {
            Store::Postgres => {
                format!("WITH number AS (SELECT n FROM generate_series(1::bigint, {to}) AS s (n))")
            }
            Store::Sqlite => format!(
                "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {to})"
            ),
        };
        let members = |select: &str| {
            format!(
                "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at) {} {select} \
                 ON CONFLICT DO NOTHING",
                numbers(chats)
            )
        };
        let member = |user: i64, to: i64| {
            members(&format!(
                "SELECT {user}, n, 'participant', {TIME} FROM number WHERE n <= {to}"
            ))
        };
        let token = match store {
            Store::Postgres => "decode(lpad(n::text, 64, '0'), 'hex')",
            Store::Sqlite => "CAST(printf('%032d', n) AS blob)",
        };
        let others = self.users() - FIRST_OTHER;
        let mut statements = vec![
            format!(
                "INSERT INTO customer (customer_id, username, password, created_at, skeleton_of) {} \
                 SELECT n, 'user' || n, '!', {TIME}, 'user' || n FROM number",
                numbers(self.users())
            ),
            format!(
                "INSERT INTO chat (chat_id, chat_name, created_at, created_by) {} \
                 SELECT n, 'chat' || n, {TIME}, {FIRST_OTHER} + n % {others} FROM number",
                numbers(chats)
            ),
            format!(
                "INSERT INTO session (customer_id, token_hash, created_at, last_used_at, expires_at) {} \
                 SELECT n, {token}, {TIME}, {TIME}, '2036-01-01T00:00:00.000000+00:00' FROM number",
                numbers(self.users())
            ),
        ];
        for k in 0..3 {
            let role = if k == 0 { "admin" } else { "participant" };
            statements.push(members(&format!(
                "SELECT {FIRST_OTHER} + (n * 7 + {k}) % {others}, n, '{role}', {TIME} FROM number WHERE TRUE"
            )));
        }
        statements.extend([
            member(MEMBER_OF_ALL, chats),
            member(MEMBER_OF_1000, 1000),
            member(LARGE_ACCOUNT, LARGEST),
            member(DELETER, TOMBSTONES),
            member(LATE_READER, TOMBSTONES),
            members(&format!(
                "SELECT {FIRST_WRITER} + n - 1, {LARGEST}, 'participant', {TIME} FROM number WHERE n <= 1000"
            )),
            // The index of chats beyond those of the requests: as large as on a server that has indexed all.
            format!(
                "INSERT INTO search_segment (chat_id, first_message_id) {} \
                 SELECT {chats} + n, 0 FROM number",
                numbers(chats)
            ),
            format!(
                "UPDATE customer_chat SET last_read_message_id = 1 \
                 WHERE customer_id = {LATE_READER} AND chat_id = {TOMBSTONES}"
            ),
        ]);
        let first = self.before_largest();
        let run = messages - 2 * self.tombstones();
        let last = messages - 20;
        statements.push(format!(
            "INSERT INTO message (message_id, chat_id, customer_id, content, sent_at, seq, sent_seq, \
                deleted_at) {} \
             SELECT n, chat, CASE WHEN chat = {LARGEST} AND n / 2 % 8 = 0 THEN {LARGE_ACCOUNT} \
                    WHEN chat = {LARGEST} THEN {FIRST_WRITER} + n % 1000 \
                    WHEN n > {last} THEN {FIRST_WRITER} \
                    WHEN chat = {TOMBSTONES} THEN {DELETER} \
                    ELSE {FIRST_OTHER} + (chat * 7 + n % 3) % {others} END, \
                CASE WHEN n > {run} AND n <= {last} AND chat = {TOMBSTONES} THEN NULL \
                    ELSE 'message ' || n || ' of a chat that grows and grows' END, {TIME}, n, n, \
                CASE WHEN n > {run} AND n <= {last} AND chat = {TOMBSTONES} THEN {deleted} END \
             FROM (SELECT n, CASE WHEN n > {first} AND n % 2 = 0 THEN {LARGEST} \
                    WHEN n > {run} OR n = 1 THEN {TOMBSTONES} \
                    ELSE 3 + n * 7919 % ({chats} - 2) END AS chat FROM number) AS numbered ORDER BY n",
            numbers(messages),
            deleted = match store {
                Store::Postgres => format!("timestamptz {TIME}"),
                Store::Sqlite => TIME.to_owned(),
            }
        ));
        statements.extend(self.changes(&numbers(self.changed_members())));
        if store == Store::Postgres {
            for (table, column) in [
                ("customer", "customer_id"),
                ("chat", "chat_id"),
                ("message", "message_id"),
            ] {
                statements.push(format!(
                    "SELECT setval(pg_get_serial_sequence('{table}', '{column}'), (SELECT max({column}) FROM {table}))"
                ));
            }
        }
        statements
    }
}

/// Fills the tables of a database that a server has created. The indexes of `message` are removed before and
/// created again afterwards, because this is several times as fast.
pub async fn fill(database: &Database, store: Store, sizes: Sizes) -> sqlx::Result<()> {
    match store {
        Store::Postgres => fill_postgres(&database.url, sizes).await,
        Store::Sqlite => fill_sqlite(&database.url, sizes).await,
    }
}

async fn fill_postgres(url: &str, sizes: Sizes) -> sqlx::Result<()> {
    const INDEXES: &str = "SELECT i.indexname::text, i.indexdef FROM pg_indexes i \
        WHERE i.tablename = 'message' AND NOT EXISTS (SELECT FROM pg_constraint c \
            WHERE c.conname = i.indexname)";
    let mut db = PgConnection::connect(url).await?;
    let indexes: Vec<(String, String)> = query_as(INDEXES).fetch_all(&mut db).await?;
    // Foreign keys are not checked row by row.
    let setup = "SET synchronous_commit = off; SET session_replication_role = replica; \
                 SET maintenance_work_mem = '1GB'; SET work_mem = '256MB'";
    run(&mut db, setup.to_owned()).await?;
    for (name, _) in &indexes {
        run(&mut db, format!("DROP INDEX {name}")).await?;
    }
    for statement in sizes.statements(Store::Postgres) {
        run(&mut db, statement).await?;
    }
    for (_, create) in indexes {
        run(&mut db, create).await?;
    }
    run(&mut db, "VACUUM ANALYZE".to_owned()).await?;
    run(&mut db, "CHECKPOINT".to_owned()).await?;
    db.close().await
}

async fn fill_sqlite(url: &str, sizes: Sizes) -> sqlx::Result<()> {
    const INDEXES: &str =
        "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'message' AND type = 'index'";
    let mut db = SqliteConnection::connect(url).await?;
    let indexes: Vec<(String, String)> = query_as(INDEXES).fetch_all(&mut db).await?;
    let setup =
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; PRAGMA temp_store = MEMORY";
    raw_sql(setup).execute(&mut db).await?;
    let indexed =
        |(name, create): &(String, String)| (format!("DROP INDEX {name}"), create.clone());
    let (drop, create): (Vec<String>, Vec<String>) = indexes.iter().map(indexed).unzip();
    let fill = sizes.statements(Store::Sqlite);
    for statement in drop.into_iter().chain(fill).chain(create) {
        raw_sql(AssertSqlSafe(statement)).execute(&mut db).await?;
    }
    db.close().await
}

async fn run(db: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    raw_sql(AssertSqlSafe(statement))
        .execute(db)
        .await
        .map(drop)
}
