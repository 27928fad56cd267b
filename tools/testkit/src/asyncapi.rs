//! The frames of `docs/asyncapi.yaml`. Every frame of a test is checked against it: the document must
//! describe each key of the server's frames, and must allow each frame that the server accepted.

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use std::{collections::HashMap, sync::OnceLock};

const TEXT: &str = include_str!("../../../docs/asyncapi.yaml");

/// The keywords that combine schemas.
const PARTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// The document with its schemas, compiled.
pub struct Document {
    /// The document itself.
    pub value: Value,
    /// Frames of clients, by type.
    pub sent: HashMap<String, Validator>,
    /// Frames of the server except acks, by type.
    pub received: HashMap<String, Validator>,
    /// Acks, by the type of the frame that they answer.
    pub acks: HashMap<String, Validator>,
}

impl Document {
    /// The document that the server serves.
    pub fn get() -> &'static Self {
        static DOCUMENT: OnceLock<Document> = OnceLock::new();
        DOCUMENT.get_or_init(|| Self::read(TEXT))
    }

    fn read(text: &str) -> Self {
        let value: Value = serde_saphyr::from_str(text).expect("YAML");
        let mut document = Self {
            value: value.clone(),
            sent: HashMap::new(),
            received: HashMap::new(),
            acks: HashMap::new(),
        };
        let operations = value["operations"].as_object().expect("operations");
        for operation in operations.values() {
            let messages = operation["messages"].as_array().expect("messages");
            if operation["action"] == "send" {
                for message in messages {
                    document.add_received(message);
                }
                continue;
            }
            let [message] = messages.as_slice() else {
                panic!("one type of frame for each operation was expected: {operation}");
            };
            let kind = name(document.resolve(message));
            document
                .sent
                .insert(kind.clone(), document.validator(message, false));
            for reply in operation["reply"]["messages"].as_array().expect("replies") {
                match name(document.resolve(reply)).as_str() {
                    "ack" => {
                        let ack = document.validator(reply, true);
                        document.acks.insert(kind.clone(), ack);
                    }
                    _ => document.add_received(reply),
                }
            }
        }
        document
    }

    fn add_received(&mut self, message: &Value) {
        let kind = name(self.resolve(message));
        let validator = self.validator(message, true);
        self.received.insert(kind, validator);
    }

    /// The target of a reference, or of a chain of references.
    pub fn resolve<'a>(&'a self, mut value: &'a Value) -> &'a Value {
        while let Some(path) = value["$ref"].as_str() {
            let path = path.strip_prefix('#').expect("a reference within");
            value = self.value.pointer(path).expect("what it points at");
        }
        value
    }

    /// The validator of a message's payload. If `closed`, the schema must name every key.
    fn validator(&self, message: &Value, closed: bool) -> Validator {
        let mut schema = self.inlined(&self.resolve(message)["payload"]);
        if closed {
            close(&mut schema);
        }
        jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&schema)
            .expect("a schema")
    }

    /// The value with its references replaced by their targets.
    fn inlined(&self, value: &Value) -> Value {
        match self.resolve(value) {
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (name.clone(), self.inlined(value)))
                .collect(),
            Value::Array(items) => items.iter().map(|item| self.inlined(item)).collect(),
            plain => plain.clone(),
        }
    }

    /// The fault of a server's frame, if any. `answered` is the type of the frame that it answers, if
    /// known.
    pub fn complaint(&self, frame: &Value, answered: Option<&str>) -> Option<String> {
        let kind = frame["type"].as_str().unwrap_or_default();
        match (kind, answered) {
            ("ack", Some(answered)) => match self.acks.get(answered) {
                Some(validator) => complaint(validator, frame),
                None => Some(format!("no ack of {answered} is described: {frame}")),
            },
            ("ack", None) => {
                let known = self.acks.values().any(|ack| ack.is_valid(frame));
                (!known).then(|| format!("no such ack is described: {frame}"))
            }
            _ => match self.received.get(kind) {
                Some(validator) => complaint(validator, frame),
                None => Some(format!(
                    "frames of type {kind:?} are not described: {frame}"
                )),
            },
        }
    }

    /// The fault of a client's frame, if any.
    pub fn complaint_of_sent(&self, frame: &Value) -> Option<String> {
        let kind = frame["type"].as_str().unwrap_or_default();
        match self.sent.get(kind) {
            Some(validator) => complaint(validator, frame),
            None => Some(format!(
                "frames of type {kind:?} are not described: {frame}"
            )),
        }
    }
}

fn name(message: &Value) -> String {
    message["name"]
        .as_str()
        .expect("a message's name")
        .to_owned()
}

fn complaint(validator: &Validator, frame: &Value) -> Option<String> {
    let error = validator.iter_errors(frame).next()?;
    let place = error.instance_path().to_string();
    Some(format!(
        "docs/asyncapi.yaml: {error} at {place:?} of {frame}"
    ))
}

/// Makes a schema refuse keys that it does not name.
fn close(schema: &mut Value) {
    close_within(schema);
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    if PARTS.iter().any(|parts| schema.contains_key(*parts)) {
        schema.insert("unevaluatedProperties".to_owned(), json!(false));
    } else if schema.contains_key("properties") {
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
}

/// Closes the schemas of properties and items. The parts of a combined schema stay open, because each
/// names some of the keys.
fn close_within(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(close);
    }
    if let Some(items) = schema.get_mut("items") {
        close(items);
    }
    for parts in PARTS {
        if let Some(parts) = schema.get_mut(parts).and_then(Value::as_array_mut) {
            parts.iter_mut().for_each(close_within);
        }
    }
}

/// Checks the frames of one socket, in both directions.
#[derive(Default)]
pub struct Watch {
    /// Frames with an id that have no answer yet, by id.
    asked: HashMap<String, Value>,
    /// Frames without an id that have no broadcast yet.
    unnamed: Vec<Value>,
}

impl Watch {
    /// Records a text that was sent. It is checked once the server accepts it.
    pub fn sent(&mut self, text: &str) {
        let Ok(Value::Object(frame)) = serde_json::from_str(text) else {
            return;
        };
        match frame.get("id") {
            Some(id) if !id.is_null() => {
                self.asked.insert(id.to_string(), Value::Object(frame));
            }
            _ => self.unnamed.push(Value::Object(frame)),
        }
    }

    /// Checks a text that came.
    #[track_caller]
    pub fn received(&mut self, text: &str) {
        let frame: Value = serde_json::from_str(text).expect("a frame of JSON");
        let asked = frame
            .get("id")
            .and_then(|id| self.asked.remove(&id.to_string()));
        let document = Document::get();
        let kind = asked.as_ref().and_then(|asked| asked["type"].as_str());
        let mut complaint = document.complaint(&frame, kind);
        let accepted = match &frame["type"] {
            kind if kind == "ack" => asked,
            kind if kind == "error" => {
                if frame.get("id").is_none() {
                    // The error may be about any of them.
                    self.unnamed.clear();
                }
                None
            }
            _ => self.broadcast(&frame),
        };
        if let Some(accepted) = accepted {
            complaint = complaint.or_else(|| document.complaint_of_sent(&accepted));
        }
        assert_eq!(complaint, None);
    }

    /// The frame without an id that this is the broadcast of.
    fn broadcast(&mut self, frame: &Value) -> Option<Value> {
        let place = self.unnamed.iter().position(|sent| answers(frame, sent))?;
        Some(self.unnamed.remove(place))
    }
}

/// Whether a broadcast is the effect of a frame.
fn answers(broadcast: &Value, sent: &Value) -> bool {
    let empty = Map::new();
    let asked = sent["content"].as_object().unwrap_or(&empty);
    let same = |field: &str, value: &Value| asked.get(field) == Some(value);
    let content = &broadcast["content"];
    match (broadcast["type"].as_str(), sent["type"].as_str()) {
        (Some("join"), Some("connect-chat")) | (Some("start-typing"), Some("start-typing")) => {
            same("chatId", &broadcast["chatId"])
        }
        (Some("send-message"), Some("send-message"))
        | (Some("update-message"), Some("update-message")) => {
            same("chatId", &content["chatId"]) && same("content", &content["content"])
        }
        (Some("delete-message"), Some("delete-message")) => {
            sent["content"] == *content || same("messageId", content)
        }
        (Some("read"), Some("mark-read")) => {
            same("chatId", &broadcast["chatId"]) && same("messageId", content)
        }
        _ => false,
    }
}
