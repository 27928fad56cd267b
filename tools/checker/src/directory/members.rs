//! The operations of an admin on the members of its chats.

use super::{
    admin::Admin,
    compare,
    model::{Role, UserId},
};
use crate::{
    record::{ChatId, Outcome},
    rest::Reply,
    violation::ViolationKind,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

impl Admin {
    /// Adds a member, or changes the role of one.
    pub(super) async fn set_member(&mut self, chat: ChatId, user: UserId, role: Option<Role>) {
        self.model.counts.members_set += 1;
        let path = format!("/chat/{chat}/user/{user}");
        let body = role.map_or_else(|| json!({}), |role| json!({ "role": role.as_str() }));
        let reply = self.ask(Method::PUT, &path, Some(body)).await;
        let what = format!("setting user {user} in chat {chat} to {role:?}");
        match (self.ended(&what, &reply), reply) {
            (Outcome::Acked, Reply::Done(status, member)) => {
                self.member_set(chat, user, role, status, &member);
            }
            (Outcome::InDoubt, _) => {
                // A request without a role keeps the role of a member.
                let value = Some(role.unwrap_or(Role::Participant));
                self.model.member(chat, user).write_in_doubt(value);
                self.model.number(chat, false);
            }
            _ => {}
        }
    }

    fn member_set(
        &mut self,
        chat: ChatId,
        user: UserId,
        role: Option<Role>,
        status: StatusCode,
        member: &Value,
    ) {
        let told = member["role"].as_str().and_then(Role::parse);
        let register = self.model.member(chat, user);
        let text = format!("{register:?}, asked {role:?}, answered {status} {member}");
        let fits = match (status, role) {
            // The user was not a member before.
            (StatusCode::CREATED, _) => {
                register.allows(&None) && told == Some(role.unwrap_or(Role::Participant))
            }
            (_, Some(_)) => register.may_be(Option::is_some) && told == role,
            (_, None) => told.is_some() && register.allows(&told),
        };
        let changed = match (status, role) {
            (StatusCode::CREATED, _) => Some(true),
            (_, None) => None,
            // The member may have had this role before.
            (_, Some(_)) => {
                Some(!register.allows(&told)).filter(|_| register.may_be(|role| *role != told))
            }
        };
        register.write(told);
        if let Some(certain) = changed {
            self.model.number(chat, certain);
        }
        if !fits {
            let text = format!("user {user} in chat {chat}: {text}");
            self.model.report(ViolationKind::Lost, text);
        }
    }

    pub(super) async fn remove_member(&mut self, chat: ChatId, user: UserId) {
        self.model.counts.members_removed += 1;
        let path = format!("/chat/{chat}/user/{user}");
        let reply = self.ask(Method::DELETE, &path, None).await;
        let what = format!("removing user {user} from chat {chat}");
        let register = self.model.member(chat, user);
        let (was, may_not) = (format!("{register:?}"), register.allows(&None));
        let may = register.may_be(Option::is_some);
        let kind = match register.was(Option::is_some) {
            true => ViolationKind::Lost,
            false => ViolationKind::Unexplained,
        };
        match &reply {
            Reply::Refused { code, .. } if code == "member_not_found" => {
                if !may_not {
                    self.model.report(
                        ViolationKind::Lost,
                        format!("{what}: no member, was told {was}"),
                    );
                }
            }
            Reply::Done(..) if !may => {
                let text = format!("{what}: was a member, was told {was}");
                self.model.report(kind, text);
            }
            Reply::Done(..) => {
                register.write(None);
                self.model.number(chat, true);
            }
            Reply::InDoubt => {
                register.write_in_doubt(None);
                self.model.number(chat, false);
            }
            Reply::Refused { .. } => drop(self.ended(&what, &reply)),
        }
    }

    pub(super) async fn read_chat(&mut self, chat: ChatId) {
        self.model.counts.reads += 1;
        let path = format!("/user/chat/{chat}?limit=1000");
        match self.rest.call(Method::GET, &path, None).await {
            Reply::Done(_, listed) => compare::members(&mut self.model, chat, &listed),
            reply => drop(self.ended(&format!("the members of chat {chat}"), &reply)),
        }
    }
}
