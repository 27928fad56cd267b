//! The successful answers of an operation.

use super::{JSON, Operation};
use axum::http::StatusCode;
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{Array, Content, Ref, RefOr, Response, ResponseBuilder, Schema},
};

impl Operation {
    /// Adds 200 with one object.
    pub(crate) fn gives<T: ToSchema>(mut self, about: &str, example: Value) -> Self {
        let content = json_content(self.refer::<T>(), example);
        let response = success(about).content(JSON, content);
        self.answers(StatusCode::OK, response)
    }

    /// Adds 200 with a page of a list, and a `Link` to the next page.
    pub(crate) fn lists<T: ToSchema>(mut self, about: &str, example: Value) -> Self {
        let content = json_content(Array::new(self.refer::<T>()), example);
        let response = success(about).header_ref("Link", header("Link"));
        self.answers(StatusCode::OK, response.content(JSON, content))
    }

    /// Adds 200 with a page of changes, a `Link` to the next page, and the epoch of the log.
    pub(crate) fn lists_changes<T: ToSchema>(mut self, about: &str, example: Value) -> Self {
        let content = json_content(Array::new(self.refer::<T>()), example);
        let response = success(about)
            .header_ref("Link", header("Link"))
            .header_ref("Log-Epoch", header("Log-Epoch"));
        self.answers(StatusCode::OK, response.content(JSON, content))
    }

    /// Adds 200 with a complete list.
    pub(crate) fn lists_all<T: ToSchema>(mut self, about: &str, example: Value) -> Self {
        let content = json_content(Array::new(self.refer::<T>()), example);
        self.answers(StatusCode::OK, success(about).content(JSON, content))
    }

    /// Adds 201 with the created object, and its path in `Location`.
    pub(crate) fn creates<T: ToSchema>(mut self, about: &str, example: Value) -> Self {
        let content = json_content(self.refer::<T>(), example);
        let response = success(about)
            .content(JSON, content)
            .header_ref("Location", header("Location"));
        self.answers(StatusCode::CREATED, response)
    }

    /// Adds 204, without a body.
    pub(crate) fn gives_nothing(self, about: &str) -> Self {
        self.answers(StatusCode::NO_CONTENT, success(about))
    }

    /// Adds any other answer.
    pub(crate) fn answers(mut self, status: StatusCode, response: ResponseBuilder) -> Self {
        self.builder = self.builder.response(status.as_str(), response);
        self
    }
}

/// Starts a successful response. Every response carries the request id.
pub(crate) fn success(about: &str) -> ResponseBuilder {
    Response::builder()
        .description(about)
        .header_ref("x-request-id", header("RequestId"))
}

/// Returns a reference to a header that the document defines once.
pub(crate) fn header(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

pub(crate) fn json_content(schema: impl Into<RefOr<Schema>>, example: Value) -> Content {
    Content::builder()
        .schema(Some(schema))
        .example(Some(example))
        .build()
}
