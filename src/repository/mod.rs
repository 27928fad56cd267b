//! SQL access to the database: one cloneable repository struct per aggregate. Most queries are written once
//! and run on both Postgres and SQLite. A statement that differs has one constant per database, side by side.
//! The module `list` binds lists of rows for both.

mod backup;
mod backup_row;
mod chat;
mod chat_purge;
mod column;
mod epoch;
mod list;
mod lock;
mod member;
mod message;
mod message_log;
mod read_position;
mod row;
mod session;
mod setup;
mod single_send;
mod skeleton;
mod time;
mod totals;
mod user;
mod user_deletion;

pub use backup::{Counts, LastIds, Restore, Snapshot};
pub use backup_row::{
    ChatRecord, Kind, MemberRecord, MessageRecord, Record, SessionRecord, UserRecord,
};
pub use chat::{ChatRepository, LockedChat, LockedChatRepository};
pub use chat_purge::{AdminTenure, ChatPurgeRepository};
pub use epoch::{EpochRepository, LogState};
pub use member::{ChatPosition, ListedChat, MemberRepository, MembershipStatus};
pub use message::{Found, Head, Located, MessagePage, MessageRepository, PageLimit};
pub use message_log::{Author, IdempotencyKey, MessageLogRepository, MessageLogTransaction};
pub use read_position::{MovedPosition, Position, ReadMark, ReadPositionRepository};
pub use session::{Begun, NewSession, SessionCutoff, SessionRepository};
pub use setup::{DemoDataRepository, LegacyPassword, LegacyPasswordRepository};
pub use single_send::CommitError;
pub use skeleton::SkeletonRepository;
pub use totals::{Totals, TotalsRepository};
pub use user::{Credentials, Updated, UserRepository};
pub use user_deletion::{DeletionStep, Tombstone};
