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
                "Frames are texts of the form `{\"type\":…,\"content\":…,\"id\"?:…}`. The first \
                 frame must be `connect-chat`, which identifies the user. `/asyncapi.yaml` \
                 describes all frames. A request without an upgrade is answered with 426.",
            )
            .for_anyone()
            .answers(
                StatusCode::SWITCHING_PROTOCOLS,
                success("The WebSocket is open"),
            )
            .refuses(&[Code::UpgradeRequired]),
    ]
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/health/live", "isLive", "Check that the process is alive")
            .for_everyone()
            .says(
                "The process is alive",
                "application/json",
                json!({ "status": "live" }),
            ),
        get(
            "/health/ready",
            "isReady",
            "Check that changes can be stored",
        )
        .about(
            "Reports the outcome of the last change, or of a small test write, made at most once a \
             second. `link` is the state of the connection to NATS, which links several servers: \
             `up`, `down`, or `none` on a single server.",
        )
        .for_everyone()
        .says(
            "Changes can be stored",
            "application/json",
            json!({ "status": "ready", "link": "none" }),
        ),
        get("/metrics", "getMetrics", "Get the metrics")
            .about(
                "Metrics for Prometheus, in its text format, or in the OpenMetrics format if \
                 `Accept` asks for it. `docs/METRICS.md` lists all metrics. If `METRICS_TOKEN` is \
                 set, it is the required bearer token. In required mode without `METRICS_TOKEN`, \
                 the route does not exist (404).",
            )
            .for_watchers()
            .answers(
                StatusCode::OK,
                success("The metrics, in the requested format")
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
            "Get the WebSocket document",
        )
        .for_everyone()
        .answers(
            StatusCode::OK,
            success("AsyncAPI 3").content("application/yaml", content(Type::Object)),
        ),
        get("/", "openPage", "Open the chat page")
            .about("The web client. Its files, such as `/app.js`, are not part of the API.")
            .for_everyone()
            .answers(
                StatusCode::OK,
                success("The page").content("text/html", content(Type::String)),
            )
            .answers(
                StatusCode::NOT_MODIFIED,
                success("The client has this page already: `If-None-Match` holds its `ETag`"),
            ),
        get("/docs", "readDocument", "Read this document as a web page")
            .about("The page loads nothing from other sites.")
            .for_everyone()
            .answers(
                StatusCode::OK,
                success("The page").content("text/html", content(Type::String)),
            ),
        get(
            "/docs/{file}",
            "getDocumentFile",
            "Get a file of the document page",
        )
        .for_everyone()
        .text("file", "The name of the file", files(), "page.js")
        .answers(
            StatusCode::OK,
            success("The file")
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
