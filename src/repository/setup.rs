//! Setup of a database: demo data for an empty database, and the passwords of an adopted database that are
//! not hashed yet. The demo data has the users, chats and memberships of the original server's script, and
//! enough messages for every example in the original server's documentation.

use super::{last_message, lock};
use crate::{
    database::{Database, on},
    error::Error,
    model::{PLAIN_MARK, Skeletons, Timestamp, UserId},
};
use sqlx::{query, query_as, query_scalar};

/// Value of the password column that no password matches. Demo users cannot log in until they get a password.
const LOCKED: &str = "!";

/// Names of the demo users, with ids from 1.
const USERS: [&str; 3] = ["carl", "sigmund", "gustav"];
/// Names of the demo chats, with ids from 1.
const CHATS: [&str; 2] = ["general", "random"];
/// Demo memberships: user id, chat id, role.
const MEMBERS: [(i64, i64, &str); 3] = [
    (1, 1, "admin"),
    (2, 1, "participant"),
    (3, 2, "participant"),
];
/// Demo messages: chat id, author id, text. Message 10 is by carl in general, because an example in the
/// original server's documentation deletes it.
const MESSAGES: [(i64, i64, &str); 10] = [
    (1, 1, "Good morning, everyone."),
    (1, 2, "Morning, Carl. Did the train run today?"),
    (1, 1, "It did, and it was on time."),
    (2, 3, "Is anybody in here?"),
    (1, 2, "Then the meeting can start at nine."),
    (2, 3, "I will leave the sheet music on the piano."),
    (1, 1, "I have put the agenda on the door."),
    (2, 3, "The third page is missing, as always."),
    (1, 2, "Thank you. I will bring the coffee."),
    (1, 1, "See you there."),
];

/// Inserts one row and evaluates to the id that the statement returns.
macro_rules! insert {
    ($tx:ident, $sql:ident $(, $value:expr)*) => {{
        let id: i64 = on!(tx &mut $tx, |db| query_scalar($sql)$(.bind($value))*
            .fetch_one(db)
            .await)?;
        id
    }};
}

/// Fills an empty database with demo data.
#[derive(Clone, Copy)]
pub struct DemoDataRepository<'a>(pub(super) &'a Database);

impl DemoDataRepository<'_> {
    /// Stores the demo data in one transaction, if the database has never held a user or a chat. Returns true
    /// if the data was stored. A new id above the expected one shows that earlier rows were deleted.
    pub async fn fill(self) -> Result<bool, Error> {
        const USER: &str = "INSERT INTO customer \
                (username, password, created_at, skeleton, written_skeleton, skeleton_of) \
            VALUES ($1, $2, $3, $4, $5, $1) RETURNING customer_id";
        const CHAT: &str = "INSERT INTO chat (chat_name, seq, created_at) \
                            VALUES ($1, $2, $3) RETURNING chat_id";
        const MEMBER: &str = "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at) \
                              VALUES ($1, $2, $3, $4) RETURNING chat_id";
        const MESSAGE: &str = "INSERT INTO message \
                               (chat_id, customer_id, content, seq, sent_seq, sent_at) \
                               VALUES ($1, $2, $3, $4, $4, $5) RETURNING message_id";
        let now = Timestamp::now();
        let mut tx = self.0.begin().await?;
        if !lock::lock_if_empty(&mut tx).await? {
            return Ok(false);
        }
        for (id, name) in (1..).zip(USERS) {
            let Skeletons { folded, written } = Skeletons::of(name);
            if id != insert!(tx, USER, name, LOCKED, now, &folded[..], &written[..]) {
                return Ok(false);
            }
        }
        for (id, name) in (1..).zip(CHATS) {
            if id != insert!(tx, CHAT, name, seq_after(id, MESSAGES.len()), now) {
                return Ok(false);
            }
        }
        for (user, chat, role) in MEMBERS {
            insert!(tx, MEMBER, user, chat, role, now);
        }
        for (n, (chat, author, text)) in (1..).zip(MESSAGES) {
            insert!(tx, MESSAGE, chat, author, text, seq_after(chat, n), now);
        }
        last_message::store_all(&mut tx).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// Returns the head of the chat after the first `n` demo messages.
fn seq_after(chat: i64, n: usize) -> i64 {
    MESSAGES
        .iter()
        .take(n)
        .map(|message| i64::from(message.0 == chat))
        .sum()
}

/// Finds and replaces passwords that are not hashed yet.
#[derive(Clone, Copy)]
pub struct LegacyPasswordRepository<'a>(pub(super) &'a Database);

/// Password of a user as the original server stored it: not hashed.
pub struct LegacyPassword {
    id: UserId,
    stored: String,
}

impl LegacyPassword {
    /// Returns the id of the user.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.id
    }

    /// Returns the password without the marker `plain:`.
    #[must_use]
    pub fn text(&self) -> &str {
        self.stored.strip_prefix(PLAIN_MARK).unwrap_or(&self.stored)
    }
}

impl LegacyPasswordRepository<'_> {
    /// Returns the number of passwords that are not hashed yet.
    pub async fn count(self) -> Result<i64, Error> {
        const SQL: &str = "SELECT count(*) FROM customer WHERE password LIKE 'plain:%'";
        Ok(on!(read self.0, |db| query_scalar(SQL)
            .fetch_one(db)
            .await)?)
    }

    /// Returns up to `limit` passwords that are not hashed yet, of users with ids above `after`, in order of
    /// id.
    pub async fn plain_passwords(
        self,
        after: UserId,
        limit: i64,
    ) -> Result<Vec<LegacyPassword>, Error> {
        const SQL: &str = "SELECT customer_id, password FROM customer \
                           WHERE password LIKE 'plain:%' AND customer_id > $1 \
                           ORDER BY customer_id LIMIT $2";
        let rows: Vec<(UserId, String)> = on!(read self.0, |db| query_as(SQL)
            .bind(after)
            .bind(limit)
            .fetch_all(db)
            .await)?;
        Ok(rows
            .into_iter()
            .map(|(id, stored)| LegacyPassword { id, stored })
            .collect())
    }

    /// Replaces a password with its hash. Does nothing if the password changed since it was read.
    pub async fn replace(self, plain: &LegacyPassword, hash: &str) -> Result<(), Error> {
        const SQL: &str = "UPDATE customer SET password = $3 \
                           WHERE customer_id = $1 AND password = $2";
        let mut tx = self.0.begin().await?;
        on!(tx &mut tx, |db| query(SQL)
            .bind(plain.id)
            .bind(&plain.stored)
            .bind(hash)
            .execute(db)
            .await
            .map(drop))?;
        tx.commit().await
    }
}
