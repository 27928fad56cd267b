//! Parameters that select a page of a list, for the `params(…)` of a handler.

use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Required, Type,
        path::{Parameter, ParameterIn},
    },
};

/// The pattern of a cursor in a list of chats: the id of a chat, or up to three numbers with dots
/// between them.
const CURSOR: &str =
    "^(0|[1-9][0-9]{0,17}(\\.(0|[1-9][0-9]{0,17})){0,1}(\\.(0|[1-9][0-9]{0,17})){0,1})$";

/// `limit`, the most rows of a page.
pub(crate) struct PageSize;

/// `after`, the user after which a page begins.
pub(crate) struct AfterUser;

/// `after`, the chat after which a page begins.
pub(crate) struct AfterChat;

/// `after`, the start of a page in a list of chats with a changing order. Its cursor is more than
/// an id.
pub(crate) struct AfterCursor;

impl IntoParams for PageSize {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let rows = ObjectBuilder::new().schema_type(Type::Integer);
        let rows = rows.minimum(Some(1)).default(Some(100.into()));
        let about = "Maximum number of entries. A value over 1,000 counts as 1,000";
        vec![parameter("limit", about, rows, 50)]
    }
}

impl IntoParams for AfterUser {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![after_id("The page begins after the user with this id")]
    }
}

impl IntoParams for AfterChat {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![after_id("The page begins after the chat with this id")]
    }
}

impl IntoParams for AfterCursor {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let cursor = ObjectBuilder::new().schema_type(Type::String);
        let cursor = cursor.pattern(Some(CURSOR));
        let about = "The start of the page: the value from the `Link` of the previous page, or the \
                     id of the chat after which the page begins";
        vec![parameter("after", about, cursor, "2.8.10")]
    }
}

fn after_id(about: &str) -> Parameter {
    let id = ObjectBuilder::new().schema_type(Type::Integer);
    let id = id.minimum(Some(0)).maximum(Some(i64::MAX as isize));
    parameter("after", about, id, 1)
}

fn parameter(
    name: &str,
    about: &str,
    schema: ObjectBuilder,
    example: impl Into<serde_json::Value>,
) -> Parameter {
    Parameter::builder()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(schema))
        .example(Some(example.into()))
        .build()
}
