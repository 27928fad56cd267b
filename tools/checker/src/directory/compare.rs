//! Compares the stored users, chats and members with an admin's model.

use super::model::{Model, Named, Role, UserId};
use crate::{
    record::ChatId,
    rest::{Reply, Rest},
    violation::{Violation, ViolationKind},
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

/// Compares the members of a chat, as listed by the server, with the model.
pub fn members(model: &mut Model, chat: ChatId, listed: &Value) {
    let mut stored: HashMap<UserId, Option<Role>> = HashMap::new();
    for row in listed.as_array().into_iter().flatten() {
        let role = row["role"].as_str().and_then(Role::parse);
        match (row["customerId"].as_i64(), role) {
            (Some(user), Some(role)) => drop(stored.insert(user, Some(role))),
            _ => model.report(
                ViolationKind::Unexplained,
                format!("chat {chat} has the member {row}"),
            ),
        }
    }
    let mut wrong = Vec::new();
    for (&(_, user), register) in model.members.range((chat, 0)..=(chat, UserId::MAX)) {
        let role = stored.remove(&user).flatten();
        if !register.allows(&role) {
            let kind = match role.is_none() || register.was(|earlier| *earlier == role) {
                true => ViolationKind::Lost,
                false => ViolationKind::Unexplained,
            };
            let text = format!("user {user} in chat {chat} is {role:?}, was told {register:?}");
            wrong.push((kind, text));
        }
    }
    for (user, role) in stored {
        let text = format!("user {user} in chat {chat} is {role:?}, and no operation added it");
        wrong.push((ViolationKind::Unexplained, text));
    }
    for (kind, text) in wrong {
        model.report(kind, text);
    }
}

/// Compares a stored user or chat with the model. `stored` is its name, or `None` if it does not exist.
pub fn entry(model: &mut Model, what: &str, id: i64, stored: Option<&str>) {
    let named = match what {
        "user" => &model.users,
        _ => &model.chats,
    };
    let stored = stored.map(ToOwned::to_owned);
    let Some(register) = named.known.get(&id) else {
        return;
    };
    if !register.allows(&stored) {
        let kind = match stored.is_none() || register.was(|earlier| *earlier == stored) {
            true => ViolationKind::Lost,
            false => ViolationKind::Unexplained,
        };
        let text = format!("{what} {id} is {stored:?}, was told {register:?}");
        model.report(kind, text);
    }
}

/// Compares all stored users or chats with the models of all admins. Acknowledged ones must exist,
/// refused ones must not. No other user or chat may have a name of an admin. No id may be given twice.
pub fn all(models: &mut [Model], what: &'static str, stored: &Names) -> Vec<Violation> {
    let named = |model: &Model| -> Named {
        match what {
            "user" => model.users.clone(),
            _ => model.chats.clone(),
        }
    };
    let mut violations = Vec::new();
    let mut given: HashMap<i64, String> = HashMap::new();
    for model in models {
        let known = named(model);
        for id in known.known.keys() {
            entry(model, what, *id, stored.get(id).map(String::as_str));
        }
        for (id, name) in known.given {
            if let Some(other) = given.insert(id, name.clone()) {
                let text = format!("{what} {id} was given to {other:?} and to {name:?}");
                violations.push(Violation::new(ViolationKind::Reused, text));
            }
        }
        let prefix = model.prefix();
        for (id, name) in stored.iter().filter(|(_, name)| name.starts_with(&prefix)) {
            let why = match known.known.contains_key(id) || known.in_doubt.contains(name) {
                _ if known.refused.contains(name) => "its name was refused",
                true => continue,
                false => "no operation explains it",
            };
            model.report(
                ViolationKind::Unexplained,
                format!("{what} {id} {name:?}: {why}"),
            );
        }
    }
    violations
}
