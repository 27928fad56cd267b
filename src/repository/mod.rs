//! All the SQL: one cloneable struct per aggregate around the store. A query is written once and
//! runs on both databases; what differs stands in `dialect`.

mod chat;
mod dialect;
mod health;
mod log;
mod member;
mod message;
mod sample;
mod takeover;
mod user;

pub use chat::ChatRepository;
pub use health::HealthRepository;
pub use log::{Burial, Keyed, LogRepository, LogTransaction, NewMessage, Person, Tombstone};
pub use member::{ListedChat, MemberRepository, Standing};
pub use message::{Head, MessageRepository};
pub use sample::SampleRepository;
pub use takeover::TakeoverRepository;
pub use user::UserRepository;
