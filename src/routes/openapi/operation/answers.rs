//! What an operation answers when all is well.

use super::{JSON, Operation};
use axum::http::StatusCode;
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{Array, Content, Ref, RefOr, Response, ResponseBuilder, Schema},
};

impl Operation {
    /// 200 with one thing.
    pub(crate) fn gives<T: ToSchema>(mut self, about: &str, example: Value) -> Self {
        let content = json_content(self.refer::<T>(), example);
        let response = success(about).content(JSON, content);
        self.answers(StatusCode::OK, response)
    }

    /// 200 with a page of things.
    pub(crate) fn lists<T: ToSchema>(mut self, about: &str, example: Value) -> Self {
        let content = json_content(Array::new(self.refer::<T>()), example);
        let response = success(about).header_ref("Link", header("Link"));
        self.answers(StatusCode::OK, response.content(JSON, content))
    }

    /// 200 with a page of changes, a `Link` to the next page, and the epoch of the log.
    pub(crate) fn lists_changes<T: ToSchema>(mut self, about: &str, example: Value) -> Self {
        let content = json_content(Array::new(self.refer::<T>()), example);
        let response = success(about)
            .header_ref("Link", header("Link"))
            .header_ref("Log-Epoch", header("Log-Epoch"));
        self.answers(StatusCode::OK, response.content(JSON, content))
    }

    /// 200 with all there are.
    pub(crate) fn lists_all<T: ToSchema>(mut self, about: &str, example: Value) -> Self {
        let content = json_content(Array::new(self.refer::<T>()), example);
        self.answers(StatusCode::OK, success(about).content(JSON, content))
    }

    /// 201 with the new thing, and where it is.
    pub(crate) fn creates<T: ToSchema>(mut self, about: &str, example: Value) -> Self {
        let content = json_content(self.refer::<T>(), example);
        let response = success(about)
            .content(JSON, content)
            .header_ref("Location", header("Location"));
        self.answers(StatusCode::CREATED, response)
    }

    /// 204.
    pub(crate) fn gives_nothing(self, about: &str) -> Self {
        self.answers(StatusCode::NO_CONTENT, success(about))
    }

    /// Any other answer.
    pub(crate) fn answers(mut self, status: StatusCode, response: ResponseBuilder) -> Self {
        self.told = self.told.response(status.as_str(), response);
        self
    }
}

/// A response that is no error; every one carries the request's id.
pub(crate) fn success(about: &str) -> ResponseBuilder {
    Response::builder()
        .description(about)
        .header_ref("x-request-id", header("RequestId"))
}

/// A header that the document tells once.
pub(crate) fn header(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

pub(crate) fn json_content(schema: impl Into<RefOr<Schema>>, example: Value) -> Content {
    Content::builder()
        .schema(Some(schema))
        .example(Some(example))
        .build()
}
