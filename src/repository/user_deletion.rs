//! Deletes a user in steps of bounded size, so that a user with many messages or chats does not block other
//! writers for long. The writer repeats `step` until the user is gone.

use super::{
    change::{self, ChangedMember},
    chat::chat_exists,
    chat_purge,
    heads::Heads,
    list::{List, column, json},
    lock,
    message::is_live,
    message_log::MessageLogTransaction,
    row::from_row,
};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{ChatId, MemberChange, MessageId, Role, Seq, Timestamp, UserId},
};
use sqlx::{query, query_as, query_scalar};
use std::collections::BTreeSet;

/// Maximum number of attempts of a step. An attempt fails if the user wrote to another chat, or if one of the
/// messages was deleted, before the step locked the user and the chats.
const ATTEMPTS: usize = 5;
/// Maximum number of memberships that end in one step.
const MAX_CHATS: usize = 200;

/// Result of one step of a user's deletion.
#[derive(Clone, Debug)]
pub struct DeletionStep {
    /// Messages that became tombstones, in order of chat and seq.
    pub tombstones: Vec<Tombstone>,
    /// Memberships that changed, in order of chat and seq: those of the user that ended, and those of new admins. Their
    /// numbers come after those of the tombstones.
    pub members: Vec<MemberChange>,
    /// Chats that the user is no member of any more. Empty in the last step, which ends all memberships.
    pub left: Vec<ChatId>,
    /// Where the next step goes on; null if this step deleted the user.
    pub next: Option<DeletionCursor>,
}

/// The message after which a step begins, in the order in which a user's messages are deleted: by chat, in each
/// chat the messages that are already deleted first, then by id. On Postgres, the messages of earlier steps leave
/// dead entries in the index, which a step would walk each time from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletionCursor {
    /// Maximum number of messages in one step. The chats of these messages are locked for the time of the step.
    most: u16,
    chat: i64,
    live: i32,
    message: i64,
}

impl DeletionCursor {
    /// Returns the start of a deletion with at most this number of messages in one step.
    #[must_use]
    pub const fn start(most: u16) -> Self {
        Self {
            most,
            chat: 0,
            live: 0,
            message: 0,
        }
    }

    /// Returns true if a step after this cursor takes the user's first messages.
    fn is_start(self) -> bool {
        self.message == 0
    }

    /// Returns the cursor after this message.
    fn after(self, message: OwnMessage) -> Self {
        Self {
            most: self.most,
            chat: message.chat_id.0,
            live: message.live,
            message: message.message_id.0,
        }
    }
}

/// A message that became a tombstone.
#[derive(Clone, Copy, Debug)]
pub struct Tombstone {
    /// Id of the chat.
    pub chat_id: ChatId,
    /// Id of the message.
    pub message_id: MessageId,
    /// Number of the deletion in the chat.
    pub seq: Seq,
}

/// A message of the user that a step takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OwnMessage {
    chat_id: ChatId,
    /// 1 for a message that is not deleted, 0 for a tombstone.
    live: i32,
    message_id: MessageId,
}

from_row!(OwnMessage {
    chat_id,
    live,
    message_id
});

/// The rows that a step takes.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    /// The next messages of the user.
    messages: Vec<OwnMessage>,
    /// If the user has no further message: at most `MAX_CHATS` chats that the user is a member of, and one more
    /// chat if there is one.
    memberships: Vec<ChatId>,
}

impl Taken {
    /// Returns the chats that the step locks, in order of id.
    fn chat_ids(&self) -> Vec<ChatId> {
        let of_messages = self.messages.iter().map(|message| message.chat_id);
        let chats: BTreeSet<ChatId> = of_messages
            .chain(self.memberships.iter().copied())
            .collect();
        chats.into_iter().collect()
    }
}

/// Runs one step: turns the user's next messages into numbered tombstones. After the last message, steps end
/// memberships, and the last step also deletes the user with their sessions. If the user is the last admin of a
/// chat, the member with the earliest join becomes admin. With `empty_chats_go`, a chat without another member is
/// deleted. Returns null if the user does not exist. The error is `unavailable` after `ATTEMPTS` failed attempts.
pub(super) async fn step(
    database: &Database,
    user: UserId,
    now: Timestamp,
    empty_chats_go: bool,
    after: DeletionCursor,
) -> Result<Option<DeletionStep>, Error> {
    for _ in 0..ATTEMPTS {
        let mut tx = MessageLogTransaction(database.begin().await?);
        let taken = tx.take(user, after).await?;
        let chats = taken.chat_ids();
        let mut heads = tx.lock_chats(&chats).await?;
        chat_purge::lock_deleted_chats(&mut tx.0, &chats).await?;
        if !lock::lock_user(&mut tx.0, user).await? {
            return Ok(None);
        }
        // The locks stop new messages, memberships and deletions. What came before the locks may be in a chat that
        // is not locked yet, so the step starts over.
        if tx.take(user, after).await? != taken {
            continue;
        }
        let Taken {
            messages,
            mut memberships,
        } = taken;
        let tombstones = tx.delete_messages(user, now, &messages, &mut heads).await?;
        let is_full = messages.len() == usize::from(after.most);
        let ends = !is_full && after.is_start();
        let all_chats = ends && memberships.len() <= MAX_CHATS;
        memberships.truncate(MAX_CHATS);
        let mut members = Vec::new();
        if ends {
            let promoted = tx.promote_successors(user, &memberships).await?;
            if empty_chats_go {
                tx.delete_empty_chats(user, now, &memberships).await?;
            }
            tx.leave(user, &memberships).await?;
            let changed = with_leaving(user, &memberships, promoted);
            members = change::number_members(&mut tx.0, &mut heads, &changed, now).await?;
        }
        tx.advance(&heads).await?;
        let mut step = DeletionStep {
            tombstones,
            members,
            left: Vec::new(),
            next: None,
        };
        if all_chats {
            tx.delete_user(user).await?;
        } else if ends {
            step.left = memberships;
            step.next = Some(after);
        } else {
            // After the last message, a step from the start finds what the user has written meanwhile.
            let last = messages.last().filter(|_| is_full);
            let start = DeletionCursor::start(after.most);
            step.next = Some(last.map_or(start, |last| after.after(*last)));
        }
        tx.commit().await?;
        return Ok(Some(step));
    }
    Err(Error::unavailable())
}

/// Returns the memberships that change, in order of chat: those of the user, which the user ends, and those of the new
/// admins, which the server changes.
fn with_leaving(
    user: UserId,
    left: &[ChatId],
    promoted: Vec<(ChatId, UserId)>,
) -> Vec<ChangedMember> {
    let by_user = left.iter().map(|&chat| ChangedMember {
        chat,
        user,
        by: Some(user),
    });
    let by_server = promoted.into_iter().map(|(chat, user)| ChangedMember {
        chat,
        user,
        by: None,
    });
    let mut changed: Vec<ChangedMember> = by_user.chain(by_server).collect();
    changed.sort_unstable();
    changed
}

/// Builds the statement that makes the member with the earliest join the admin, in the chats of user `$1` that
/// `$chats` selects and that have no other admin.
macro_rules! promote {
    ($chats:literal) => {
        concat!(
            "UPDATE customer_chat SET role = $2 WHERE (chat_id, customer_id) IN ( \
                SELECT mine.chat_id, (SELECT o.customer_id FROM customer_chat o \
                    WHERE o.chat_id = mine.chat_id AND o.customer_id <> $1 \
                    ORDER BY o.joined_at, o.customer_id LIMIT 1) \
                FROM customer_chat mine WHERE mine.customer_id = $1 AND mine.role = $2 AND ",
            $chats,
            " AND NOT EXISTS (SELECT 1 FROM customer_chat other \
                WHERE other.chat_id = mine.chat_id AND other.customer_id <> $1 \
                    AND other.role = 'admin')) RETURNING chat_id, customer_id"
        )
    };
}
impl MessageLogTransaction {
    /// Returns the rows that the next step takes.
    async fn take(&mut self, user: UserId, after: DeletionCursor) -> Result<Taken, Error> {
        const MESSAGES: &str = concat!(
            "SELECT x.chat_id, ",
            is_live!(),
            " AS live, x.message_id FROM message x \
             WHERE x.customer_id <= $1 AND (x.customer_id, x.chat_id, ",
            is_live!(),
            ", x.message_id) > ($1, $2, $3, $4) ORDER BY x.customer_id, x.chat_id, ",
            is_live!(),
            ", x.message_id LIMIT $5"
        );
        const MEMBERSHIPS: &str = concat!(
            "SELECT m.chat_id FROM customer_chat m \
             WHERE m.customer_id <= $1 AND (m.customer_id, m.chat_id) > ($1, 0) AND ",
            chat_exists!("m.chat_id"),
            " ORDER BY m.customer_id, m.chat_id LIMIT $2"
        );
        let messages: Vec<OwnMessage> = on!(tx &mut self.0, |db| query_as(MESSAGES)
            .bind(user)
            .bind(after.chat)
            .bind(after.live)
            .bind(after.message)
            .bind(i64::from(after.most))
            .fetch_all(db)
            .await)?;
        let mut memberships = Vec::new();
        if messages.len() < usize::from(after.most) && after.is_start() {
            memberships = on!(tx &mut self.0, |db| query_scalar(MEMBERSHIPS)
                .bind(user)
                .bind(MAX_CHATS as i64 + 1)
                .fetch_all(db)
                .await)?;
        }
        Ok(Taken {
            messages,
            memberships,
        })
    }

    /// Turns messages into tombstones without an author. Each tombstone gets the next seq of its chat. A message
    /// that is already deleted, on its own or with its chat, only loses its author. Returns the tombstones in
    /// order of chat and seq.
    async fn delete_messages(
        &mut self,
        user: UserId,
        now: Timestamp,
        messages: &[OwnMessage],
        heads: &mut Heads,
    ) -> Result<Vec<Tombstone>, Error> {
        let (mut tombstones, mut anonymous) = (Vec::new(), Vec::new());
        for &OwnMessage {
            chat_id,
            live,
            message_id,
        } in messages
        {
            let seq = if live == 1 { heads.next(chat_id) } else { None };
            match seq {
                Some(seq) => tombstones.push(Tombstone {
                    chat_id,
                    message_id,
                    seq,
                }),
                None => anonymous.push((chat_id, message_id)),
            }
        }
        if !anonymous.is_empty() {
            anonymize(&mut self.0, &anonymous).await?;
        }
        if !tombstones.is_empty() {
            bury(&mut self.0, &tombstones, user, now).await?;
        }
        Ok(tombstones)
    }

    /// Makes the member with the earliest join the admin of each of these chats that has only this user as admin.
    /// Returns the new admins with their chats.
    async fn promote_successors(
        &mut self,
        user: UserId,
        chats: &[ChatId],
    ) -> Result<Vec<(ChatId, UserId)>, Error> {
        const POSTGRES: &str = promote!("mine.chat_id = ANY($3)");
        const SQLITE: &str = promote!("mine.chat_id IN (SELECT value FROM json_each($3))");
        Ok(
            on!(tx &mut self.0, [POSTGRES, SQLITE], |sql, db| query_as(sql)
            .bind(user)
            .bind(Role::Admin.as_str())
            .bind(List(chats))
            .fetch_all(db)
            .await)?,
        )
    }

    /// Marks those of the chats that have no other member as deleted, because no user could read them any more.
    async fn delete_empty_chats(
        &mut self,
        user: UserId,
        now: Timestamp,
        chats: &[ChatId],
    ) -> Result<(), Error> {
        const POSTGRES: &str = "UPDATE chat SET deleted_at = $2 \
            WHERE deleted_at IS NULL AND chat_id = ANY($3) AND NOT EXISTS ( \
                SELECT 1 FROM customer_chat other WHERE other.chat_id = chat.chat_id \
                    AND other.customer_id <> $1)";
        const SQLITE: &str = "UPDATE chat SET deleted_at = $2 \
            WHERE deleted_at IS NULL AND chat_id IN (SELECT value FROM json_each($3)) \
                AND NOT EXISTS (SELECT 1 FROM customer_chat other \
                    WHERE other.chat_id = chat.chat_id AND other.customer_id <> $1)";
        on!(tx &mut self.0, [POSTGRES, SQLITE], |sql, db| query(sql)
            .bind(user)
            .bind(now)
            .bind(List(chats))
            .execute(db)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Ends the memberships of the user in these chats.
    async fn leave(&mut self, user: UserId, chats: &[ChatId]) -> Result<(), Error> {
        const POSTGRES: &str =
            "DELETE FROM customer_chat WHERE customer_id = $1 AND chat_id = ANY($2)";
        const SQLITE: &str = "DELETE FROM customer_chat WHERE customer_id = $1 \
                              AND chat_id IN (SELECT value FROM json_each($2))";
        on!(tx &mut self.0, [POSTGRES, SQLITE], |sql, db| query(sql)
            .bind(user)
            .bind(List(chats))
            .execute(db)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Deletes the user. Memberships and sessions are deleted by cascade.
    async fn delete_user(&mut self, user: UserId) -> Result<(), Error> {
        const SQL: &str = "DELETE FROM customer WHERE customer_id = $1";
        on!(tx &mut self.0, |db| query(SQL).bind(user).execute(db).await.map(drop))?;
        Ok(())
    }
}

/// Removes the authors of messages.
async fn anonymize(
    tx: &mut DatabaseTransaction,
    messages: &[(ChatId, MessageId)],
) -> sqlx::Result<()> {
    const POSTGRES: &str = "UPDATE message AS m SET customer_id = NULL \
        FROM unnest($1::bigint[], $2::bigint[]) AS r (chat, id) \
        WHERE m.chat_id = r.chat AND m.message_id = r.id";
    const SQLITE: &str = "UPDATE message SET customer_id = NULL FROM json_each($1) AS r \
        WHERE message_id = r.value ->> 1 AND chat_id = r.value ->> 0";
    match tx {
        DatabaseTransaction::Postgres(tx) => {
            let query = query(POSTGRES).bind(column(messages, |(chat, _)| chat.0));
            let query = query.bind(column(messages, |(_, id)| id.0));
            query.execute(&mut **tx).await.map(drop)
        }
        DatabaseTransaction::Sqlite(tx) => {
            let rows = json(messages, |(chat, id)| (chat.0, id.0));
            query(SQLITE).bind(rows).execute(&mut **tx).await.map(drop)
        }
    }
}

/// Stores tombstones, without text and author.
async fn bury(
    tx: &mut DatabaseTransaction,
    tombstones: &[Tombstone],
    user: UserId,
    now: Timestamp,
) -> sqlx::Result<()> {
    const POSTGRES: &str = "UPDATE message AS m SET content = NULL, customer_id = NULL, \
            deleted_by = $1, deleted_at = $2, seq = r.seq \
        FROM unnest($3::bigint[], $4::bigint[], $5::bigint[]) AS r (chat, id, seq) \
        WHERE m.chat_id = r.chat AND m.message_id = r.id";
    const SQLITE: &str = "UPDATE message SET content = NULL, customer_id = NULL, \
            deleted_by = $1, deleted_at = $2, seq = r.value ->> 2 \
        FROM json_each($3) AS r \
        WHERE message_id = r.value ->> 1 AND chat_id = r.value ->> 0";
    match tx {
        DatabaseTransaction::Postgres(tx) => {
            let query = query(POSTGRES).bind(user).bind(now);
            let query = query.bind(column(tombstones, |t| t.chat_id.0));
            let query = query.bind(column(tombstones, |t| t.message_id.0));
            let query = query.bind(column(tombstones, |t| t.seq.0));
            query.execute(&mut **tx).await.map(drop)
        }
        DatabaseTransaction::Sqlite(tx) => {
            let rows = json(tombstones, |t| (t.chat_id.0, t.message_id.0, t.seq.0));
            let query = query(SQLITE).bind(user).bind(now).bind(rows);
            query.execute(&mut **tx).await.map(drop)
        }
    }
}
