//! The additions to the large database, and the attacks on them.

use crate::{
    attack::Attack,
    database::Store,
    growth::{LARGEST, MEMBER_OF_ALL, Sizes},
};

/// The number of users who are measured.
const VICTIMS: i64 = 10;
/// The longest text of a message, in bytes.
const CONTENT: i64 = 16 * 1024;
/// The numbers of messages with much to escape, and of long messages. 64 of either fill a page.
const ESCAPED: i64 = 64;
const LONG: i64 = 256;
/// The time of everything that is added to the database.
const TIME: &str = "'2026-01-01T00:00:00.000000+00:00'";

/// The ids of the additions to the database. The index of `growth` has segments of as many chats beyond those that
/// exist.
pub struct Ids {
    sizes: Sizes,
    /// The chat of the victims.
    pub chat: i64,
    /// The chat with messages of control characters.
    escaped: i64,
    /// The chat with long messages.
    long: i64,
}

impl Ids {
    /// The ids in a database of these sizes.
    pub fn new(sizes: Sizes) -> Self {
        Self {
            sizes,
            chat: 2 * sizes.chats + 1,
            escaped: 2 * sizes.chats + 2,
            long: 2 * sizes.chats + 3,
        }
    }

    /// The users who are measured.
    pub fn victims(&self) -> impl Iterator<Item = i64> {
        let users = self.sizes.users();
        users + 1..=users + VICTIMS
    }

    /// The statements that add the victims with their chat, and two chats of long messages.
    pub fn additions(&self, store: Store) -> Vec<String> {
        let last = self.sizes.messages;
        let chat = |id: i64, messages: i64, last: i64| {
            format!(
                "INSERT INTO chat (chat_id, chat_name, created_at, seq, last_message_seq, last_message_id) \
                 VALUES ({id}, 'chat{id}', {TIME}, {messages}, {messages}, {last})"
            )
        };
        let member = |user: i64, chat: i64| {
            format!(
                "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at) \
                 VALUES ({user}, {chat}, 'participant', {TIME})"
            )
        };
        let messages = |chat: i64, count: i64, after: i64, content: &str| {
            format!(
                "INSERT INTO message (message_id, chat_id, customer_id, content, sent_at, seq, sent_seq) \
                 WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {count}) \
                 SELECT {after} + n, {chat}, {MEMBER_OF_ALL}, {content}, {TIME}, n, n FROM number"
            )
        };
        let zeros = CONTENT / 2 - 1;
        let (escaped, long) = match store {
            Store::Postgres => (
                format!("'x' || repeat(chr(1), 2 * {zeros})"),
                format!("substr(repeat('a long message ', {CONTENT}), 1, {CONTENT})"),
            ),
            Store::Sqlite => (
                format!("'x' || replace(hex(zeroblob({zeros})), '0', char(1))"),
                format!(
                    "substr(replace(hex(zeroblob({zeros})), '0', 'a long message '), 1, {CONTENT})"
                ),
            ),
        };
        let mut statements = vec![
            chat(self.chat, 0, 0),
            chat(self.escaped, ESCAPED, last + ESCAPED),
            chat(self.long, LONG, last + ESCAPED + LONG),
            member(MEMBER_OF_ALL, self.escaped),
            member(MEMBER_OF_ALL, self.long),
            messages(self.escaped, ESCAPED, last, &escaped),
            messages(self.long, LONG, last + ESCAPED, &long),
        ];
        for user in self.victims() {
            statements.push(format!(
                "INSERT INTO customer (customer_id, username, password, created_at, skeleton_of) \
                 VALUES ({user}, 'victim{user}', '!', {TIME}, 'victim{user}')"
            ));
            statements.push(member(user, self.chat));
        }
        statements
    }

    /// The attacks.
    pub fn attacks(&self) -> [Attack; 4] {
        let Self { escaped, long, .. } = self;
        [
            Attack {
                name: "900 unread pages of control characters",
                path: format!("/chat/{escaped}/message?limit={ESCAPED}"),
                connections: 900,
                reads: false,
            },
            Attack {
                // Two letters are in no index.
                name: "searches in the largest chat",
                path: format!("/chat/{LARGEST}/message?q=zq"),
                connections: 30,
                reads: true,
            },
            Attack {
                name: "chats of a user in all chats",
                path: format!("/user/{MEMBER_OF_ALL}/chat?limit=100"),
                connections: 30,
                reads: true,
            },
            Attack {
                name: "pages of long messages",
                path: format!("/chat/{long}/message?limit=200"),
                connections: 30,
                reads: true,
            },
        ]
    }
}
