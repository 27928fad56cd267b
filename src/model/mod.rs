//! What the service is about, as types that cannot hold a wrong value.

mod characters;
mod chat;
mod epoch;
mod fold;
mod id;
mod member;
mod message;
#[cfg(test)]
mod properties;
mod schema;
mod search;
mod session;
mod skeleton;
mod text;
mod time;
mod user;

pub use chat::Chat;
pub use epoch::{Epoch, Since};
pub use id::{ChatId, MessageId, Seq, SessionId, UserId};
pub use member::{Access, ChatMember, Member, Role, UserChat};
pub use message::Message;
pub use search::SearchText;
pub use session::Session;
pub use skeleton::{Skeletons, SoughtName};
pub use text::{ChatName, ClientMessageId, Content, PLAIN_MARK, Password, Username};
pub use time::Timestamp;
pub use user::User;
