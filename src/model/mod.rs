//! Domain types: users, chats, messages and their parts. Their constructors check the limits, so the rest of
//! the code handles valid values only.

mod change;
mod characters;
mod chat;
mod data;
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

pub use change::{ChatChange, EntryId, LogEntry, MemberChange, MemberState};
pub use chat::{Access, Chat, ChatMember, ChatUpdate, Member, NewChat, Role, UserChat};
pub use data::Data;
pub use epoch::{Epoch, Since};
pub use id::{ChatId, MessageId, Seq, SessionId, UserId};
pub use message::{Message, NewMessage};
pub(crate) use search::mix;
pub use search::{SearchText, grams_of};
pub use skeleton::{Skeletons, SoughtName};
pub use text::{
    CONTENT_BYTES, ChatName, ClientMessageId, Content, PLAIN_MARK, Password, Topic, Username,
};
pub use timestamp::Timestamp;
pub use user::{Session, User};
