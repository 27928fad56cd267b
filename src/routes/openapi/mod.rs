//! The OpenAPI 3.1 document of the API. Each handler declares its route with `#[utoipa::path]`:
//! summary, parameters, body, success, and the refusals that are its own. This module adds the parts
//! that operations have in common. Tests check every answer against the document.
//!
//! In a declaration:
//!
//! - the first line of the handler's comment is the summary, the rest is the description;
//! - without `security`, an operation is for callers: signed-in users, or anyone in open mode.
//!   `security(())` is for everyone and reads no token, `security(("token" = []), ())` accepts a
//!   token, and `security(("token" = []))` requires one in either mode;
//! - a response header stands for the shared header with its name;
//! - a type of `refusal` is an error code of the operation.

pub(super) mod example;
mod operation;
pub(super) mod query;
pub(crate) mod refusal;

use super::chat::MemberBody;
use crate::error::Code;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, ComponentsBuilder, Header, Info, ObjectBuilder, OpenApi, Type,
        info::License,
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

/// Completes the declarations of the routes to the document of a server in required mode (`sign_in`
/// is true) or in open mode.
#[must_use]
pub(crate) fn complete(routes: OpenApi, sign_in: bool) -> OpenApi {
    let tags = TAGS.map(|(name, about)| Tag::builder().name(name).description(Some(about)).build());
    let mut document = OpenApi::builder()
        .info(info(sign_in))
        .components(Some(components().build()))
        .tags(Some(tags))
        .build();
    document.merge(routes);
    for item in document.paths.paths.values_mut() {
        let methods = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
        ];
        for operation in methods.into_iter().flatten() {
            operation::complete(operation, sign_in);
        }
    }
    document
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

/// Returns the components that operations refer to without declaring them.
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
        .schema(MemberBody::name(), MemberBody::schema())
        .security_scheme(
            operation::TOKEN,
            bearer("The session token that `POST /login` returns."),
        )
        .security_scheme(
            operation::METRICS_TOKEN,
            bearer("The `METRICS_TOKEN` of the server."),
        )
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
