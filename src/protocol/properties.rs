//! Property tests of the frame parser: every valid frame is parsed, every invalid one is refused.

use super::client::{ClientCommand, Request};
use crate::{
    error::Code,
    model::{Content, Username},
};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

fn id() -> impl Strategy<Value = i64> {
    1..=i64::MAX
}

/// Generates a text within every length limit.
fn text(most: usize) -> impl Strategy<Value = String> {
    let visible = any::<char>().prop_filter("visible", |c| !c.is_control() && !c.is_whitespace());
    prop::collection::vec(visible, 1..most).prop_map(String::from_iter)
}

/// Generates a user name that parsing leaves unchanged.
fn name() -> impl Strategy<Value = String> {
    text(60).prop_filter("a name in normal form", |text| {
        Username::parse(text.clone()).is_ok_and(|name| name.as_str() == text)
    })
}

/// Generates a valid content: text with at least one visible character.
fn content() -> impl Strategy<Value = String> {
    text(60).prop_filter("a visible content", |text| {
        Content::parse(text.clone()).is_ok()
    })
}

/// Generates a `since` value: a bare number, or an object with an epoch.
fn since() -> impl Strategy<Value = Value> {
    let number = (0..=i64::MAX).prop_map(Value::from);
    let whole = (0..=i64::MAX, text(60));
    let whole = whole.prop_map(|(seq, epoch)| json!({ "seq": seq, "epoch": epoch }));
    prop_oneof![number, whole]
}

/// Generates a valid frame of any type, and the names of its fields.
fn right_frame() -> impl Strategy<Value = (Value, Vec<&'static str>)> {
    (id(), id(), id(), since(), content(), name()).prop_flat_map(
        |(chat, user, message, since, content, name)| {
            let frame = |kind: &str, content: Value| json!({ "type": kind, "content": content });
            let connect = json!({
                "customerId": user, "chatId": chat, "username": name, "since": since
            });
            let send = json!({
                "chatId": chat, "customerId": user, "content": content,
                "clientMessageId": name, "replyTo": message
            });
            let update = json!({
                "messageId": message, "chatId": chat, "customerId": user, "content": content
            });
            select(vec![
                (
                    frame("connect-chat", connect),
                    vec!["customerId", "chatId", "username", "since"],
                ),
                (
                    frame("send-message", send),
                    vec![
                        "chatId",
                        "customerId",
                        "content",
                        "clientMessageId",
                        "replyTo",
                    ],
                ),
                (
                    frame("update-message", update),
                    vec!["messageId", "chatId", "customerId", "content"],
                ),
                (
                    frame("delete-message", json!({ "messageId": message })),
                    vec!["messageId"],
                ),
                (
                    frame("leave-chat", json!({ "chatId": chat })),
                    vec!["chatId"],
                ),
                (
                    frame(
                        "start-typing",
                        json!({ "chatId": chat, "customerId": user }),
                    ),
                    vec!["chatId", "customerId"],
                ),
                (
                    frame(
                        "mark-read",
                        json!({ "chatId": chat, "messageId": message, "customerId": user }),
                    ),
                    vec!["chatId", "messageId", "customerId"],
                ),
            ])
        },
    )
}

/// Serializes a parsed command back into the content of its frame.
fn written(command: &ClientCommand) -> Value {
    match command {
        ClientCommand::Connect(c) => json!({
            "customerId": c.user, "chatId": c.chat,
            "since": c.since.as_ref().map(|since| match &since.epoch {
                Some(epoch) => json!({ "seq": since.seq, "epoch": epoch }),
                None => json!(since.seq),
            }),
            "username": c.username.as_ref().map(|name| name.as_str()),
        }),
        ClientCommand::Send(s) => json!({
            "chatId": s.chat, "customerId": s.author, "content": s.content.as_str(),
            "clientMessageId": s.client_message_id.as_ref().map(|id| id.as_str()),
            "replyTo": s.reply_to,
        }),
        ClientCommand::Update(u) => json!({
            "messageId": u.message, "chatId": u.chat, "customerId": u.user,
            "content": u.content.as_str(),
        }),
        ClientCommand::Delete(d) => json!({ "messageId": d.message }),
        ClientCommand::Leave(chat) => json!({ "chatId": chat }),
        ClientCommand::Typing(t) => json!({ "chatId": t.chat, "customerId": t.user }),
        ClientCommand::Read(r) => json!({
            "chatId": r.chat, "messageId": r.message, "customerId": r.user,
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_text_is_handled(text in prop_oneof![
        any::<String>(),
        "[\\[\\]{}\",:0-9a-z \\\\]{0,60}",
        "\\{\"type\":\"[a-z-]{0,15}\",\"content\":[\\[\\]{}\",:0-9a-zA-Z]{0,40}\\}",
    ]) {
        if let Err(error) = Request::parse(&text).command {
            prop_assert!(matches!(
                error.code(),
                Code::InvalidJson | Code::InvalidField | Code::UnknownType | Code::TooLarge
            ));
            prop_assert!(error.message().len() > 10);
        }
    }

    #[test]
    fn a_valid_frame_is_read_as_written((frame, _) in right_frame()) {
        let command = Request::parse(&frame.to_string()).command;
        let read = command.as_ref().map(written).map_err(ToString::to_string);
        prop_assert_eq!(read, Ok(frame["content"].clone()));
    }

    #[test]
    fn one_wrong_field_is_named(
        (mut frame, fields) in right_frame(),
        which in any::<prop::sample::Index>(),
        wrong in select(vec![
            json!(-1), json!(1.5), json!(""), json!(" "), json!("a\0b"), json!([]), json!({}),
            json!(true), json!("x".repeat(16_385)),
        ]),
    ) {
        let field = fields[which.index(fields.len())];
        frame["content"][field] = wrong;
        let error = Request::parse(&frame.to_string()).command.err();
        let message = error.as_ref().map_or(String::new(), ToString::to_string);
        let code = error.map(|error| error.code());
        prop_assert!(matches!(code, Some(Code::InvalidField | Code::TooLarge)), "{frame}");
        prop_assert!(message.contains(field), "{field}: {message}");
    }

    #[test]
    fn an_id_comes_back_as_it_was_written(
        (mut frame, _) in right_frame(),
        id in prop_oneof![
            any::<String>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("a number", |n| n.is_finite()).prop_map(Value::from),
        ],
    ) {
        frame["id"] = id.clone();
        let request = Request::parse(&frame.to_string());
        let given = request.id.map(|id| id.get().to_owned());
        prop_assert_eq!(given, Some(id.to_string()));
        prop_assert!(request.command.is_ok());
    }
}
