//! The additions to the large database, and the reads.

use crate::growth::{LARGEST, MEMBER_OF_ALL, Sizes};

/// The rows of each page.
pub const PAGE: i64 = 50;
/// The messages of the small chat.
pub const SMALL: i64 = 200;
/// The number of messages in each of both chats with the rare word, and the positions of these messages in the small
/// chat: the multiples of this number.
const RARE: i64 = 5;
const RARE_EVERY: i64 = SMALL / (RARE + 1);
/// The rows of a page of chats, and the chats of the user in few chats.
const CHATS: i64 = 20;

/// The ids of the database.
pub struct Ids {
    sizes: Sizes,
    /// The small chat. The index of `growth` has segments of as many chats beyond those that exist.
    pub small: i64,
    /// The user in few chats.
    pub few: i64,
    /// The id of the last message of the largest chat that is before the copied ones.
    pub base: i64,
}

impl Ids {
    /// The ids in a database of these sizes.
    pub fn new(sizes: Sizes) -> Self {
        Self {
            sizes,
            small: 2 * sizes.chats + 1,
            few: sizes.users() + 1,
            base: sizes.messages / 2 * 2 - 2 * SMALL,
        }
    }

    /// The id of a message of the small chat, from 1 to 200.
    fn in_small(&self, number: i64) -> i64 {
        self.sizes.messages + number
    }

    /// The id of a message of the largest chat, at this part of the chat.
    fn in_largest(&self, part: i64, of: i64) -> i64 {
        (self.sizes.before_largest() / 2 + self.sizes.largest * part / of) * 2
    }

    /// The statements that add the small chat, the rare word, and the user in few chats. The small chat has the
    /// members and the last messages of the largest one.
    pub fn additions(&self) -> Vec<String> {
        let Self {
            sizes,
            small,
            few,
            base,
        } = self;
        let last = self.in_small(SMALL);
        let rare = |id: i64| {
            format!("UPDATE message SET content = content || ' zebra' WHERE message_id = {id}")
        };
        let mut statements = vec![
            format!(
                "INSERT INTO chat (chat_id, chat_name, created_at, created_by, seq, last_message_seq, last_message_id) \
                 SELECT {small}, 'small', created_at, created_by, {seq}, {seq}, {last} FROM chat \
                 WHERE chat_id = {LARGEST}",
                seq = 2 * SMALL
            ),
            format!(
                "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at) \
                 SELECT customer_id, {small}, role, joined_at FROM customer_chat WHERE chat_id = {LARGEST}"
            ),
            format!(
                "INSERT INTO message (message_id, chat_id, customer_id, content, sent_at, seq, sent_seq) \
                 SELECT {} + (message_id - {base}) / 2, {small}, customer_id, content, sent_at, seq - {base}, \
                    seq - {base} FROM message WHERE chat_id = {LARGEST} AND message_id > {base}",
                sizes.messages
            ),
            format!(
                "INSERT INTO customer (customer_id, username, password, created_at, skeleton_of) \
                 SELECT {few}, 'few', '!', created_at, 'few' FROM customer WHERE customer_id = {MEMBER_OF_ALL}"
            ),
            format!(
                "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at) \
                 SELECT {few}, c.chat_id, m.role, m.joined_at FROM chat c JOIN customer_chat m \
                    ON m.chat_id = c.chat_id AND m.customer_id = {MEMBER_OF_ALL} \
                 ORDER BY c.last_message_id DESC LIMIT {CHATS}"
            ),
        ];
        for n in 1..=RARE {
            statements.push(rare(self.in_small(n * RARE_EVERY)));
            statements.push(rare(self.in_largest(n, RARE + 1)));
        }
        statements
    }

    /// The reads of both chats.
    pub fn reads(&self) -> Vec<Read> {
        let Self { small, few, .. } = self;
        let chat = |name, large: String, of_small: String| Read {
            name,
            judged: true,
            large: (
                MEMBER_OF_ALL,
                format!("/chat/{LARGEST}/message?limit={PAGE}{large}"),
            ),
            small: (
                MEMBER_OF_ALL,
                format!("/chat/{small}/message?limit={PAGE}{of_small}"),
            ),
        };
        let same = |name, query: &str| chat(name, query.to_owned(), query.to_owned());
        let oldest = self.in_largest(0, 1) + 2 * (PAGE + 1);
        let middle = self.in_largest(1, 2);
        let half = SMALL / 2;
        let all = |name, large, small| Read {
            name,
            judged: true,
            large: (MEMBER_OF_ALL, large),
            small: (MEMBER_OF_ALL, small),
        };
        let list = |user| (user, format!("/user/{user}/chat?limit={CHATS}"));
        vec![
            same("newest page", ""),
            chat(
                "page before a message in the middle",
                format!("&before={middle}"),
                format!("&before={}", self.in_small(half)),
            ),
            chat(
                "oldest page",
                format!("&before={oldest}"),
                format!("&before={}", self.in_small(PAGE + 1)),
            ),
            // The seq of a message of the largest chat is its id.
            chat(
                "changes since the middle",
                format!("&since={middle}"),
                format!("&since={}", SMALL),
            ),
            all(
                "a message",
                format!("/message/{middle}"),
                format!("/message/{}", self.in_small(half)),
            ),
            all(
                "members",
                format!("/user/chat/{LARGEST}?limit={PAGE}"),
                format!("/user/chat/{small}?limit={PAGE}"),
            ),
            same("search for a word of 5 messages", "&q=zebra"),
            same("search for a word of no message", "&q=quokka"),
            // A lookup of frequent grams takes up to 65,536 entries of the index, which the small chat does not have.
            Read {
                judged: false,
                ..same("search for a word of all messages", "&q=grows")
            },
            // The grams of a number are frequent, and each number is in one message.
            Read {
                judged: false,
                ..chat(
                    "search for a number of one message",
                    format!("&q={middle}"),
                    format!("&q={}", self.base + SMALL),
                )
            },
            Read {
                name: "chats of a user in all chats, and of one in 20",
                judged: true,
                large: list(MEMBER_OF_ALL),
                small: list(*few),
            },
        ]
    }
}

/// A read in both chats.
pub struct Read {
    /// Its name in the output.
    pub name: &'static str,
    /// True if the latencies are compared. Otherwise they are printed only.
    pub judged: bool,
    /// The user and the path in the largest chat.
    pub large: (i64, String),
    /// The user and the path in the small chat.
    pub small: (i64, String),
}
