//! The OpenAPI 3.1 document of the API: the requests and answers of the routes, described by the
//! types that the handlers use. The document is kept apart from the handlers, so that a handler
//! reads as the work it does. Tests check every route and every answer against the document.

mod chat;
mod message;
mod operation;
mod refusal;
mod service;
mod session;
mod user;

use crate::error::Code;
use operation::{METRICS_TOKEN, Operation, TOKEN};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, ComponentsBuilder, Header, Info, ObjectBuilder, OpenApi, Paths, Type,
        info::License,
        path::PathItem,
        security::{Http, HttpAuthScheme, SecurityScheme},
        tag::Tag,
    },
};

const ABOUT: &str = "\
A chat server. An acknowledged message is never lost, never doubled and never out of order.

JSON keys are camelCase; keys that nobody asked for are ignored. Ids are positive 64-bit integers.
Times are RFC 3339, in UTC, with milliseconds. A slash at the end of a path is ignored.

**Lists** are arrays: 100 entries where no `limit` is given, at most 1,000; a larger `limit` is taken
as 1,000. A further page is named in `Link: <…>; rel=\"next\"`.

**Errors** are `{\"error\":\"Chat 7 does not exist\",\"code\":\"chat_not_found\"}`. `error` is for people
and may change; `code` is stable. A path that does not exist is a 404 `not_found`; a method that a
path does not take is a 405 `method_not_allowed`, with the right ones in `Allow`.

**Request ids**: the `x-request-id` that a caller sends (1 to 128 visible ASCII characters), or one
that the server makes, is in the answer and in the server's log.

**Pages of other sites** are refused (403 `cross_site`) wherever something would change, unless their
origin is in `CORS_ALLOWED_ORIGINS`.";

const OPEN: &str = "

**Open mode**: this server believes every caller; `customerId` says who acts. Whoever signs in all the
same is that user and nobody else.";
const REQUIRED: &str = "

**Signing in**: `POST /login` gives a token, which goes into `Authorization: Bearer …`. Chats exist for
their members alone; for everyone else they are not found. `customerId` may be left out: it is the
token's user.";

const TAGS: [(&str, &str); 7] = [
    ("users", "Who can take part."),
    ("chats", "Where it happens."),
    ("members", "Who belongs to which chat."),
    (
        "messages",
        "What was said. Every change of a chat (send, edit, delete) has a number, `seq`: 1, 2, 3 … \
         without a gap, in commit order. Whoever knows the last one seen can ask for what came after.",
    ),
    ("sessions", "Who is signed in."),
    ("websocket", "What happens, as it happens."),
    ("service", "The server itself, and its documents."),
];

/// Builds the document for a server in required mode (`sign_in` is true) or in open mode.
#[must_use]
pub fn document(sign_in: bool) -> OpenApi {
    let mut paths = Paths::new();
    let mut components = components();
    for (tag, operation) in operations() {
        for (name, schema) in &operation.schemas {
            components = components.schema(name, schema.clone());
        }
        let item = paths.paths.entry(operation.path.to_owned()).or_default();
        let method = operation.method.clone();
        let path_item = PathItem::new(method, operation.tell(tag, sign_in));
        item.merge_operations(path_item);
    }
    let session = bearer("The token that `POST /login` gives.");
    let metrics = bearer("What the server's METRICS_TOKEN says.");
    components = components.security_scheme(TOKEN, session);
    components = components.security_scheme(METRICS_TOKEN, metrics);
    let tags = TAGS.map(|(name, about)| Tag::builder().name(name).description(Some(about)).build());
    OpenApi::builder()
        .info(info(sign_in))
        .paths(paths)
        .components(Some(components.build()))
        .tags(Some(tags))
        .build()
}

fn operations() -> impl Iterator<Item = (&'static str, Operation)> {
    let tagged =
        |tag: &'static str, list: Vec<Operation>| list.into_iter().map(move |one| (tag, one));
    tagged("users", user::operations())
        .chain(tagged("chats", chat::operations()))
        .chain(tagged("members", chat::of_members()))
        .chain(tagged("messages", message::operations()))
        .chain(tagged("sessions", session::operations()))
        .chain(tagged("websocket", service::websocket()))
        .chain(tagged("service", service::operations()))
}

fn info(sign_in: bool) -> Info {
    let mode = if sign_in { REQUIRED } else { OPEN };
    let license = License::builder().name("MIT").identifier(Some("MIT"));
    Info::builder()
        .title("messaging-api")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(format!("{ABOUT}{mode}")))
        .license(Some(license.build()))
        .build()
}

fn bearer(about: &str) -> SecurityScheme {
    let bearer = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(about));
    SecurityScheme::Http(bearer.build())
}

/// Returns the components that all operations refer to.
fn components() -> ComponentsBuilder {
    let header = |kind: Type, about: &str, example: &str| {
        Header::builder()
            .schema(Some(ObjectBuilder::new().schema_type(kind)))
            .description(Some(about))
            .example(Some(example.into()))
            .build()
    };
    let text = |about: &str, example: &str| header(Type::String, about, example);
    Components::builder()
        .schema(Code::name(), Code::schema())
        .schema(refusal::NAME, refusal::schema())
        .header(
            "RequestId",
            text(
                "The request's id in the server's log.",
                "01d3f5e6c2b74a0f8a9b",
            ),
        )
        .header("Location", text("Where the new thing is.", "/user/4"))
        .header(
            "Link",
            text(
                "The next page, where there is one.",
                "</user?limit=100&after=100>; rel=\"next\"",
            ),
        )
        .header(
            "Log-Epoch",
            text(
                "With `since`: the epoch of the log that `seq` counts in.",
                "5f0c4f1e9a2b4d6c8e7f1a2b3c4d5e6f",
            ),
        )
        .header(
            "Retry-After",
            text("Seconds after which trying again makes sense.", "1"),
        )
        .header("WWW-Authenticate", text("How to sign in.", "Bearer"))
        .header("Upgrade", text("What the route speaks.", "websocket"))
}
