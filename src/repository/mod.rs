//! All the SQL: one cloneable struct per aggregate around the store. A query is written once and
//! runs on both databases; what differs stands in `dialect`.

mod archive;
mod burial;
mod chat;
mod dialect;
mod epoch;
mod health;
mod log;
mod lone;
mod member;
mod message;
mod portion;
mod position;
mod roster;
mod sample;
mod session;
mod skeleton;
mod sweep;
mod takeover;
mod time;
mod totals;
mod user;

pub use archive::{
    ChatRecord, Counts, Kind, LastIds, MemberRecord, MessageRecord, Record, Restore, SessionRecord,
    Snapshot, UserRecord,
};
pub use burial::{Burial, Tombstone};
pub use chat::ChatRepository;
pub use epoch::{EpochRepository, LogState};
pub use health::HealthRepository;
pub use log::{Keyed, LogRepository, LogTransaction, NewMessage, Person};
pub use lone::{Attempt, LoneMessage};
pub use member::{ChatPosition, ListedChat, MemberRepository, Standing};
pub use message::{Found, Head, Located, MessageRepository};
pub use portion::{Most, Portion};
pub use position::{Mark, Moved, Position, PositionRepository};
pub use roster::{Roster, RosterRepository};
pub use sample::SampleRepository;
pub use session::{Begun, Living, NewSession, SessionRepository};
pub use skeleton::SkeletonRepository;
pub use sweep::{SweepRepository, Tenure};
pub use takeover::{PlainPassword, TakeoverRepository};
pub use totals::{Totals, TotalsRepository};
pub use user::{Credentials, Updated, UserRepository};
