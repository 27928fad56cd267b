//! A batch of nothing but new messages, where the store can take it in one statement: the road of
//! most changes, and the shortest. Whatever does not fit takes the long one, which decides the same.

use super::{
    batch::Outcome,
    change::{Answer, Change},
};
use crate::{
    error::Error,
    model::{ChatId, ClientMessageId, Message, MessageId, Timestamp, UserId},
    protocol,
    repository::{Draft, Judged, LogRepository},
};
use std::collections::HashSet;

/// What became of a batch on the short road.
pub(super) enum Appended {
    /// Stored and committed.
    Done(Outcome),
    /// Not for this road, or refused whole by the tables: nothing was stored.
    Unfit,
    /// The store is away; nobody knows whether it was stored.
    Unknown(Error),
}

/// The changes as drafts; none where one is something else than a plain new message.
fn drafts(changes: &[Change]) -> Option<Vec<Draft<'_>>> {
    let mut keys: HashSet<(ChatId, UserId, &ClientMessageId)> = HashSet::new();
    changes
        .iter()
        .map(|change| match change {
            Change::Send {
                caller,
                author,
                chat,
                content,
                key,
                reply_to: None,
            } => {
                let key = key.as_ref();
                let unique = key.is_none_or(|key| keys.insert((*chat, *author, key)));
                let members_only = caller.members_only();
                unique.then_some(Draft {
                    chat: *chat,
                    author: *author,
                    members_only,
                    content,
                    key,
                })
            }
            _ => None,
        })
        .collect()
}

/// Stores the changes, if they fit.
pub(super) async fn append(log: &LogRepository, changes: &[Change]) -> Appended {
    let Some(drafts) = drafts(changes) else {
        return Appended::Unfit;
    };
    let now = Timestamp::now();
    let judged = match log.append(&drafts, now).await {
        Ok(Some(judged)) => judged,
        Ok(None) => return Appended::Unfit,
        Err(error) => return Appended::Unknown(error),
    };
    let known: Vec<MessageId> = judged.iter().filter_map(|judged| judged.known).collect();
    let known = match known.is_empty() {
        true => Ok(Vec::new()),
        false => log.messages(&known).await,
    };
    let mut outcome = Outcome {
        answers: Vec::with_capacity(drafts.len()),
        news: Vec::new(),
    };
    for (draft, judged) in drafts.iter().zip(judged) {
        outcome.answers.push(match judged.known {
            Some(id) => repeated(&known, id),
            None => new_message(draft, judged, now).map(|message| {
                outcome.news.push((protocol::Change::Sent, message.clone()));
                Answer::Message(Box::new(message))
            }),
        });
    }
    Appended::Done(outcome)
}

/// A repeated send is answered with the stored message in its present state.
fn repeated(known: &Result<Vec<Message>, Error>, id: MessageId) -> Result<Answer, Error> {
    let messages = known.as_ref().map_err(|_| Error::in_doubt())?;
    let message = messages.iter().find(|message| message.message_id == id);
    let message = message.ok_or_else(|| Error::message_not_found(id))?;
    Ok(Answer::Repeated(Box::new(message.clone())))
}

/// The new message, or why the draft was refused.
fn new_message(draft: &Draft<'_>, judged: Judged, now: Timestamp) -> Result<Message, Error> {
    if !judged.chat_exists {
        return Err(Error::chat_not_found(draft.chat));
    }
    let username = judged
        .username
        .ok_or_else(|| Error::user_not_found(draft.author))?;
    if draft.members_only && !judged.is_member {
        return Err(Error::chat_not_found(draft.chat));
    }
    let (Some(message_id), Some(seq)) = (judged.message_id, judged.seq) else {
        return Err(Error::internal("an admitted draft was not stored"));
    };
    Ok(Message {
        message_id,
        chat_id: draft.chat,
        customer_id: Some(draft.author),
        username: Some(username),
        content: Some(draft.content.as_str().to_owned()),
        seq,
        sent_at: now,
        edited_at: None,
        deleted_at: None,
        reply_to: None,
        client_message_id: draft.key.map(|key| key.as_str().to_owned()),
        sent_seq: seq,
        deleted_by: None,
    })
}
