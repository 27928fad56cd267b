//! Compares the stored users, chats and members with an admin's book.

use super::book::{Book, Named, Role, UserId};
use crate::{
    record::{ChatId, Violation},
    rest::{Reply, Rest},
};
use reqwest::Method;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// The size of the largest page, in users or chats.
const PAGE: usize = 1000;

/// All users, or all chats, by id.
pub type Names = BTreeMap<i64, String>;

/// All users.
pub async fn users(rest: &Rest) -> Result<Names, String> {
    list(rest, "/user", "customerId", "username").await
}

/// All chats.
pub async fn chats(rest: &Rest) -> Result<Names, String> {
    list(rest, "/chat", "chatId", "chatName").await
}

async fn list(rest: &Rest, path: &str, id: &str, name: &str) -> Result<Names, String> {
    let mut names = Names::new();
    loop {
        let after = names.last_key_value().map_or(0, |(id, _)| *id);
        let after = match after {
            0 => String::new(),
            after => format!("&after={after}"),
        };
        let page = rest
            .call(Method::GET, &format!("{path}?limit={PAGE}{after}"), None)
            .await;
        let Reply::Done(_, page) = page else {
            return Err(format!("{path} cannot be listed: {page:?}"));
        };
        let page = page.as_array().ok_or("not a page")?;
        if page.is_empty() {
            return Ok(names);
        }
        for row in page {
            let (Some(id), Some(name)) = (row[id].as_i64(), row[name].as_str()) else {
                return Err(format!("{path} lists {row}"));
            };
            names.insert(id, name.to_owned());
        }
    }
}

/// Compares the members of a chat, as listed by the server, with the book.
pub fn members(book: &mut Book, chat: ChatId, listed: &Value) {
    let mut stored: HashMap<UserId, Option<Role>> = HashMap::new();
    for row in listed.as_array().into_iter().flatten() {
        let role = row["role"].as_str().and_then(Role::parse);
        match (row["customerId"].as_i64(), role) {
            (Some(user), Some(role)) => drop(stored.insert(user, Some(role))),
            _ => book.violate("unexplained", format!("chat {chat} has the member {row}")),
        }
    }
    let mut wrong = Vec::new();
    for (&(_, user), register) in book.members.range((chat, 0)..=(chat, UserId::MAX)) {
        let role = stored.remove(&user).flatten();
        if !register.allows(&role) {
            let kind = match role {
                None => "lost",
                Some(_) => "unexplained",
            };
            let text = format!("user {user} in chat {chat} is {role:?}, was told {register:?}");
            wrong.push((kind, text));
        }
    }
    for (user, role) in stored {
        let text = format!("user {user} in chat {chat} is {role:?}, and nobody added it");
        wrong.push(("unexplained", text));
    }
    for (kind, text) in wrong {
        book.violate(kind, text);
    }
}

/// Compares a stored user or chat with the book. `stored` is its name, or `None` if it does not exist.
pub fn one(book: &mut Book, what: &str, id: i64, stored: Option<&str>) {
    let named = match what {
        "user" => &book.users,
        _ => &book.chats,
    };
    let stored = stored.map(ToOwned::to_owned);
    let Some(register) = named.known.get(&id) else {
        return;
    };
    if !register.allows(&stored) {
        let kind = match stored {
            None => "lost",
            Some(_) => "unexplained",
        };
        let text = format!("{what} {id} is {stored:?}, was told {register:?}");
        book.violate(kind, text);
    }
}

/// Compares all stored users or chats with the books of all admins. Acknowledged ones must exist,
/// refused ones must not. No other user or chat may have a name of an admin. No id may be given twice.
pub fn all(books: &mut [Book], what: &'static str, stored: &Names) -> Vec<Violation> {
    let named = |book: &Book| -> Named {
        match what {
            "user" => book.users.clone(),
            _ => book.chats.clone(),
        }
    };
    let mut violations = Vec::new();
    let mut given: HashMap<i64, String> = HashMap::new();
    for book in books {
        let known = named(book);
        for id in known.known.keys() {
            one(book, what, *id, stored.get(id).map(String::as_str));
        }
        for (id, name) in known.given {
            if let Some(other) = given.insert(id, name.clone()) {
                let text = format!("{what} {id} was given to {other:?} and to {name:?}");
                violations.push(Violation::new("reused", text));
            }
        }
        let prefix = book.prefix();
        for (id, name) in stored.iter().filter(|(_, name)| name.starts_with(&prefix)) {
            let why = match known.known.contains_key(id) || known.doubtful.contains(name) {
                _ if known.refused.contains(name) => "its name was refused",
                true => continue,
                false => "no operation explains it",
            };
            book.violate("unexplained", format!("{what} {id} {name:?}: {why}"));
        }
    }
    violations
}
