//! The rules: who may do what, and in which order things happen.

mod chat;
mod chat_list;
mod comparer;
mod contained;
mod feed;
mod health;
mod login;
mod member;
mod message;
mod page;
mod permission;
mod read;
mod session;
mod session_keeper;
mod standings;
mod start;
mod sweeper;
mod together;
mod user;
mod writer;

pub use chat::ChatService;
pub use comparer::{Comparer, ComparerParts};
pub use feed::{Arrival, Delivery, Feed, Feeds, Opened};
pub use health::HealthService;
pub use login::{Client, Login};
pub use member::{Connected, MemberParts, MemberService, Seated};
pub use message::{MessageService, Post};
pub use page::{Limit, Page};
pub use read::{Marking, ReadService};
pub use session::{Identity, SessionParts, SessionService};
pub use session_keeper::{Lifetimes, SessionKeeper};
pub use standings::Standings;
pub use start::Start;
pub use sweeper::Sweeper;
pub use user::{UserChange, UserService};
pub use writer::{Answer, Pending, Which, Writer};
