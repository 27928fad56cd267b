//! The WebSocket, `/health`, `/metrics`, the pages and the documents in the OpenAPI document.

use super::operation::{Operation, get, success};
use crate::error::Code;
use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::openapi::{Content, ObjectBuilder, Schema, Type};

pub(super) fn websocket() -> Vec<Operation> {
    vec![
        get("/ws", "openSocket", "Open a WebSocket")
            .about(
                "Text frames, `{\"type\":…,\"content\":…,\"id\"?:…}`. The first must be `connect-chat`, \
                 which states who one is. `/asyncapi.yaml` describes them all. Who speaks plain HTTP is builder to upgrade.",
            )
            .for_anyone()
            .answers(StatusCode::SWITCHING_PROTOCOLS, success("The WebSocket is open"))
            .refuses(&[Code::UpgradeRequired]),
    ]
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/health/live", "isLive", "Ask whether the process answers")
            .for_everyone()
            .says("It does", "application/json", json!({ "status": "live" })),
        get(
            "/health/ready",
            "isReady",
            "Ask whether changes can be stored",
        )
        .about(
            "By the outcome of the last change, or of a small write that is made for it, once a second \
             at most. `link` tells whether the server is connected to NATS, over which it hears the others: \
             `up`, `down`, or `none` where it is alone.",
        )
        .for_everyone()
        .says(
            "They can",
            "application/json",
            json!({ "status": "ready", "link": "none" }),
        ),
        get("/metrics", "getMetrics", "Read what the server counts")
            .about(
                "For Prometheus, in its text format, or as OpenMetrics where that is asked for (`Accept`); \
                 `docs/METRICS.md` names each figure. Where `METRICS_TOKEN` is set it is the \
                 bearer token; where everyone signs in and none is set, the route is not there.",
            )
            .for_watchers()
            .answers(
                StatusCode::OK,
                success("The figures, in the format that is asked for")
                    .content("text/plain", content(Type::String))
                    .content("application/openmetrics-text", content(Type::String)),
            )
            .refuses(&[Code::NotFound]),
        get("/openapi.json", "getDocument", "Get this document")
            .for_everyone()
            .answers(
                StatusCode::OK,
                success("OpenAPI 3.1").content("application/json", content(Type::Object)),
            ),
        get(
            "/asyncapi.yaml",
            "getSocketDocument",
            "Get the document of the WebSocket",
        )
        .for_everyone()
        .answers(
            StatusCode::OK,
            success("AsyncAPI 3").content("application/yaml", content(Type::Object)),
        ),
        get("/", "openPage", "Open the chat page")
            .about("A client for people. Its own files, such as `/app.js`, are no part of the API.")
            .for_everyone()
            .answers(
                StatusCode::OK,
                success("The page").content("text/html", content(Type::String)),
            )
            .answers(
                StatusCode::NOT_MODIFIED,
                success("Who asks has this very page: its `ETag` came as `If-None-Match`"),
            ),
        get("/docs", "readDocument", "Read this document")
            .about("A page for people. It loads nothing from anywhere else.")
            .for_everyone()
            .answers(
                StatusCode::OK,
                success("The page").content("text/html", content(Type::String)),
            ),
        get("/docs/{file}", "getDocumentFile", "Get a part of the page")
            .for_everyone()
            .text("file", "Its name", files(), "page.js")
            .answers(
                StatusCode::OK,
                success("The part")
                    .content("text/css", content(Type::String))
                    .content("text/javascript", content(Type::String)),
            )
            .refuses(&[Code::NotFound]),
    ]
}

impl Operation {
    /// Adds 200 with a small constant object.
    fn says(self, about: &str, kind: &str, example: Value) -> Self {
        let content = Content::builder()
            .schema(Some(ObjectBuilder::new().schema_type(Type::Object)))
            .example(Some(example));
        self.answers(
            StatusCode::OK,
            success(about).content(kind, content.build()),
        )
    }
}

fn content(kind: Type) -> Content {
    Content::new(Some(ObjectBuilder::new().schema_type(kind)))
}

fn files() -> Schema {
    let name = ObjectBuilder::new().schema_type(Type::String);
    name.enum_values(Some(crate::routes::docs::FILES))
        .build()
        .into()
}
