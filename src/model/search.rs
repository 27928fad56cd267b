//! Search text, compared without regard to case and accents, and the grams that the search index knows of a text.
//!
//! A message matches if its folded text contains the folded search text anywhere, also in the middle of a word. The
//! index therefore holds short pieces of each word, its grams, and not whole words: every gram of a text is also a
//! gram of each text that contains it. So the messages that have all grams of a search text include all matches, and
//! comparing their texts removes the others. A gram depends on its own characters alone. Words by the rules of
//! Unicode (UAX 29) would not do: their borders depend on the neighbours, which a piece of a word lacks.
//!
//! Between white space, a gram is three characters in a row, or two of which one is Han, kana, Hangul or Bopomofo:
//! these scripts write a word with one or two characters. A search text without a gram, such as one letter, is
//! compared with one message after the other.

use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// Maximum length of a search text, in bytes.
const MAX_BYTES: usize = 256;
/// Maximum number of grams by which a search text is looked up. Further grams would exclude hardly any message, and
/// each costs a lookup in every segment of the index.
const MAX_GRAMS: usize = 12;

/// Folded search text. Postgres and SQLite find equal results, because the folding is done in Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchText(String);

impl SearchText {
    /// Parses a search text. Returns `None` if the text is empty, longer than 256 bytes, contains U+0000, or
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

    /// Returns the grams by which the text is looked up in the index: at most `MAX_GRAMS`, from all over the
    /// text. Empty if the text has no gram.
    #[must_use]
    pub fn grams(&self) -> Vec<u32> {
        let all = grams_of_folded(&self.0);
        let step = all.len().div_ceil(MAX_GRAMS).max(1);
        all.into_iter().step_by(step).collect()
    }
}

/// Returns the grams of the content of a message, in ascending order, each once. Each is a hash of the characters
/// of the gram. The hashes are stored: a change of them, or of the folding, needs a new table.
#[must_use]
pub fn grams_of(content: &str) -> Vec<u32> {
    grams_of_folded(&fold(content))
}

fn grams_of_folded(folded: &str) -> Vec<u32> {
    let mut grams = Vec::with_capacity(folded.len());
    let mut run = Vec::new();
    for word in folded.split(char::is_whitespace) {
        run.clear();
        run.extend(word.chars());
        let pairs = run.windows(2);
        grams.extend(pairs.filter(|pair| pair.iter().any(is_dense)).map(hash));
        let triples = run.windows(3);
        grams.extend(
            triples
                .filter(|three| !three.iter().any(is_dense))
                .map(hash),
        );
    }
    grams.sort_unstable();
    grams.dedup();
    grams
}

/// Returns true for a character of a script in which one or two characters are a word: Han, kana, Hangul, Bopomofo.
/// The ranges are Unicode blocks. They include characters that are not assigned yet, so that a later version of
/// Unicode changes no gram.
fn is_dense(c: &char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{2fff}' | '\u{3005}'..='\u{3007}'
        | '\u{3021}'..='\u{3029}' | '\u{3031}'..='\u{3035}' | '\u{3038}'..='\u{303c}'
        | '\u{3040}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}'
        | '\u{1aff0}'..='\u{1b16f}' | '\u{20000}'..='\u{3ffff}')
}

/// Returns the hash of a gram. Two grams with one hash only make the search compare more messages.
fn hash(gram: &[char]) -> u32 {
    let mixed = gram.iter().fold(0, |hash: u64, &c| mix(hash, u64::from(c)));
    (mixed >> 32) as u32
}

/// Mixes a value into a hash of 64 bits. The upper half of the result depends on all bits of both.
#[must_use]
pub(crate) const fn mix(hash: u64, value: u64) -> u64 {
    // The increment and a multiplier of the generator SplitMix64.
    let mixed = hash.wrapping_add(value).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
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
    fn a_text_has_every_gram_of_its_pieces() {
        let texts = [
            "Say HELLO to Äpfel und STRAẞE, it's 100% (sure)!",
            "5月に東京タワーへ行きます。カラオケ",
            "안녕하세요 세계 ㄅㄆ",
            "a😀b 🇩🇪🇫🇷 naïve cafe\u{301}s क्षत्रिय ไทย",
        ];
        for text in texts {
            let all = grams_of(text);
            let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            for (n, &start) in starts.iter().enumerate() {
                for &end in starts[n..].iter().chain([&text.len()]) {
                    let Some(piece) = SearchText::parse(&text[start..end]) else {
                        continue;
                    };
                    let found = piece.grams().iter().all(|gram| all.contains(gram));
                    assert!(found || !piece.is_in(text), "{piece:?} in {text}");
                }
            }
        }
    }

    #[test]
    fn words_of_three_letters_and_of_two_dense_characters_have_grams() {
        let count = |text: &str| SearchText::parse(text).map_or(0, |text| text.grams().len());
        for (text, expected) in [
            ("a", 0),
            ("ab", 0),
            ("a b c", 0),
            ("abc", 1),
            ("abcd ab bcd", 2),
            ("名", 0),
            ("名前", 1),
            ("5月", 1),
            ("안녕하", 2),
            ("C++", 1),
            ("abcdefghijklm", 11),
        ] {
            assert_eq!(count(text), expected, "{text}");
        }
        let long: String = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
        assert!((6..=MAX_GRAMS).contains(&count(&long)));
    }

    #[test]
    fn hashes_stay_as_they_are_stored() {
        assert_eq!(grams_of("ABC"), [0x8377_c302]);
        assert_eq!(grams_of("名前"), [0x5a9e_b256]);
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
