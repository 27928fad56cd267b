//! Users.

use super::{
    page::{Limit, Page},
    writer::{Answer, Change, Writer},
};
use crate::{
    auth::{Caller, PasswordHasher},
    error::Error,
    model::{Password, User, UserId, Username},
    repository::UserRepository,
};

/// The rules about users.
#[derive(Clone)]
pub struct UserService {
    users: UserRepository,
    passwords: PasswordHasher,
    writer: Writer,
}

impl UserService {
    /// On these parts.
    #[must_use]
    pub fn new(users: UserRepository, passwords: PasswordHasher, writer: Writer) -> Self {
        Self {
            users,
            passwords,
            writer,
        }
    }

    /// Users with ids over `after`, by id.
    pub async fn list(
        &self,
        _caller: Caller,
        after: UserId,
        limit: Limit,
    ) -> Result<Page<User>, Error> {
        Ok(limit.page(self.users.list(after, limit.and_one()).await?))
    }

    /// The user of that id; `user_not_found`.
    pub async fn find(&self, _caller: Caller, id: UserId) -> Result<User, Error> {
        self.users
            .find(id)
            .await?
            .ok_or_else(|| Error::user_not_found(id))
    }

    /// The user of that name; `user_not_found`.
    pub async fn find_by_name(&self, _caller: Caller, name: &str) -> Result<User, Error> {
        self.users.find_by_name(name).await?.ok_or_else(|| {
            Error::new(
                crate::error::Code::UserNotFound,
                format!("No user is called {name}"),
            )
        })
    }

    /// Signs a user up; `username_taken`.
    pub async fn create(&self, name: Username, password: Password) -> Result<User, Error> {
        let hash = self.passwords.hash(password).await?;
        self.users.create(&name, &hash).await
    }

    /// Changes what is given of a user; `user_not_found`, `username_taken`.
    pub async fn update(
        &self,
        caller: Caller,
        id: UserId,
        name: Option<Username>,
        password: Option<Password>,
    ) -> Result<User, Error> {
        caller.acting_as(Some(id))?;
        // Hashing for a user who does not exist would be work for nothing.
        if password.is_some() {
            self.find(caller, id).await?;
        }
        let hash = match password {
            Some(password) => Some(self.passwords.hash(password).await?),
            None => None,
        };
        let user = self
            .users
            .update(id, name.as_ref(), hash.as_deref())
            .await?;
        user.ok_or_else(|| Error::user_not_found(id))
    }

    /// Deletes a user: memberships go, sockets close, messages become tombstones that everyone in
    /// their chats learns of; `user_not_found`.
    pub async fn delete(&self, caller: Caller, id: UserId) -> Result<(), Error> {
        caller.acting_as(Some(id))?;
        while let Answer::Partly = self.writer.submit(Change::DeleteUser(id))?.answer().await? {}
        Ok(())
    }
}
