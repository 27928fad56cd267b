//! Text without case and accents, for comparing.

use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// Folds a text: compatibility decomposition (NFKD), accents and points left out, case folded by way
/// of the upper case, so that ß, ẞ and SS are equal, and ς equals σ. Vowel signs of other scripts stay: they are
/// letters there.
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
    // A letter in lower case may have an accent again. Composed in the end, so that a letter is not found
    // as the beginning of another: か in が.
    Cow::Owned(folded.nfkd().filter(|&c| !is_accent(c)).nfc().collect())
}

/// Whether a character is an accent of Latin, Greek or Cyrillic, or a point of Hebrew or Arabic: the
/// blocks of combining diacritical marks, and the points of the two blocks, by the Unicode Standard.
fn is_accent(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}'
        | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}'
        | '\u{610}'..='\u{61a}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}')
}
