//! Checks users, chats and memberships like messages. An acknowledged operation must be stored at the
//! end, and a refused one must not. An operation in doubt may be stored or not.

mod admin;
mod book;
mod look;
mod register;

use crate::{
    phase::Phase,
    record::Violation,
    rest::{Reply, Rest},
};
use admin::Admin;
use book::Book;
use reqwest::Method;
use tokio::{sync::watch, task::JoinSet};

pub use book::Counts;

/// Starts this many admins, which work until the era ends.
pub fn start(
    admins: u32,
    era: u32,
    rest: &Rest,
    rng: &mut fastrand::Rng,
    phase: &watch::Receiver<Phase>,
) -> JoinSet<Book> {
    let mut working = JoinSet::new();
    for admin in 0..admins {
        let admin = Admin {
            rest: rest.clone(),
            rng: rng.fork(),
            phase: phase.clone(),
            book: Book {
                admin,
                era,
                ..Book::default()
            },
            next: 0,
        };
        working.spawn(admin.run());
    }
    working
}

/// Compares the admins' books with the stored data, after the last fault.
pub async fn check(
    rest: &Rest,
    working: JoinSet<Book>,
) -> Result<(Counts, Vec<Violation>), String> {
    let mut books = working.join_all().await;
    books.sort_by_key(|book| book.admin);
    let mut violations = look::all(&mut books, "user", &look::users(rest).await?);
    violations.extend(look::all(&mut books, "chat", &look::chats(rest).await?));
    let mut counts = Counts::default();
    for book in &mut books {
        let chats: Vec<i64> = book.chats.known.keys().copied().collect();
        for chat in chats {
            let path = format!("/user/chat/{chat}?limit=1000");
            match rest.call(Method::GET, &path, None).await {
                Reply::Done(_, listed) => look::members(book, chat, &listed),
                // A missing chat was judged already, by its name.
                Reply::Refused { code, .. } if code == "chat_not_found" => {}
                reply => return Err(format!("{path} cannot be read: {reply:?}")),
            }
        }
        counts.add(&book.counts);
        violations.append(&mut book.violations);
    }
    Ok((counts, violations))
}
