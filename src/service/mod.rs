//! The services: the rules of the domain between the HTTP and WebSocket handlers and the repositories, and
//! the background tasks that maintain the data.

mod admin_succession;
mod chat;
mod health;
mod janitor;
mod large_deletion;
mod last_message_backfill;
mod legacy_passwords;
mod login;
mod member;
mod message;
mod page_reads;
mod pagination;
mod read_receipt;
mod search_index;
mod session;
mod skeleton_backfill;
mod startup;
mod totals;
mod user;

pub use admin_succession::AdminSuccession;
pub use chat::{ChatCursor, ChatPage, ChatService};
pub use health::HealthService;
pub use janitor::{ChatPurger, Deletions, SessionJanitor, SessionTtl};
pub use large_deletion::LargeDeletions;
pub use last_message_backfill::LastMessageBackfill;
pub use legacy_passwords::LegacyPasswords;
pub(crate) use login::of_new_password;
pub use login::{Client, Login, Proofs};
pub use member::{MemberService, Membership};
pub use message::MessageService;
pub use page_reads::{PageRead, PageReads};
pub use pagination::{BackPage, Limit, Page};
pub use read_receipt::{PendingReceipt, ReadReceiptService};
pub use search_index::SearchIndexer;
pub use session::{Identity, SessionService};
pub use skeleton_backfill::SkeletonBackfill;
pub use startup::{fill_first_skeletons, fill_sample};
pub use totals::TotalsService;
pub use user::{UserChange, UserDeletion, UserService};
