//! Search text, compared without regard to case and accents.

use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// Maximum length of a search text, in bytes: the maximum length of a message.
const MAX_BYTES: usize = 16 * 1024;

/// Folded search text. Postgres and SQLite find equal results, because the folding is done in Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchText(String);

impl SearchText {
    /// Parses a search text. Returns `None` if the text is empty, longer than 16 KiB, contains U+0000, or
    /// consists of accents only.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES || text.contains('\0') {
            return None;
        }
        let folded = fold(text);
        (!folded.is_empty()).then(|| Self(folded.into_owned()))
    }

    /// Returns true if the content of a message contains the text.
    #[must_use]
    pub fn is_in(&self, content: &str) -> bool {
        // ASCII content folds to ASCII, so a search text beyond ASCII cannot be in it.
        (self.0.is_ascii() || !content.is_ascii()) && fold(content).contains(&self.0)
    }
}

/// Folds a text: compatibility decomposition (NFKD), removal of accents and points, and case folding. Case
/// folding goes through upper case, so that ß, ẞ and SS are equal, and ς equals σ. Vowel signs of other
/// scripts stay, because they are letters in those scripts.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(text.to_ascii_lowercase()),
            false => Cow::Borrowed(text),
        };
    }
    let letters = text.nfkd().filter(|&c| !is_accent(c));
    let folded = letters
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase);
    // Lower case may add accents again, hence the second removal. The result is composed, so that a letter
    // does not match the start of a decomposed letter: か in が.
    Cow::Owned(folded.nfkd().filter(|&c| !is_accent(c)).nfc().collect())
}

/// Returns true if a character is an accent of Latin, Greek or Cyrillic, or a point of Hebrew or Arabic. The
/// ranges are the Unicode blocks of combining diacritical marks, and the points of the Hebrew and Arabic
/// blocks.
fn is_accent(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}'
        | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}'
        | '\u{610}'..='\u{61a}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(text: &str, content: &str) -> bool {
        SearchText::parse(text).is_some_and(|text| text.is_in(content))
    }

    #[test]
    fn case_and_accents_do_not_count() {
        for (text, content) in [
            ("hello", "Say HELLO"),
            ("äpfel", "Äpfel"),
            ("apfel", "ÄPFEL"),
            ("ÄPFEL", "zwei apfel"),
            ("москва", "Из МОСКВЫ в МОСКВА"),
            ("e\u{301}te\u{301}", "\u{c9}T\u{c9}"),
            ("\u{e9}", "CAFE\u{301}"),
            ("ΟΔΟΣ", "οδος"),
            ("οδός", "ΟΔΟΣ"),
            ("straße", "STRASSE"),
            ("strasse", "STRA\u{1e9e}E"),
            ("STRA\u{1e9e}E", "Straße"),
            ("istanbul", "İSTANBUL"),
            ("ﬁne", "FINE"),
            ("１２", "12"),
            ("名", "ß 名前"),
            ("שלום", "שָׁלוֹם"),
        ] {
            assert!(finds(text, content), "{text} in {content}");
        }
    }

    #[test]
    fn other_letters_and_vowel_signs_do_count() {
        for (text, content) in [
            ("hello", "help"),
            ("москва", "МОСКВЫ"),
            ("か", "が"),
            ("कि", "की"),
            ("é", "a"),
        ] {
            assert!(!finds(text, content), "{text} in {content}");
        }
    }

    #[test]
    fn a_text_is_neither_empty_nor_accents_alone_nor_too_long() {
        assert!(SearchText::parse("%_!").is_some());
        assert!(SearchText::parse(&"x".repeat(MAX_BYTES)).is_some());
        for wrong in ["", "\u{301}", "a\0", &"x".repeat(MAX_BYTES + 1)] {
            assert!(SearchText::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
