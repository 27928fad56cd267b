//! The builder for operations of the OpenAPI document: `get(…).id::<ChatId>(…).gives::<Chat>(…)`.
//! The builder adds the parts that operations have in common: a body brings the errors of bodies,
//! an id brings the errors of ids.

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

/// The name of the security scheme of session tokens.
pub(super) const TOKEN: &str = "token";
/// The name of the security scheme of the metrics token.
pub(super) const METRICS_TOKEN: &str = "metricsToken";
pub(super) const JSON: &str = "application/json";
/// Errors that any request may receive.
const ALWAYS: [Code; 5] = [
    // A request must name exactly one host.
    Code::InvalidField,
    Code::CrossSite,
    Code::RateLimited,
    Code::Internal,
    Code::Unavailable,
];
/// Schemas by name, for the references to them.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// The access rule of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Everyone. A token is not read.
    Everyone,
    /// Everyone. A token is optional, but must be valid.
    Anyone,
    /// Signed-in users. In open mode, everyone with a valid token or without one.
    Caller,
    /// Signed-in users, in either mode.
    SignedIn,
    /// Clients with the metrics token. In open mode, everyone if the server has none.
    Watcher,
}

/// One operation of the document.
pub(super) struct Operation {
    pub(super) method: HttpMethod,
    pub(super) path: &'static str,
    pub(super) schemas: Schemas,
    access: Access,
    codes: Vec<Code>,
    builder: OperationBuilder,
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
            builder: OperationBuilder::new()
                .operation_id(Some(id))
                .summary(Some(summary)),
        }
    }

    /// Adds a description, which says more than the summary.
    pub(super) fn about(mut self, description: &str) -> Self {
        self.builder = self.builder.description(Some(description));
        self
    }

    /// Allows everyone, and reads no token.
    pub(super) fn for_everyone(self) -> Self {
        self.with_access(Access::Everyone)
    }

    /// Allows everyone with a valid token or without one.
    pub(super) fn for_anyone(self) -> Self {
        self.with_access(Access::Anyone)
    }

    /// Allows signed-in users only, in either mode.
    pub(super) fn for_signed_in(self) -> Self {
        self.with_access(Access::SignedIn)
    }

    /// Allows clients with the metrics token.
    pub(super) fn for_watchers(self) -> Self {
        self.with_access(Access::Watcher)
    }

    fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Adds further error codes.
    pub(super) fn refuses(mut self, codes: &[Code]) -> Self {
        self.codes.extend(codes);
        self
    }

    /// Builds the operation for a server in required mode (`sign_in` is true) or in open mode.
    pub(super) fn tell(self, tag: &str, sign_in: bool) -> path::Operation {
        let (mut codes, mut builder) = (self.codes, self.builder.tag(tag));
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
            builder = builder.security(SecurityRequirement::new(scheme, nothing));
            if !needed {
                builder = builder.security(SecurityRequirement::default());
            }
        }
        for (status, response) in refusal::responses(codes) {
            builder = builder.response(status.as_str(), response);
        }
        builder.build()
    }

    /// Returns a reference to the schema of a type, and adds the schema to the document.
    pub(super) fn refer<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        Ref::from_schema_name(T::name()).into()
    }
}
