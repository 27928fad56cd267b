//! SQL access to the database: one view of `Database` per aggregate, such as `database.users()`. Most queries are
//! written once and run on both Postgres and SQLite. A statement that differs has one constant per database,
//! side by side. The module `list` binds lists of rows for both.
//!
//! A page of many rows, or a bounded count of them, begins at a key: `WHERE chat_id <= $1 AND (chat_id, seq) > ($1, $2)
//! ORDER BY chat_id, seq LIMIT $3`, and not `WHERE chat_id = $1 AND seq > $2 ORDER BY seq`. Both have one result. With
//! the equality, Postgres trusts its estimate for the chat: it takes another index that has the order, or reads and
//! sorts all rows of the chat, and either is a walk where one chat has most of the messages. With the key, only the
//! index on both columns has the order, and Postgres expects too many rows to sort them.

mod backup;
mod backup_row;
mod change;
mod chat;
mod chat_purge;
mod column;
mod epoch;
mod heads;
mod large_deletion;
mod last_message;
mod list;
mod lock;
mod locked_chat;
mod member;
mod message;
mod message_log;
mod page;
mod read_position;
mod row;
mod search;
mod search_index;
mod search_purge;
mod search_tokens;
mod session;
mod setup;
mod single_send;
mod skeleton;
mod time;
mod totals;
mod user;
mod user_deletion;

use crate::database::Database;

pub use backup::{Counts, LastIds, Restore, Snapshot};
pub use backup_row::{
    ChatRecord, Kind, MemberChangeRecord, MemberRecord, MessageRecord, Record, SessionRecord,
    UserRecord,
};
pub use change::ChangeRepository;
pub use chat::ChatRepository;
pub use chat_purge::{AdminTenure, ChatPurgeRepository};
pub use epoch::{EpochRepository, LogState};
pub use heads::Heads;
pub use large_deletion::{LargeDeletion, LargeDeletionRepository};
pub use last_message::LastMessageRepository;
pub use locked_chat::{LockedChat, SetMember};
pub use member::{ChatPosition, ListedChat, MemberRepository, MembershipStatus};
pub use message::{Head, Located, MessageRepository};
pub use message_log::{Author, IdempotencyKey, MessageLogRepository, MessageLogTransaction};
pub use page::{PageLimit, TextPage};
pub use read_position::{MovedPosition, Position, ReadMark, ReadPositionRepository};
pub use search::{Found, SearchRepository};
pub use search_index::{ComparedPositions, IndexStep, MAX_INDEXED_CHATS, SearchIndexRepository};
pub use search_purge::SearchPurgeRepository;
pub use session::{Begun, NewSession, SessionCutoff, SessionRepository};
pub use setup::{DemoDataRepository, LegacyPassword, LegacyPasswordRepository};
pub use single_send::{CommitError, SingleSender};
pub use skeleton::SkeletonRepository;
pub use totals::{Totals, TotalsRepository};
pub use user::{StoredCredentials, Updated, UserRepository};
pub use user_deletion::{DeletionCursor, DeletionStep, Tombstone};

/// The views of a database. A view borrows the handle, so that it costs nothing to make.
impl Database {
    /// Users.
    #[must_use]
    pub fn users(&self) -> UserRepository<'_> {
        UserRepository(self)
    }

    /// Chats, without their members and messages.
    #[must_use]
    pub fn chats(&self) -> ChatRepository<'_> {
        ChatRepository(self)
    }

    /// Memberships, and the chat list of each user.
    #[must_use]
    pub fn members(&self) -> MemberRepository<'_> {
        MemberRepository(self)
    }

    /// The latest message that each chat keeps.
    #[must_use]
    pub fn last_messages(&self) -> LastMessageRepository<'_> {
        LastMessageRepository(self)
    }

    /// Messages, for reading.
    #[must_use]
    pub fn messages(&self) -> MessageRepository<'_> {
        MessageRepository(self)
    }

    /// The logs of chats, for reading.
    #[must_use]
    pub fn changes(&self) -> ChangeRepository<'_> {
        ChangeRepository(self)
    }

    /// Search in a chat.
    #[must_use]
    pub fn search(&self) -> SearchRepository<'_> {
        SearchRepository(self)
    }

    /// What the search index has of chats that do not exist any more.
    #[must_use]
    pub fn search_purge(&self) -> SearchPurgeRepository<'_> {
        SearchPurgeRepository(self)
    }

    /// The search index, for the task that fills it.
    #[must_use]
    pub fn search_index(&self) -> SearchIndexRepository<'_> {
        SearchIndexRepository(self)
    }

    /// The message log, through which messages are written.
    #[must_use]
    pub fn message_log(&self) -> MessageLogRepository<'_> {
        MessageLogRepository(self)
    }

    /// How far members have read.
    #[must_use]
    pub fn read_positions(&self) -> ReadPositionRepository<'_> {
        ReadPositionRepository(self)
    }

    /// Login sessions.
    #[must_use]
    pub fn sessions(&self) -> SessionRepository<'_> {
        SessionRepository(self)
    }

    /// The epoch and the mark of the log.
    #[must_use]
    pub fn epoch(&self) -> EpochRepository<'_> {
        EpochRepository(self)
    }

    /// Deleted chats, and chats without an admin or a member.
    #[must_use]
    pub fn chat_purge(&self) -> ChatPurgeRepository<'_> {
        ChatPurgeRepository(self)
    }

    /// Deletions of users with very many messages.
    #[must_use]
    pub fn large_deletions(&self) -> LargeDeletionRepository<'_> {
        LargeDeletionRepository(self)
    }

    /// Missing skeletons of usernames.
    #[must_use]
    pub fn skeletons(&self) -> SkeletonRepository<'_> {
        SkeletonRepository(self)
    }

    /// Passwords that are not hashed yet.
    #[must_use]
    pub fn legacy_passwords(&self) -> LegacyPasswordRepository<'_> {
        LegacyPasswordRepository(self)
    }

    /// The demo data of an empty database.
    #[must_use]
    pub fn demo_data(&self) -> DemoDataRepository<'_> {
        DemoDataRepository(self)
    }

    /// Row counts and the size of the database.
    #[must_use]
    pub fn totals(&self) -> TotalsRepository<'_> {
        TotalsRepository(self)
    }
}
