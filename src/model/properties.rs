//! Property tests of the parsers of ids, names, passwords and contents.

use super::{
    characters::{breaks_a_line, composed, is_visible},
    id::{Seq, UserId},
    text::{ChatName, ClientMessageId, Content, Password, Username},
};
use crate::error::{Code, Error};
use proptest::prelude::*;

/// Generates texts around every length limit, with characters of one or several bytes, and with characters
/// that are refused.
fn text() -> impl Strategy<Value = String> {
    let lengths = [1, 64, 65, 255, 256, 1024, 1025, 4096, 16_384, 16_385];
    let long = (
        prop::sample::select(lengths.to_vec()),
        any::<char>(),
        any::<char>(),
    );
    prop_oneof![
        any::<String>(),
        "[ \\t\\n\\u{3000}]{0,4}",
        "\\PC{0,300}",
        long.prop_map(|(length, c, last)| {
            let mut text = c.to_string().repeat(length - 1);
            text.push(last);
            text
        }),
    ]
}

/// Returns true if the text is a valid line of at most `most` characters.
fn is_line(text: &str, most: usize) -> bool {
    let visible = text.chars().any(|c| !c.is_whitespace());
    visible && text.chars().count() <= most && !text.chars().any(char::is_control)
}

/// Checks that a text was accepted as `text` if it is valid, and refused with the field's name if it is not.
fn accepted_if<T>(
    right: bool,
    text: &str,
    field: &str,
    parsed: &Result<T, Error>,
    shown: impl Fn(&T) -> String,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(parsed.is_ok(), right);
    match parsed {
        Ok(value) => prop_assert_eq!(shown(value), text),
        Err(error) => {
            prop_assert!(error.message().contains(field));
            prop_assert!(matches!(error.code(), Code::InvalidField | Code::TooLarge));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn names_keep_their_limits(text in text()) {
        let name = composed(text.clone());
        let right = is_visible(&name) && !name.chars().any(breaks_a_line) && name.chars().count() <= 255;
        accepted_if(right, &name, "username", &Username::parse(text.clone()), ToString::to_string)?;
        accepted_if(right, &name, "chatName", &ChatName::parse(text.clone()), ToString::to_string)?;
        let key = ClientMessageId::parse(text.clone());
        accepted_if(is_line(&text, 64), &text, "clientMessageId", &key, ToString::to_string)?;
    }

    #[test]
    fn content_keeps_its_limits(text in text()) {
        let right = is_visible(&text) && text.len() <= 16_384 && !text.contains('\0');
        let content = Content::parse(text.clone());
        accepted_if(right, &text, "content", &content, ToString::to_string)?;
        let too_large = content.is_err_and(|error| error.code() == Code::TooLarge);
        prop_assert_eq!(too_large, text.len() > 16_384);
    }

    #[test]
    fn passwords_are_refused_without_being_shown(text in "[a-z\\x00]{1,2000}") {
        match Password::parse(text.clone()) {
            Ok(password) => prop_assert_eq!(password.as_bytes(), text.as_bytes()),
            Err(error) => {
                prop_assert!(error.message().contains("password"));
                prop_assert!(text.len() < 4 || !error.message().contains(&text));
            }
        }
    }

    #[test]
    fn an_id_is_read_from_its_own_digits_alone(text in prop_oneof![
        any::<String>(), "[-+]?[0-9]{0,21}", any::<i64>().prop_map(|n| n.to_string()),
    ]) {
        match text.parse::<UserId>() {
            Ok(id) => prop_assert!(id.0 > 0 && id.to_string() == text),
            Err(()) => prop_assert!(text.parse::<i64>().is_err() || text.starts_with(['-', '+', '0'])),
        }
        match text.parse::<Seq>() {
            Ok(seq) => prop_assert!(seq.0 >= 0 && seq.to_string() == text),
            Err(()) => prop_assert!(
                text.parse::<i64>().is_err() || text.starts_with(['-', '+', '0'])
            ),
        }
    }

    #[test]
    fn a_json_id_is_a_positive_integer(n in any::<i64>(), other in any::<f64>()) {
        let read = |text: &str| serde_json::from_str::<UserId>(text).ok();
        prop_assert_eq!(read(&n.to_string()), Some(UserId(n)).filter(|id| id.0 > 0));
        prop_assert_eq!(read(&format!("\"{n}\"")), None);
        prop_assert_eq!(read(&format!("{other:e}")), None);
    }
}
