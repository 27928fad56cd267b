//! The invariants that all rows satisfy, as SQL queries. An import, the takeover of the original
//! program's tables and the command `check` verify them.

use super::{DatabaseTransaction, on};
use sqlx::{PgConnection, query_as};

/// A query that finds rows which break an invariant, and the sentence that reports them.
#[derive(Clone, Copy)]
struct Invariant {
    /// The sentence about the broken invariant.
    wrong: &'static str,
    /// The name of the column that holds the example, such as `chat_id`.
    example: &'static str,
    /// The query. It returns one row: the number of broken rows and the smallest id among them, or 0.
    sql: &'static str,
}

/// Builds an invariant from a query that returns an `id` for each row that breaks the invariant.
macro_rules! invariant {
    ($wrong:literal, $example:literal, $($sql:expr),+ $(,)?) => {
        Invariant {
            wrong: $wrong,
            example: $example,
            sql: concat!("SELECT count(*), CAST(coalesce(min(id), 0) AS bigint) FROM (", $($sql),+, ") AS wrong"),
        }
    };
}

/// The largest integer that every client reads exactly, 2^53 - 1 as in JavaScript, as SQL text.
macro_rules! largest {
    () => {
        "9007199254740991"
    };
}

/// The largest id or `seq`: 2^53 - 1, the largest integer that a JavaScript client reads exactly.
pub const LARGEST: i64 = (1 << 53) - 1;

/// The times that RFC 3339 can express, years 1 to 9999, as an SQL condition.
macro_rules! rfc3339_years {
    () => {
        "BETWEEN '0001-01-01T00:00:00+00:00' AND '9999-12-31T23:59:59.999999+00:00'"
    };
}

/// The invariants of the columns that the original program created.
const ORIGINAL_COLUMNS: &[Invariant] = &[
    invariant!(
        "an id of a user is not from 1 to 2^53 - 1",
        "customer_id",
        "SELECT customer_id AS id FROM customer WHERE customer_id NOT BETWEEN 1 AND ",
        largest!()
    ),
    invariant!(
        "an id of a chat is not from 1 to 2^53 - 1",
        "chat_id",
        "SELECT chat_id AS id FROM chat WHERE chat_id NOT BETWEEN 1 AND ",
        largest!()
    ),
    invariant!(
        "an id of a message is not from 1 to 2^53 - 1",
        "message_id",
        "SELECT message_id AS id FROM message WHERE message_id NOT BETWEEN 1 AND ",
        largest!()
    ),
    invariant!(
        "a user's name does not have 1 to 255 characters",
        "customer_id",
        "SELECT customer_id AS id FROM customer WHERE length(username) NOT BETWEEN 1 AND 255"
    ),
    invariant!(
        "a chat's name does not have 1 to 255 characters",
        "chat_id",
        "SELECT chat_id AS id FROM chat WHERE length(chat_name) NOT BETWEEN 1 AND 255"
    ),
    invariant!(
        "a role has more than 50 characters",
        "chat_id",
        "SELECT chat_id AS id FROM customer_chat WHERE length(role) > 50"
    ),
    invariant!(
        "a message has more than 1 MiB of text",
        "message_id",
        "SELECT message_id AS id FROM message WHERE octet_length(content) > 1048576"
    ),
    invariant!(
        "a user's creation time is not in the years 1 to 9999",
        "customer_id",
        "SELECT customer_id AS id FROM customer WHERE NOT created_at ",
        rfc3339_years!()
    ),
    invariant!(
        "a chat's creation time is not in the years 1 to 9999",
        "chat_id",
        "SELECT chat_id AS id FROM chat WHERE NOT created_at ",
        rfc3339_years!()
    ),
    invariant!(
        "a member's join time is not in the years 1 to 9999",
        "chat_id",
        "SELECT chat_id AS id FROM customer_chat WHERE NOT joined_at ",
        rfc3339_years!()
    ),
    invariant!(
        "a message's send time is not in the years 1 to 9999",
        "message_id",
        "SELECT message_id AS id FROM message WHERE NOT sent_at ",
        rfc3339_years!()
    ),
    invariant!(
        "a name belongs to several users: rename all but one",
        "customer_id",
        "SELECT max(customer_id) AS id FROM customer WHERE username IS NOT NULL \
         GROUP BY username HAVING count(*) > 1"
    ),
    invariant!(
        "a message belongs to a chat that does not exist",
        "message_id",
        "SELECT message_id AS id FROM message m \
         WHERE NOT EXISTS (SELECT 1 FROM chat c WHERE c.chat_id = m.chat_id)"
    ),
];

/// The invariants of the columns that this program added, such as `seq`. Some skip deleted chats: the
/// purge removes their rows in steps, so a deleted chat may be incomplete.
const ADDED_COLUMNS: &[Invariant] = &[
    invariant!(
        "a message belongs to a user that does not exist",
        "message_id",
        "SELECT message_id AS id FROM message m WHERE m.customer_id IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM customer u WHERE u.customer_id = m.customer_id)"
    ),
    invariant!(
        "a chat's head is not the number of its latest change",
        "chat_id",
        "SELECT chat_id AS id FROM chat c WHERE c.deleted_at IS NULL AND c.seq <> (SELECT max(n) FROM ( \
             SELECT c.changed_seq AS n \
             UNION ALL SELECT max(m.seq) FROM message m WHERE m.chat_id = c.chat_id \
             UNION ALL SELECT max(x.seq) FROM membership_change x WHERE x.chat_id = c.chat_id) AS changes)"
    ),
    invariant!(
        "a number of a chat belongs to more than one change",
        "chat_id",
        "SELECT c.chat_id AS id FROM chat c WHERE c.deleted_at IS NULL AND c.changed_seq > 0 AND (EXISTS ( \
             SELECT 1 FROM message m WHERE m.chat_id = c.chat_id AND m.seq = c.changed_seq) OR EXISTS ( \
             SELECT 1 FROM membership_change x WHERE x.chat_id = c.chat_id AND x.seq = c.changed_seq)) \
         UNION ALL SELECT x.chat_id AS id FROM membership_change x \
         JOIN message m ON m.chat_id = x.chat_id AND m.seq = x.seq"
    ),
    invariant!(
        "the number of a membership's change is not at least 1",
        "chat_id",
        "SELECT chat_id AS id FROM membership_change WHERE seq < 1"
    ),
    invariant!(
        "the time of a membership's change is not in the years 1 to 9999",
        "chat_id",
        "SELECT chat_id AS id FROM membership_change WHERE NOT changed_at ",
        rfc3339_years!()
    ),
    invariant!(
        "a change of a membership belongs to a chat that does not exist",
        "chat_id",
        "SELECT chat_id AS id FROM membership_change x \
         WHERE NOT EXISTS (SELECT 1 FROM chat c WHERE c.chat_id = x.chat_id)"
    ),
    invariant!(
        "a chat keeps a message that is not its latest",
        "chat_id",
        "SELECT chat_id AS id FROM chat c WHERE c.deleted_at IS NULL \
         AND c.last_message_seq = c.seq AND c.last_message_id <> \
         coalesce((SELECT max(m.message_id) FROM message m WHERE m.chat_id = c.chat_id), 0)"
    ),
    invariant!(
        "a chat's head is over 2^53 - 1",
        "chat_id",
        "SELECT chat_id AS id FROM chat WHERE seq NOT BETWEEN 0 AND ",
        largest!()
    ),
    invariant!(
        "the number of a message's sending is not from 1 to that of its latest change",
        "message_id",
        "SELECT message_id AS id FROM message WHERE sent_seq NOT BETWEEN 1 AND seq"
    ),
    invariant!(
        "a message has both a text and a deletion time, or neither of them",
        "message_id",
        "SELECT message_id AS id FROM message WHERE (deleted_at IS NULL) <> (content IS NOT NULL)"
    ),
    invariant!(
        "a message's edit or deletion time is not in the years 1 to 9999",
        "message_id",
        "SELECT message_id AS id FROM message WHERE NOT edited_at ",
        rfc3339_years!(),
        " OR NOT deleted_at ",
        rfc3339_years!()
    ),
    invariant!(
        "a message's clientMessageId does not have 1 to 64 characters",
        "message_id",
        "SELECT message_id AS id FROM message WHERE length(client_message_id) NOT BETWEEN 1 AND 64"
    ),
    invariant!(
        "a message replies to a message that is not in its chat",
        "message_id",
        "SELECT m.message_id AS id FROM message m JOIN chat c ON c.chat_id = m.chat_id \
         WHERE m.reply_to IS NOT NULL AND c.deleted_at IS NULL AND NOT EXISTS ( \
             SELECT 1 FROM message a WHERE a.chat_id = m.chat_id AND a.message_id = m.reply_to)"
    ),
    invariant!(
        "a member has read up to a message that is not in the chat",
        "chat_id",
        "SELECT m.chat_id AS id FROM customer_chat m JOIN chat c ON c.chat_id = m.chat_id \
         WHERE m.last_read_message_id IS NOT NULL AND c.deleted_at IS NULL AND NOT EXISTS ( \
             SELECT 1 FROM message a \
             WHERE a.chat_id = m.chat_id AND a.message_id = m.last_read_message_id)"
    ),
    invariant!(
        "the search index of a chat is ahead of the chat",
        "chat_id",
        "SELECT p.chat_id AS id FROM search_position p JOIN chat c ON c.chat_id = p.chat_id \
         WHERE c.deleted_at IS NULL AND p.seq > c.seq"
    ),
    invariant!(
        "the search index keeps a message that was deleted",
        "message_id",
        "SELECT s.message_id AS id FROM message_search s \
         JOIN search_position p ON p.chat_id = s.chat_id \
         JOIN message m ON m.chat_id = s.chat_id AND m.message_id = s.message_id \
         WHERE m.content IS NULL AND m.seq <= p.seq"
    ),
    invariant!(
        "a stored password is not an argon2 hash",
        "customer_id",
        "SELECT customer_id AS id FROM customer WHERE password NOT LIKE '$argon2%' \
         AND password NOT LIKE 'plain:%' AND password <> '!'"
    ),
    invariant!(
        "an id of a session is not from 1 to 2^53 - 1",
        "session_id",
        "SELECT session_id AS id FROM session WHERE session_id NOT BETWEEN 1 AND ",
        largest!()
    ),
    invariant!(
        "a session's start or last use is not in the years 1 to 9999",
        "session_id",
        "SELECT session_id AS id FROM session WHERE NOT created_at ",
        rfc3339_years!(),
        " OR NOT last_used_at ",
        rfc3339_years!()
    ),
    invariant!(
        "a session's user agent has more than 256 characters",
        "session_id",
        "SELECT session_id AS id FROM session WHERE length(user_agent) > 256"
    ),
];

/// The invariant that a table's sequence is not behind its ids and does not exceed 2^53 - 1.
macro_rules! sequence {
    ($table:literal, $column:literal) => {
        invariant!(
            "a sequence is behind the ids, or over 2^53 - 1",
            $column,
            "SELECT s.largest AS id FROM (SELECT coalesce(max(",
            $column,
            "), 0) AS largest, coalesce(pg_sequence_last_value(pg_get_serial_sequence('",
            $table,
            "', '",
            $column,
            "')::regclass), 0) AS given FROM ",
            $table,
            ") AS s WHERE s.given NOT BETWEEN s.largest AND ",
            largest!()
        )
    };
}

/// The invariants of the sequences of Postgres, which assign ids.
const POSTGRES_SEQUENCES: &[Invariant] = &[
    sequence!("customer", "customer_id"),
    sequence!("chat", "chat_id"),
    sequence!("message", "message_id"),
    sequence!("session", "session_id"),
];

/// The invariants of the table `sqlite_sequence`, which holds the last assigned ids.
const SQLITE_SEQUENCES: &[Invariant] = &[invariant!(
    "the last id that was given is not from 0 to 2^53 - 1",
    "seq",
    "SELECT seq AS id FROM sqlite_sequence WHERE seq NOT BETWEEN 0 AND ",
    largest!()
)];

/// The invariants that Postgres enforces by itself and SQLite does not: column types, texts without
/// U+0000, and foreign keys (SQLite checks these only if a connection enables them; the table of messages has none on
/// Postgres, and the invariants above take their place).
const SQLITE_ONLY: &[Invariant] = &[
    invariant!(
        "a row refers to one that does not exist",
        "rowid",
        "SELECT rowid AS id FROM pragma_foreign_key_check"
    ),
    invariant!(
        "a column of a user holds something of another type, or U+0000",
        "customer_id",
        "SELECT customer_id AS id FROM customer WHERE typeof(username) <> 'text' \
         OR typeof(password) <> 'text' OR datetime(created_at) IS NULL \
         OR instr(username, char(0)) > 0"
    ),
    invariant!(
        "a column of a chat holds something of another type, or U+0000",
        "chat_id",
        "SELECT chat_id AS id FROM chat WHERE typeof(chat_name) <> 'text' \
         OR typeof(seq) <> 'integer' OR datetime(created_at) IS NULL \
         OR instr(chat_name, char(0)) > 0"
    ),
    invariant!(
        "a column of a membership holds something of another type",
        "chat_id",
        "SELECT chat_id AS id FROM customer_chat WHERE typeof(role) <> 'text' \
         OR datetime(joined_at) IS NULL \
         OR typeof(last_read_message_id) NOT IN ('null', 'integer')"
    ),
    invariant!(
        "a column of a message holds something of another type, or U+0000",
        "message_id",
        "SELECT message_id AS id FROM message WHERE typeof(content) NOT IN ('null', 'text') \
         OR typeof(seq) <> 'integer' OR typeof(sent_seq) <> 'integer' \
         OR datetime(sent_at) IS NULL OR instr(content, char(0)) > 0 \
         OR typeof(reply_to) NOT IN ('null', 'integer') \
         OR typeof(client_message_id) NOT IN ('null', 'text') \
         OR instr(client_message_id, char(0)) > 0"
    ),
];

impl Invariant {
    /// Returns the sentence about the broken rows. `None` if the query found no row.
    fn sentence(self, (rows, example): (i64, i64)) -> Option<String> {
        let Self {
            wrong, example: of, ..
        } = self;
        match rows {
            0 => None,
            1 => Some(format!("{wrong} ({of} {example})")),
            rows => Some(format!("{wrong} ({rows} times, first with {of} {example})")),
        }
    }
}

/// Reads every row and returns the flaws of rows and sequences, one sentence per broken invariant.
pub(super) async fn flaws(tx: &mut DatabaseTransaction) -> Result<Vec<String>, sqlx::Error> {
    let mut found = flaws_of_rows(tx).await?;
    let sequences = match tx {
        DatabaseTransaction::Postgres(_) => POSTGRES_SEQUENCES,
        DatabaseTransaction::Sqlite(_) => SQLITE_SEQUENCES,
    };
    found.extend(broken(tx, sequences).await?);
    Ok(found)
}

/// Reads every row and returns the flaws of rows, one sentence per broken invariant. Sequences are not
/// checked.
///
/// # Errors
/// The error of the database.
pub async fn flaws_of_rows(tx: &mut DatabaseTransaction) -> Result<Vec<String>, sqlx::Error> {
    let driver_specific: &[Invariant] = match tx {
        DatabaseTransaction::Postgres(_) => &[],
        DatabaseTransaction::Sqlite(_) => SQLITE_ONLY,
    };
    let lists = [ORIGINAL_COLUMNS, ADDED_COLUMNS, driver_specific];
    broken(tx, &lists.concat()).await
}

async fn broken(
    tx: &mut DatabaseTransaction,
    invariants: &[Invariant],
) -> Result<Vec<String>, sqlx::Error> {
    let mut flaws = Vec::new();
    for invariant in invariants {
        let found = on!(tx &mut *tx, |db| query_as(invariant.sql).fetch_one(db).await)?;
        flaws.extend(invariant.sentence(found));
    }
    Ok(flaws)
}

/// Returns the flaws of a database of the original program, one sentence per broken invariant.
///
/// Before the takeover, it checks the original's columns only. After the takeover, it also checks the
/// added columns and the sequences.
pub(super) async fn flaws_of_takeover(
    db: &mut PgConnection,
    taken_over: bool,
) -> Result<Vec<String>, sqlx::Error> {
    let lists: &[&[Invariant]] = match taken_over {
        true => &[ORIGINAL_COLUMNS, ADDED_COLUMNS, POSTGRES_SEQUENCES],
        false => &[ORIGINAL_COLUMNS],
    };
    let mut flaws = Vec::new();
    for invariant in lists.concat() {
        let found = query_as(invariant.sql).fetch_one(&mut *db).await?;
        flaws.extend(invariant.sentence(found));
    }
    Ok(flaws)
}
