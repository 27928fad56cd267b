//! Names that look alike: one skeleton for all spellings of a name that a reader takes for the same.

use super::{
    characters::{composed, is_blank, is_ignorable},
    text::sought,
};
use crate::error::Error;
use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizerBorrowed;
use sha2::{Digest, Sha256};

/// The skeletons of a name (UTS 39, section 4). Two names with an equal first or an equal second one are
/// one name. It takes two: letters may look alike as they are written (`ТОМ` in Cyrillic and in Latin,
/// `carI` and `carl`) while their lower case does not, and the other way round (`IDA` and `ida`).
/// Kept as digests: compatibility forms grow to many times a name's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skeletons {
    /// SHA-256 of the skeleton of the case-folded name.
    pub folded: [u8; 32],
    /// SHA-256 of the case-folded skeleton of the name as it is written.
    pub written: [u8; 32],
}

impl Skeletons {
    /// The skeletons of a name.
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

/// A name that a user is looked for by, in any normal form.
#[derive(Clone, Debug)]
pub struct SoughtName {
    given: String,
    composed: String,
    /// The skeletons of all forms.
    pub skeletons: Skeletons,
}

impl SoughtName {
    /// Checks a name to sign in by. Names of an older database that are refused today are taken.
    ///
    /// # Errors
    /// `invalid_field` where no user can have it.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let found = Self::new(name);
        sought(&found.composed)?;
        Ok(found)
    }

    /// Looks for this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            given: name.to_owned(),
            composed: composed(name.to_owned()),
            skeletons: Skeletons::of(name),
        }
    }

    /// The name as it was typed.
    #[must_use]
    pub fn given(&self) -> &str {
        &self.given
    }

    /// The name in normal form C.
    #[must_use]
    pub fn composed(&self) -> &str {
        &self.composed
    }

    /// How near a stored name is, 0 being nearest: the name as typed, its normal form C, another form of
    /// it. None for another name, however alike: signing in tells upper from lower case.
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

/// UTS 39's skeleton, without what is not seen; space of any kind and length is one space.
fn skeleton(text: &str) -> String {
    let seen = text.chars().filter(|c| !is_ignorable(*c));
    let seen: String = seen.map(|c| if is_blank(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = seen.split(' ').filter(|word| !word.is_empty()).collect();
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
    fn names_that_look_alike_have_one_skeleton() {
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
    fn names_that_look_different_have_two() {
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
