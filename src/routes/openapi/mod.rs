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

JSON keys are camelCase; unknown keys are ignored. Ids are positive 64-bit integers. Times are RFC
3339, in UTC, with milliseconds. A slash at the end of a path is ignored.

**Lists** are arrays. A page has at most 100 entries, or at most `limit` entries; a `limit` over 1,000
counts as 1,000. If there is a next page, the header `Link: <…>; rel=\"next\"` names its path.

**Errors** are `{\"error\":\"Chat 7 does not exist\",\"code\":\"chat_not_found\"}`. `error` is a text for
people and may change; `code` is stable. A path that does not exist is answered with 404 `not_found`. A
method that a path does not support is answered with 405 `method_not_allowed`; the header `Allow` lists
the supported methods.

**Request ids**: each answer has the header `x-request-id`, and the server's log has the id too. The id
is the `x-request-id` of the request (1 to 128 visible ASCII characters), or one that the server
generates.

**Pages of other sites**: a request from a page of another site is refused (403 `cross_site`) if it
would change something, unless `CORS_ALLOWED_ORIGINS` lists the origin of the page.";

const OPEN: &str = "

**Open mode**: this server trusts every caller without a login, and `customerId` names the acting user.
A caller with a session token acts as the token's user only.";
const REQUIRED: &str = "

**Signing in**: `POST /login` returns a token; send it as `Authorization: Bearer …`. Only members see a
chat; for all other callers it does not exist (404). `customerId` is optional: it defaults to the
token's user.";

const TAGS: [(&str, &str); 7] = [
    ("users", "Users: the accounts that take part in chats."),
    ("chats", "Chats: the rooms that messages are sent to."),
    (
        "members",
        "Memberships: the users of a chat, each with a role.",
    ),
    (
        "messages",
        "Messages of a chat. Every change of a chat (send, edit, delete) has a number, `seq`: 1, \
         2, 3 … without a gap, in commit order. A client that stores the last `seq` it received \
         can ask for all later changes.",
    ),
    ("sessions", "Sessions: the logins of the current user."),
    ("websocket", "The WebSocket: events of chats in real time."),
    (
        "service",
        "The server: health, metrics, documents and web pages.",
    ),
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
    let session = bearer("The session token that `POST /login` returns.");
    let metrics = bearer("The `METRICS_TOKEN` of the server.");
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
                "The id of the request. The server's log has it too.",
                "01d3f5e6c2b74a0f8a9b",
            ),
        )
        .header(
            "Location",
            text("The path of the created resource.", "/user/4"),
        )
        .header(
            "Link",
            text(
                "The path of the next page. Omitted on the last page.",
                "</user?limit=100&after=100>; rel=\"next\"",
            ),
        )
        .header(
            "Log-Epoch",
            text(
                "With `since`: the epoch of the log that numbers the changes.",
                "5f0c4f1e9a2b4d6c8e7f1a2b3c4d5e6f",
            ),
        )
        .header(
            "Retry-After",
            text(
                "The number of seconds after which a retry may succeed.",
                "1",
            ),
        )
        .header(
            "WWW-Authenticate",
            text("The authentication scheme.", "Bearer"),
        )
        .header(
            "Upgrade",
            text("The protocol that the route requires.", "websocket"),
        )
}
