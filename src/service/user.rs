//! Signing up, changing and deleting users.

use super::{
    janitor::Deletions,
    large_deletion::{Deletion, Pace},
    pagination::{Limit, Page},
    session::close_ended,
};
use crate::{
    auth::{Caller, PasswordHasher},
    database::Database,
    delivery::{Batcher, Writer},
    error::Error,
    hub::Hub,
    model::{Password, SessionId, SoughtName, User, UserId, Username},
    policy,
    repository::Updated,
};
use std::future::Future;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// The rules about users.
#[derive(Clone)]
pub struct UserService {
    database: Database,
    /// Batches the queries of single users.
    found: Batcher<UserId, Option<User>>,
    passwords: PasswordHasher,
    hub: Hub,
    writer: Writer,
    /// Notified of a deleted user: the user's chats may need purging or a new admin.
    deletions: Deletions,
    /// Deletions that go on after their request.
    detached: TaskTracker,
}

/// The state of a deletion when its request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserDeletion {
    /// The user is deleted.
    Done,
    /// The user is signed out, and the deletion goes on in the background.
    Continues,
}

/// A change of a user. An absent field stays as it is.
#[derive(Debug)]
pub struct UserChange {
    /// The new name; null keeps the name.
    pub name: Option<Username>,
    /// The new password; null keeps the password.
    pub password: Option<Password>,
}

impl UserService {
    /// Returns the service and the worker that reads users in batches. The worker ends when the last clone
    /// of the service is dropped.
    pub fn new(
        database: Database,
        passwords: PasswordHasher,
        hub: Hub,
        writer: Writer,
        (deletions, detached): (Deletions, TaskTracker),
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let reader = database.clone();
        let (found, finding) = Batcher::new(move |ids| find(reader.clone(), ids));
        let service = Self {
            database,
            found,
            passwords,
            hub,
            writer,
            deletions,
            detached,
        };
        (service, finding)
    }

    /// Returns the users with ids above `after`, by id.
    pub async fn list(
        &self,
        _caller: Caller,
        after: UserId,
        limit: Limit,
    ) -> Result<Page<User>, Error> {
        Ok(limit.page(self.database.users().list(after, limit.and_one()).await?))
    }

    /// Returns a user by id.
    ///
    /// # Errors
    /// `user_not_found`.
    pub async fn find(&self, _caller: Caller, id: UserId) -> Result<User, Error> {
        let found = self.found.ask(id).await?;
        found.ok_or_else(|| Error::user_not_found(id))
    }

    /// Returns a user by name, in any Unicode normal form.
    ///
    /// # Errors
    /// `user_not_found`.
    pub async fn find_by_name(&self, _caller: Caller, name: &str) -> Result<User, Error> {
        self.database
            .users()
            .find_by_name(&SoughtName::new(name))
            .await?
            .ok_or_else(|| {
                Error::new(
                    crate::error::Code::UserNotFound,
                    format!("No user has the name {name}"),
                )
            })
    }

    /// Signs a user up.
    ///
    /// # Errors
    /// `username_taken`; `invalid_field` if the password breaks the rules; `unavailable` if no hash permit
    /// is free.
    pub async fn create(&self, name: Username, password: Password) -> Result<User, Error> {
        let hash = self.passwords.hash_chosen(password, name.as_str()).await?;
        let user = self.database.users().create(&name, &hash).await?;
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::forgets_this_sign_up() {
            Deletion::new(&self.writer, Caller::Open, user.customer_id, Pace::PROMPT)
                .run()
                .await?;
        }
        Ok(user)
    }

    /// Changes a user. A new password ends the user's sessions except the session `asking`, and closes
    /// their sockets.
    ///
    /// # Errors
    /// `forbidden` if the caller is another user; `user_not_found`, `username_taken`; `invalid_field` if
    /// the password breaks the rules.
    pub async fn update(
        &self,
        caller: Caller,
        asking: Option<SessionId>,
        id: UserId,
        change: UserChange,
    ) -> Result<User, Error> {
        policy::act_as(caller, id)?;
        let UserChange { name, password } = change;
        let hash = match password {
            Some(password) => {
                // Reads the user first, so that no hash is spent on a missing user.
                let present = self.find(caller, id).await?.username;
                let name = name.as_ref().map_or(present.as_str(), Username::as_str);
                Some(self.passwords.hash_chosen(password, name).await?)
            }
            None => None,
        };
        let users = self.database.users();
        let updated = users.update(id, name.as_ref(), hash.as_deref(), asking);
        let Updated {
            user,
            former_name,
            ended,
        } = updated.await?.ok_or_else(|| Error::user_not_found(id))?;
        if user.username != former_name {
            self.hub.rename(id, &former_name, &user.username);
        }
        if hash.is_some() {
            tracing::info!(user = id.0, "password changed");
        }
        close_ended(&self.hub, id, &ended);
        Ok(user)
    }

    /// Deletes a user. Memberships and sessions end, sockets close, and the user's messages become
    /// tombstones that are broadcast to their chats. A user with very many messages is signed out at once and
    /// deleted in the background.
    ///
    /// # Errors
    /// `forbidden` if the caller is another user; `user_not_found`; `unavailable`.
    pub async fn delete(&self, caller: Caller, id: UserId) -> Result<UserDeletion, Error> {
        policy::act_as(caller, id)?;
        let (database, hub) = (self.database.clone(), self.hub.clone());
        let (writer, deletions) = (self.writer.clone(), self.deletions.clone());
        let deleting = async move {
            let large = database.large_deletions();
            if large.is_large(id).await? {
                let ended = large.store(id, caller.members_only()).await?;
                let ended = ended.ok_or_else(|| Error::user_not_found(id))?;
                close_ended(&hub, id, &ended);
                deletions.note_large_user();
                return Ok(UserDeletion::Continues);
            }
            let deleted = Deletion::new(&writer, caller, id, Pace::PROMPT).run().await;
            deletions.note_user();
            deleted.map(|()| UserDeletion::Done)
        };
        // A task of its own: a request that meets its time limit does not leave half of the work undone.
        let deleting = self.detached.spawn(deleting.in_current_span());
        deleting.await.map_err(Error::internal)?
    }
}

/// Returns the user of each id, in the order of `ids`; null for a missing user.
async fn find(database: Database, ids: Vec<UserId>) -> Result<Vec<Option<User>>, Error> {
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let mut found = database.users().find_all(&distinct).await?;
    found.sort_unstable_by_key(|user| user.customer_id);
    let find = |id: &UserId| {
        let place = found.binary_search_by_key(id, |user| user.customer_id);
        place.ok().map(|place| found[place].clone())
    };
    Ok(ids.iter().map(find).collect())
}
