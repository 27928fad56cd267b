//! Skeletons of names (UTS 39). Names that look alike have a common skeleton, so that no user can take a name
//! that resembles another user's name.

use super::{
    characters::{composed, is_blank, is_ignorable},
    text::sought,
};
use crate::error::Error;
use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizerBorrowed;
use sha2::{Digest, Sha256};

/// Skeletons of a name (UTS 39, section 4). Two names collide if their `folded` skeletons are equal or their
/// `written` skeletons are equal. Two skeletons are necessary: letters may look alike as written (`ТОМ` in
/// Cyrillic and in Latin, `carI` and `carl`) while their lower case does not, and the reverse (`IDA` and
/// `ida`). Stored as digests, because compatibility forms can be many times as long as the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skeletons {
    /// SHA-256 of the skeleton of the case-folded name.
    pub folded: [u8; 32],
    /// SHA-256 of the case-folded skeleton of the name as it is written.
    pub written: [u8; 32],
}

impl Skeletons {
    /// Computes the skeletons of a name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let written = compatible(name);
        let folded = skeleton(&fold(&written));
        let written = skeleton(&fold(&skeleton(&written)));
        Self {
            folded: digest(&folded),
            written: digest(&written),
        }
    }
}

/// Name by which a user is searched, in any Unicode normal form.
#[derive(Clone, Debug)]
pub struct SoughtName {
    given: String,
    composed: String,
    /// Skeletons of the name. They are equal for all of its normal forms.
    pub skeletons: Skeletons,
}

impl SoughtName {
    /// Checks a name for signing in. Accepts names that new users may not take but users of an older database
    /// may have.
    ///
    /// # Errors
    /// `invalid_field` if no user can have the name.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let found = Self::new(name);
        sought(&found.composed)?;
        Ok(found)
    }

    /// Returns the name without checking it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            given: name.to_owned(),
            composed: composed(name.to_owned()),
            skeletons: Skeletons::of(name),
        }
    }

    /// Returns the name as typed.
    #[must_use]
    pub fn given(&self) -> &str {
        &self.given
    }

    /// Returns the name in normal form C.
    #[must_use]
    pub fn composed(&self) -> &str {
        &self.composed
    }

    /// Returns how far a stored name is from this name: 0 if it equals the name as typed, 1 if it equals the
    /// normal form C, 2 if it has an equal normal form C. Returns `None` for any other name, even if it looks
    /// alike: signing in is case-sensitive.
    #[must_use]
    pub fn distance(&self, stored: &str) -> Option<u8> {
        match stored {
            _ if stored == self.given => Some(0),
            _ if stored == self.composed => Some(1),
            _ => (composed(stored.to_owned()) == self.composed).then_some(2),
        }
    }
}

fn compatible(text: &str) -> String {
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    nfkc.normalize(text).into_owned()
}

fn fold(text: &str) -> String {
    compatible(&CaseMapper::new().fold_string(text))
}

/// Returns the UTS 39 skeleton without ignorable characters. Runs of blank characters become one space;
/// leading and trailing blanks are removed.
fn skeleton(text: &str) -> String {
    let visible = text.chars().filter(|c| !is_ignorable(*c));
    let visible: String = visible.map(|c| if is_blank(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = visible.split(' ').filter(|word| !word.is_empty()).collect();
    unicode_security::skeleton(&words.join(" ")).collect()
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(one: &str, other: &str) -> bool {
        let (one, other) = (Skeletons::of(one), Skeletons::of(other));
        one.folded == other.folded || one.written == other.written
    }

    #[test]
    fn names_that_look_alike_share_a_skeleton() {
        let pairs = [
            ("carl", "CARL"),
            ("carl", "с\u{0430}rl"),
            ("carl", "carI"),
            ("carl", "car1"),
            ("carl", "ca\u{200b}rl"),
            ("carl", "ｃａｒｌ"),
            ("carl", " carl\u{2800} "),
            ("anna maria", "Anna  Maria"),
            ("Zoë", "Zoe\u{308}"),
            ("zoë", "ZOË"),
            ("Tom", "Т\u{043e}m"),
            ("tom", "ТОМ"),
            ("bob", "B0B"),
            ("modern", "rnodem"),
            ("ida", "IDA"),
            ("straße", "STRASSE"),
            ("вова", "ВОВА"),
            ("\u{fdfa}", "\u{fdfa}\u{200d}"),
        ];
        for (one, other) in pairs {
            assert!(alike(one, other), "{one:?} and {other:?}");
        }
    }

    #[test]
    fn names_that_look_different_have_different_skeletons() {
        let pairs = [
            ("carl", "karl"),
            ("zoe", "zoë"),
            ("ali", "all"),
            ("anna maria", "annamaria"),
            ("user1", "user2"),
            ("東京", "京東"),
            ("ира", "ipa\u{301}"),
        ];
        for (one, other) in pairs {
            assert!(!alike(one, other), "{one:?} and {other:?}");
        }
    }
}
