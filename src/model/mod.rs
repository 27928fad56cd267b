//! What the service is about, as types that cannot hold a wrong value.

mod characters;
mod chat;
mod epoch;
mod id;
mod message;
#[cfg(test)]
mod properties;
mod search;
mod skeleton;
mod text;
mod timestamp;
mod user;

pub use chat::{Access, Chat, ChatMember, Member, Role, UserChat};
pub use epoch::{Epoch, Since};
pub use id::{ChatId, MessageId, Seq, SessionId, UserId};
pub use message::Message;
pub use search::SearchText;
pub use skeleton::{Skeletons, SoughtName};
pub use text::{ChatName, ClientMessageId, Content, PLAIN_MARK, Password, Username};
pub use timestamp::Timestamp;
pub use user::{Session, User};
