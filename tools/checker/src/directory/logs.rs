//! Compares the logs of the admins' chats with their members and names. No client is connected to these chats and sends
//! to them, so that only the operations of the admins take numbers.

use super::{compare::Names, model::Model};
use crate::{
    record::{ChatId, Membership, State, Thing},
    rest::{Reply, Rest},
    violation::ViolationKind,
    wire,
};
use reqwest::Method;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// The size of the largest page, in changes.
const PAGE: usize = 1000;

/// Reads the log of a chat and compares it with the listed members and with the chat's name. Its head must be a number
/// of changes that the operations can have made.
pub async fn check(
    rest: &Rest,
    model: &mut Model,
    (chat, chats): (ChatId, &Names),
    listed: &Value,
) -> Result<(), String> {
    let changes = read(rest, chat).await?;
    let (mut things, mut head) = (HashSet::new(), 0);
    let mut members: BTreeMap<i64, Membership> = BTreeMap::new();
    for change in &changes {
        let Some((_, frame)) = wire::change(change).filter(|(of, _)| *of == chat) else {
            let text = format!("chat {chat} lists the change {change}");
            model.report(ViolationKind::Protocol, text);
            continue;
        };
        if frame.seq <= head || !things.insert(frame.thing) {
            let text = format!("chat {chat} lists {change} after {head}");
            model.report(ViolationKind::Order, text);
        }
        head = frame.seq;
        match (frame.thing, frame.state) {
            (Thing::Member(user), State::Member(state, _)) => {
                if state.role.is_some() {
                    members.insert(user, state);
                }
            }
            (Thing::Chat, _) => {
                let told = change["content"]["chatName"].as_str();
                if told != chats.get(&chat).map(String::as_str) {
                    let text = format!(
                        "chat {chat} is {:?}, its log says {told:?}",
                        chats.get(&chat)
                    );
                    model.report(ViolationKind::View, text);
                }
            }
            _ => {
                let text = format!("no operation explains {change} of chat {chat}");
                model.report(ViolationKind::Unexplained, text);
            }
        }
    }
    let listed: BTreeMap<i64, Membership> = (listed.as_array().into_iter().flatten())
        .filter_map(|row| Some((row["customerId"].as_i64()?, wire::membership(row)?)))
        .collect();
    if members != listed {
        let text = format!("chat {chat} has the members {listed:?}, its log says {members:?}");
        model.report(ViolationKind::View, text);
    }
    let (least, most) = model.numbers.get(&chat).copied().unwrap_or_default();
    let kind = match head {
        _ if head < least => ViolationKind::Lost,
        _ if head > most => ViolationKind::Unexplained,
        _ => return Ok(()),
    };
    let text = format!("chat {chat} is at {head}, {least} to {most} changes were made");
    model.report(kind, text);
    Ok(())
}

async fn read(rest: &Rest, chat: ChatId) -> Result<Vec<Value>, String> {
    let mut changes: Vec<Value> = Vec::new();
    loop {
        let since = changes
            .last()
            .map_or(0, |change| change["seq"].as_i64().unwrap_or(i64::MAX));
        let path = format!("/chat/{chat}/change?since={since}&limit={PAGE}");
        match rest.call(Method::GET, &path, None).await {
            Reply::Done(_, Value::Array(page)) if page.is_empty() => return Ok(changes),
            Reply::Done(_, Value::Array(page)) => changes.extend(page),
            reply => return Err(format!("{path} cannot be read: {reply:?}")),
        }
    }
}
