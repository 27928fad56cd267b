//! Exclusive changes: those of memberships and of chats, and the deletion of a user. The worker gives each its own
//! transaction, and publishes it before it commits the next change.

use super::{
    Change, Outcome, access,
    writer::{COMMIT_LIMIT, Worker},
};
use crate::{
    auth::Caller,
    error::{Code, Error, catch_panic},
    hub::Event,
    model::{ChatChange, ChatId, ChatUpdate, MemberChange, Role, Seq, Timestamp, UserId},
    protocol::Frame,
    repository::{DeletionCursor, DeletionStep, SetMember, Tombstone},
};
use std::collections::BTreeMap;
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
            Change::Join { pairs } => self.join(pairs).await,
            Change::SetMember {
                caller,
                user,
                chat,
                role,
                most,
            } => self.set_member(*caller, (*user, *chat), *role, *most).await,
            Change::AppointEldest { chat } => self.appoint_eldest(*chat).await,
            Change::UpdateChat {
                caller,
                chat,
                update,
            } => self.update_chat(*caller, *chat, update).await,
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
            members,
            left,
            next,
        }) = step
        else {
            // An earlier deletion, in doubt at the time, may have deleted the user and left the sockets open.
            self.hub.end_user(user);
            return Err(Error::user_not_found(user));
        };
        let tombstones = tombstones.iter().map(|t: &Tombstone| {
            let frame = Frame::tombstoned(t.chat_id, t.message_id, t.seq, user);
            (t.chat_id, t.seq, frame)
        });
        for chat in left {
            self.hub.publish(chat, Event::Removed(user));
        }
        self.publish_frames(tombstones.chain(members.iter().map(member_frame)));
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

    /// Makes users participants of chats.
    async fn join(&self, pairs: &[(UserId, ChatId)]) -> Result<Outcome, Error> {
        let joined = settled(self.database.members().join(pairs)).await?;
        self.publish_frames(joined.iter().map(member_frame));
        Ok(Outcome::Joined)
    }

    /// Makes a user a member or changes the role of a member, if the caller may administer the chat. Where nothing
    /// changes, no number is taken.
    async fn set_member(
        &self,
        caller: Caller,
        (user, chat): (UserId, ChatId),
        role: Option<Role>,
        most: Option<u32>,
    ) -> Result<Outcome, Error> {
        let setting = async {
            let mut locked_chat = self.database.chats().lock(chat).await?;
            access::may_appoint(caller, user, role, chat, &mut locked_chat).await?;
            let set = locked_chat.set_member(user, role, caller.user()).await?;
            let set = set.ok_or_else(|| Error::member_not_found(user, chat))?;
            if set.is_new {
                locked_chat.hold_to(most, user).await?;
            }
            #[cfg(feature = "planted-faults")]
            forget(&mut locked_chat, set.change.as_ref()).await?;
            locked_chat.commit().await?;
            Ok(set)
        };
        let SetMember {
            member,
            is_new,
            change,
        } = settled(setting).await?;
        self.publish_frames(change.iter().map(member_frame));
        Ok(Outcome::Member(member, is_new))
    }

    /// Makes the member with the earliest join the admin of a chat that has none.
    async fn appoint_eldest(&self, chat: ChatId) -> Result<Outcome, Error> {
        let appointing = async {
            let mut locked_chat = self.database.chats().lock(chat).await?;
            let change = locked_chat.appoint_eldest().await?;
            locked_chat.note_empty(None).await?;
            locked_chat.commit().await?;
            Ok(change)
        };
        let change = settled(appointing).await?;
        self.publish_frames(change.iter().map(member_frame));
        let appointed = change.map(|change| change.member.customer_id);
        Ok(Outcome::Appointed(appointed))
    }

    /// Changes a chat, if the caller may administer it. Where nothing changes, no number is taken.
    async fn update_chat(
        &self,
        caller: Caller,
        chat: ChatId,
        update: &ChatUpdate,
    ) -> Result<Outcome, Error> {
        let updating = async {
            let mut locked_chat = self.database.chats().lock(chat).await?;
            access::may_administer(caller, chat, &mut locked_chat).await?;
            let updated = locked_chat.update(update, caller.user()).await?;
            locked_chat.commit().await?;
            Ok(updated)
        };
        let (updated, change) = settled(updating).await?;
        let frame = |change: &ChatChange| (chat, change.seq, Frame::chat_changed(change));
        self.publish_frames(change.iter().map(frame));
        Ok(Outcome::Chat(Box::new(updated)))
    }

    /// Publishes the frames of committed changes, sorted by chat and number within each chat.
    fn publish_frames(&self, frames: impl Iterator<Item = (ChatId, Seq, Frame)>) {
        let mut chats: BTreeMap<ChatId, Vec<(Seq, Frame)>> = BTreeMap::new();
        for (chat, seq, frame) in frames {
            self.hub.committed(chat, seq);
            chats.entry(chat).or_default().push((seq, frame));
        }
        for (chat, frames) in chats {
            self.hub.publish(chat, Event::Changes(frames.into()));
        }
    }

    /// Ends a membership, if the caller is the member or may administer the chat. The member is told first: no frame of
    /// the chat follows.
    async fn remove_member(
        &self,
        caller: Caller,
        user: UserId,
        chat: ChatId,
    ) -> Result<Outcome, Error> {
        let removing = async {
            let mut locked_chat = self.database.chats().lock(chat).await?;
            access::may_remove(caller, user, chat, &mut locked_chat).await?;
            let change = locked_chat.remove(user, caller.user()).await?;
            let change = change.ok_or_else(|| Error::member_not_found(user, chat))?;
            #[cfg(feature = "planted-faults")]
            forget(&mut locked_chat, Some(&change)).await?;
            locked_chat.commit().await?;
            Ok(change)
        };
        let change = settled(removing).await?;
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::tells_no_removal() {
            self.publish_frames([&change].into_iter().map(member_frame));
            return Ok(Outcome::Deleted);
        }
        self.hub.publish(chat, Event::Removed(user));
        self.publish_frames([&change].into_iter().map(member_frame));
        Ok(Outcome::Deleted)
    }
}

/// Fail point: forgets the row of a numbered change.
#[cfg(feature = "planted-faults")]
async fn forget(
    locked_chat: &mut crate::repository::LockedChat,
    change: Option<&MemberChange>,
) -> Result<(), Error> {
    match change.filter(|_| crate::failpoints::forgets_this_change()) {
        Some(change) => locked_chat.forget_change(change).await,
        None => Ok(()),
    }
}

/// The broadcast of a changed membership, with its chat and number.
fn member_frame(change: &MemberChange) -> (ChatId, Seq, Frame) {
    (change.chat_id, change.seq, Frame::member_changed(change))
}

/// Runs a transaction. If the database becomes unavailable or takes longer than `COMMIT_LIMIT`, the commit is
/// in doubt.
///
/// # Errors
/// The error of the transaction; `unavailable`, with the text for an unknown result, if the commit is in
/// doubt.
async fn settled<T>(transaction: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match time::timeout(COMMIT_LIMIT, catch_panic(transaction)).await {
        // Without the lock of its chat, a transaction has stored nothing.
        Ok(Err(error)) if error.code() == Code::Unavailable && !error.is_locked() => {
            error.log();
            Err(Error::in_doubt())
        }
        Ok(done) => done,
        Err(_) => Err(Error::in_doubt()),
    }
}
