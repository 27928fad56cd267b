//! The words in which operations are told: `get(…).id::<ChatId>(…).gives::<Chat>(…)`. What every
//! operation of a kind has in common is added here: a body brings the errors of bodies, an id those
//! of ids.

mod answers;
mod asks;

use super::refusal;
use crate::error::Code;
use utoipa::{
    ToSchema,
    openapi::{
        HttpMethod, Ref, RefOr, Schema, SecurityRequirement,
        path::{self, OperationBuilder},
    },
};

pub(super) use answers::{header, json_content, success};

/// The name of the one way to sign in.
pub(super) const TOKEN: &str = "token";
/// The name of what the metrics are asked with.
pub(super) const METRICS_TOKEN: &str = "metricsToken";
pub(super) const JSON: &str = "application/json";
/// What may happen to every request.
const ALWAYS: [Code; 5] = [
    // A request must name one host.
    Code::InvalidField,
    Code::CrossSite,
    Code::RateLimited,
    Code::Internal,
    Code::Unavailable,
];
/// Schemas by name, for what refers to them.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// Who is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Everyone; nobody is asked who they are.
    Everyone,
    /// Everyone; but who shows a token must show a valid one.
    Anyone,
    /// Whoever has signed in; in open mode, as Anyone.
    Caller,
    /// Whoever has signed in, in either mode.
    SignedIn,
    /// Whoever watches over the server; in open mode, everyone where no token is set.
    Watcher,
}

/// One operation.
pub(super) struct Operation {
    pub(super) method: HttpMethod,
    pub(super) path: &'static str,
    pub(super) schemas: Schemas,
    access: Access,
    codes: Vec<Code>,
    told: OperationBuilder,
}

pub(super) fn get(path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::new(HttpMethod::Get, path, id, summary)
}

pub(super) fn post(path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::new(HttpMethod::Post, path, id, summary)
}

pub(super) fn put(path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::new(HttpMethod::Put, path, id, summary)
}

pub(super) fn delete(path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::new(HttpMethod::Delete, path, id, summary)
}

impl Operation {
    fn new(method: HttpMethod, path: &'static str, id: &str, summary: &str) -> Self {
        Self {
            method,
            path,
            schemas: Vec::new(),
            access: Access::Caller,
            codes: ALWAYS.to_vec(),
            told: OperationBuilder::new()
                .operation_id(Some(id))
                .summary(Some(summary)),
        }
    }

    /// More than the summary says.
    pub(super) fn about(mut self, description: &str) -> Self {
        self.told = self.told.description(Some(description));
        self
    }

    /// Answered to everyone.
    pub(super) fn for_everyone(self) -> Self {
        self.with_access(Access::Everyone)
    }

    /// Answered to everyone whose token, if there is one, is valid.
    pub(super) fn for_anyone(self) -> Self {
        self.with_access(Access::Anyone)
    }

    /// Answered to nobody but who has signed in, in either mode.
    pub(super) fn for_signed_in(self) -> Self {
        self.with_access(Access::SignedIn)
    }

    /// Answered to whoever shows the token for the metrics.
    pub(super) fn for_watchers(self) -> Self {
        self.with_access(Access::Watcher)
    }

    fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// What else may be wrong.
    pub(super) fn refuses(mut self, codes: &[Code]) -> Self {
        self.codes.extend(codes);
        self
    }

    /// The operation as the document has it, for a server where callers sign in or one where they
    /// do not.
    pub(super) fn tell(self, tag: &str, sign_in: bool) -> path::Operation {
        let (mut codes, mut told) = (self.codes, self.told.tag(tag));
        let needed = match self.access {
            Access::Everyone => None,
            Access::Anyone => Some((TOKEN, false)),
            Access::Caller => Some((TOKEN, sign_in)),
            Access::SignedIn => Some((TOKEN, true)),
            Access::Watcher => Some((METRICS_TOKEN, sign_in)),
        };
        if let Some((scheme, needed)) = needed {
            codes.push(Code::Unauthorized);
            let nothing: [&str; 0] = [];
            told = told.security(SecurityRequirement::new(scheme, nothing));
            if !needed {
                told = told.security(SecurityRequirement::default());
            }
        }
        for (status, response) in refusal::responses(codes) {
            told = told.response(status.as_str(), response);
        }
        told.build()
    }

    /// A reference to a type's schema, which the document will hold.
    pub(super) fn refer<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        Ref::from_schema_name(T::name()).into()
    }
}
