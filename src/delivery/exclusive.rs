//! Exclusive changes: the deletion of a user or of a chat, and the removal of a member. The worker gives each
//! its own transaction, and publishes it before it commits the next change.

use super::{
    Change, Outcome, access,
    writer::{COMMIT_LIMIT, Worker},
};
use crate::{
    auth::Caller,
    error::{Code, Error, catch_panic},
    hub::Event,
    model::{ChatId, Timestamp, UserId},
    protocol::Frame,
    repository::{DeletionCursor, DeletionStep, Tombstone},
};
use tokio::time;

impl Worker {
    /// Commits and publishes an exclusive change. `unavailable` for any other change, which belongs in a
    /// batch.
    pub(super) async fn exclusive(&mut self, change: &Change) -> Result<Outcome, Error> {
        match change {
            Change::DeleteUser {
                caller,
                user,
                after,
            } => self.delete_user(*caller, *user, *after).await,
            Change::DeleteChat { caller, chat } => self.delete_chat(*caller, *chat).await,
            Change::RemoveMember { caller, user, chat } => {
                self.remove_member(*caller, *user, *chat).await
            }
            Change::Send { .. } | Change::Edit { .. } | Change::Delete { .. } => {
                Err(Error::unavailable())
            }
        }
    }

    /// Deletes the next of a user's messages, then memberships, and at last the user. Closes the user's sockets on
    /// all nodes once the user is deleted.
    async fn delete_user(
        &self,
        caller: Caller,
        user: UserId,
        after: DeletionCursor,
    ) -> Result<Outcome, Error> {
        let delete_empty_chats = caller.members_only();
        let log = self.database.message_log();
        let deleting = log.delete_user(user, Timestamp::now(), delete_empty_chats, after);
        let step = settled(deleting).await?;
        let Some(DeletionStep {
            tombstones,
            left,
            next,
        }) = step
        else {
            // An earlier deletion, in doubt at the time, may have deleted the user and left the sockets open.
            self.hub.end_user(user);
            return Err(Error::user_not_found(user));
        };
        for chat in tombstones.chunk_by(|a, b| a.chat_id == b.chat_id) {
            let frame = |t: &Tombstone| {
                (
                    t.seq,
                    Frame::tombstoned(t.chat_id, t.message_id, t.seq, user),
                )
            };
            if let Some(last) = chat.last() {
                self.hub.committed(last.chat_id, last.seq);
            }
            if let Some(first) = chat.first() {
                self.hub.publish(
                    first.chat_id,
                    Event::Changes(chat.iter().map(frame).collect()),
                );
            }
        }
        for chat in left {
            self.hub.publish(chat, Event::Removed(user));
        }
        if let Some(next) = next {
            return Ok(Outcome::Incomplete(next));
        }
        self.hub.end_user(user);
        Ok(Outcome::Deleted)
    }

    /// Deletes a chat, if the caller may administer it.
    async fn delete_chat(&self, caller: Caller, chat: ChatId) -> Result<Outcome, Error> {
        let deleting = async {
            let mut locked_chat = self.database.chats().lock(chat).await?;
            access::may_administer(caller, chat, &mut locked_chat).await?;
            if !locked_chat.delete().await? {
                return Err(Error::chat_not_found(chat));
            }
            locked_chat.commit().await
        };
        settled(deleting).await?;
        self.hub.publish(chat, Event::Closed);
        Ok(Outcome::Deleted)
    }

    /// Ends a membership, if the caller is the member or may administer the chat.
    async fn remove_member(
        &self,
        caller: Caller,
        user: UserId,
        chat: ChatId,
    ) -> Result<Outcome, Error> {
        let removing = async {
            let mut locked_chat = self.database.chats().lock(chat).await?;
            access::may_remove(caller, user, chat, &mut locked_chat).await?;
            if !locked_chat.remove(user).await? {
                return Err(Error::member_not_found(user, chat));
            }
            locked_chat.commit().await
        };
        settled(removing).await?;
        self.hub.publish(chat, Event::Removed(user));
        Ok(Outcome::Deleted)
    }
}

/// Runs a transaction. If the database becomes unavailable or takes longer than `COMMIT_LIMIT`, the commit is
/// in doubt.
///
/// # Errors
/// The error of the transaction; `unavailable`, with the text for an unknown result, if the commit is in
/// doubt.
async fn settled<T>(transaction: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match time::timeout(COMMIT_LIMIT, catch_panic(transaction)).await {
        Ok(Err(error)) if error.code() == Code::Unavailable => {
            error.log();
            Err(Error::in_doubt())
        }
        Ok(done) => done,
        Err(_) => Err(Error::in_doubt()),
    }
}
