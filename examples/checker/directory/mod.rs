//! Users, chats and memberships as operations that are checked like messages: what was acknowledged
//! is there at the end, what was refused is not, what is in doubt may be either.

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

/// Lets so many admins work until the run is over.
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

/// Holds what the admins know against the store, in peace.
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
                // A chat that is gone has been judged by its name.
                Reply::Refused { code, .. } if code == "chat_not_found" => {}
                reply => return Err(format!("{path} cannot be read: {reply:?}")),
            }
        }
        counts.add(&book.counts);
        violations.append(&mut book.violations);
    }
    Ok((counts, violations))
}
