//! Classes of characters by their Unicode properties: visible, blank, ignorable, and line-breaking ones. The
//! checks of names and texts in this module use them.

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{BidiControl, DefaultIgnorableCodePoint, GeneralCategory, WhiteSpace},
};

/// Characters that Unicode classes as letters or symbols but that fonts leave blank: BRAILLE PATTERN BLANK,
/// MUSICAL SYMBOL NULL NOTEHEAD, two Egyptian hieroglyph blanks, and the Khitan filler. The Hangul fillers
/// are missing because they are default-ignorable.
const BLANKS: [char; 5] = [
    '\u{2800}',
    '\u{1d159}',
    '\u{13441}',
    '\u{13442}',
    '\u{16fe4}',
];

/// Returns true if the character shows no glyph of its own: zero-width characters, joiners, variation
/// selectors, fillers, tags, annotation anchors and hieroglyph joiners.
pub(super) fn is_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}')
}

/// Returns true if the character shows as empty space.
pub(super) fn is_blank(c: char) -> bool {
    CodePointSetData::new::<WhiteSpace>().contains(c) || BLANKS.contains(&c)
}

/// Returns true if the character is a Unicode space separator (category Zs).
pub(super) fn is_space(c: char) -> bool {
    CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::SpaceSeparator
}

/// Returns true if the text contains at least one visible character.
pub(super) fn is_visible(text: &str) -> bool {
    let has_glyph = |c: char| !is_blank(c) && !is_ignorable(c) && !c.is_control();
    text.chars().any(has_glyph)
}

/// Returns true if the character is a control character, ends a line, or changes the direction of the text
/// around it.
pub(super) fn breaks_a_line(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}')
        || CodePointSetData::new::<BidiControl>().contains(c)
}

/// Returns the text in Unicode normal form C.
pub(super) fn composed(text: String) -> String {
    let nfc = ComposingNormalizerBorrowed::new_nfc();
    match nfc.is_normalized(&text) {
        true => text,
        false => nfc.normalize(&text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_characters_are_not_visible() {
        let invisible = [
            "",
            " \t\n\u{a0}\u{3000}\u{2028}",
            "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}\u{ad}",
            "\u{115f}\u{1160}\u{3164}\u{ffa0}",
            "\u{2800}\u{1d159}\u{13441}\u{16fe4}",
            "\u{200e}\u{202e}\u{2066}\u{61c}",
            "\u{e0041}\u{fe0f}\u{34f}\u{180e}\u{17b4}",
            "\u{0}\u{7f}\u{85}",
        ];
        for text in invisible {
            assert!(!is_visible(text), "{text:?}");
            assert!(is_visible(&format!("{text}x")), "{text:?}x");
        }
        for text in [
            "a",
            "名",
            "👨\u{200d}👩",
            "\u{301}",
            ".",
            "\u{2801}",
            "\u{378}",
        ] {
            assert!(is_visible(text), "{text:?}");
        }
    }

    #[test]
    fn controls_and_direction_characters_break_a_line() {
        for c in [
            '\n', '\0', '\u{7f}', '\u{85}', '\u{2028}', '\u{202e}', '\u{2067}', '\u{200f}',
        ] {
            assert!(breaks_a_line(c), "{c:?}");
        }
        for c in ['a', ' ', '\u{200d}', 'ש', '\u{3000}'] {
            assert!(!breaks_a_line(c), "{c:?}");
        }
    }
}
