//! All the SQL: one cloneable struct per aggregate around the store. A query is written once and
//! runs on both databases; what differs stands in `dialect`.

mod backup;
mod backup_row;
mod chat;
mod chat_purge;
mod dialect;
mod epoch;
mod lock;
mod member;
mod message;
mod message_log;
mod read_position;
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
pub use chat::{ChatRepository, Roster, RosterRepository};
pub use chat_purge::{SweepRepository, Tenure};
pub use epoch::{EpochRepository, LogState};
pub use member::{ChatPosition, ListedChat, MemberRepository, Standing};
pub use message::{Found, Head, Located, MessageRepository, Most, Portion};
pub use message_log::{Keyed, LogRepository, LogTransaction, NewMessage, Person};
pub use read_position::{Mark, Moved, Position, PositionRepository};
pub use session::{Begun, Living, NewSession, SessionRepository};
pub use setup::{PlainPassword, SampleRepository, TakeoverRepository};
pub use single_send::{Attempt, LoneMessage};
pub use skeleton::SkeletonRepository;
pub use totals::{Totals, TotalsRepository};
pub use user::{Credentials, Updated, UserRepository};
pub use user_deletion::{Burial, Tombstone};
