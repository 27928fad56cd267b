//! The parameters and the body of an operation, with the errors that they bring.

use super::{JSON, Operation, answers::json_content};
use crate::error::Code;
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Required, Schema, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBody,
    },
};

/// The pattern of a cursor in a list of chats: the id of a chat, or up to three numbers with dots
/// between them.
const CURSOR: &str =
    "^(0|[1-9][0-9]{0,17}(\\.(0|[1-9][0-9]{0,17})){0,1}(\\.(0|[1-9][0-9]{0,17})){0,1})$";

/// The errors that a body brings.
const OF_A_BODY: [Code; 4] = [
    Code::InvalidJson,
    Code::InvalidField,
    Code::TooLarge,
    Code::UnsupportedMediaType,
];

impl Operation {
    /// Adds an id in the path.
    pub(crate) fn id<T: ToSchema>(mut self, name: &str, example: impl Into<Value>) -> Self {
        let schema = self.refer::<T>();
        self.codes.push(Code::InvalidField);
        self.parameter(ParameterIn::Path, name, "", schema, Some(example.into()))
    }

    /// Adds a text in the path.
    pub(crate) fn text(self, name: &str, about: &str, schema: Schema, example: &str) -> Self {
        let example = Some(example.into());
        self.parameter(ParameterIn::Path, name, about, schema, example)
    }

    /// Adds an optional parameter in the query.
    pub(crate) fn query(
        mut self,
        name: &str,
        about: &str,
        schema: impl Into<RefOr<Schema>>,
        example: impl Into<Value>,
    ) -> Self {
        self.codes.push(Code::InvalidField);
        let example = Some(example.into());
        self.parameter(ParameterIn::Query, name, about, schema, example)
    }

    /// Adds `limit`, the most rows of a page.
    pub(crate) fn limit(self) -> Self {
        let rows = ObjectBuilder::new().schema_type(Type::Integer);
        let rows = rows.minimum(Some(1)).default(Some(100.into())).build();
        self.query(
            "limit",
            "Maximum number of entries. A value over 1,000 counts as 1,000",
            rows,
            50,
        )
    }

    /// Adds `limit` and `after` for a list in the order of ids.
    pub(crate) fn page(self, of: &str) -> Self {
        let id = ObjectBuilder::new().schema_type(Type::Integer);
        let id = id.minimum(Some(0)).maximum(Some(i64::MAX as isize)).build();
        let about = format!("The page begins after the {of} with this id");
        self.limit().query("after", &about, id, 1)
    }

    /// Adds `limit` and `after` for a list with a changing order. Its cursor is more than an id.
    pub(crate) fn page_by_cursor(self, of: &str) -> Self {
        let cursor = ObjectBuilder::new().schema_type(Type::String);
        let cursor = cursor.pattern(Some(CURSOR)).build();
        let about = format!(
            "The start of the page: the value from the `Link` of the previous page, or the id of \
             the {of} after which the page begins"
        );
        self.limit().query("after", &about, cursor, "2.8.10")
    }

    /// Adds a required id in the query.
    pub(crate) fn required_query<T: ToSchema>(
        mut self,
        name: &str,
        about: &str,
        example: impl Into<Value>,
    ) -> Self {
        let schema = self.refer::<T>();
        self.codes.push(Code::InvalidField);
        let example = Some(example.into());
        let query = parameter(ParameterIn::Query, name, about, schema, example);
        self.builder = self.builder.parameter(query.required(Required::True));
        self
    }

    fn parameter(
        mut self,
        place: ParameterIn,
        name: &str,
        about: &str,
        schema: impl Into<RefOr<Schema>>,
        example: Option<Value>,
    ) -> Self {
        self.builder = self
            .builder
            .parameter(parameter(place, name, about, schema, example));
        self
    }

    /// Adds a JSON body.
    pub(crate) fn takes<T: ToSchema>(mut self, example: Value) -> Self {
        let content = json_content(self.refer::<T>(), example);
        let body = RequestBody::builder()
            .content(JSON, content)
            .required(Some(Required::True));
        self.builder = self.builder.request_body(Some(body.build()));
        self.refuses(&OF_A_BODY)
    }

    /// Adds an optional JSON body.
    pub(crate) fn may_take<T: ToSchema>(mut self, example: Value) -> Self {
        let content = json_content(self.refer::<T>(), example);
        let body = RequestBody::builder().content(JSON, content);
        self.builder = self.builder.request_body(Some(body.build()));
        self.refuses(&OF_A_BODY)
    }
}

fn parameter(
    place: ParameterIn,
    name: &str,
    about: &str,
    schema: impl Into<RefOr<Schema>>,
    example: Option<Value>,
) -> ParameterBuilder {
    let required = match place {
        ParameterIn::Path => Required::True,
        _ => Required::False,
    };
    Parameter::builder()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description((!about.is_empty()).then_some(about))
        .schema(Some(schema))
        .example(example)
}
