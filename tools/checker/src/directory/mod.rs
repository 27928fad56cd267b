//! Checks users, chats and memberships like messages. An acknowledged operation must be stored at the
//! end, and a refused one must not. An operation in doubt may be stored or not.

mod admin;
mod compare;
mod logs;
mod members;
mod model;
mod register;

use crate::{
    phase::Phase,
    rest::{Reply, Rest},
    violation::Violation,
};
use admin::Admin;
use reqwest::Method;
use tokio::{sync::watch, task::JoinSet};

pub use model::{Counts, Model, Role};

/// Starts this many admins, which work until the round ends. Its number makes their names unique.
pub fn start(
    admins: u32,
    round: u32,
    rest: &Rest,
    rng: &mut fastrand::Rng,
    phase: &watch::Receiver<Phase>,
) -> JoinSet<Model> {
    let mut working = JoinSet::new();
    for admin in 0..admins {
        let admin = Admin {
            rest: rest.clone(),
            rng: rng.fork(),
            phase: phase.clone(),
            model: Model {
                admin,
                round,
                ..Model::default()
            },
            next: 0,
        };
        working.spawn(admin.run());
    }
    working
}

/// Compares the admins' models with the stored data, after the last fault.
pub async fn check(
    rest: &Rest,
    working: JoinSet<Model>,
) -> Result<(Counts, Vec<Violation>), String> {
    let mut models = working.join_all().await;
    models.sort_by_key(|model| model.admin);
    let mut violations = compare::all(&mut models, "user", &compare::users(rest).await?);
    let stored = compare::chats(rest).await?;
    violations.extend(compare::all(&mut models, "chat", &stored));
    let mut counts = Counts::default();
    for model in &mut models {
        let chats: Vec<i64> = model.chats.known.keys().copied().collect();
        for chat in chats {
            let path = format!("/user/chat/{chat}?limit=1000");
            match rest.call(Method::GET, &path, None).await {
                Reply::Done(_, listed) => {
                    compare::members(model, chat, &listed);
                    logs::check(rest, model, (chat, &stored), &listed).await?;
                }
                // A missing chat was judged already, by its name.
                Reply::Refused { code, .. } if code == "chat_not_found" => {}
                reply => return Err(format!("{path} cannot be read: {reply:?}")),
            }
        }
        counts.add(&model.counts);
        violations.append(&mut model.violations);
    }
    Ok((counts, violations))
}
