//! The rules: who may do what, and in which order things happen.

mod chat;
mod feed;
mod health;
mod member;
mod message;
mod page;
mod standings;
mod start;
mod user;
mod writer;

pub use chat::ChatService;
pub use feed::{Arrival, Delivery, Feed, Feeds, Opened};
pub use health::HealthService;
pub use member::{Connected, MemberService, Seated};
pub use message::{MessageService, Post};
pub use page::{Limit, Page};
pub use standings::Standings;
pub use start::Start;
pub use user::UserService;
pub use writer::{Answer, Pending, Which, Writer};
