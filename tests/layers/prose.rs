//! Keeps comments in plain English: words of riddles stay rare.

use std::path::Path;

/// Words that hide the subject of a sentence. A plain sentence names it.
const RIDDLES: &[&str] = &[
    "whoever",
    "somebody",
    "nobody",
    "whose",
    "whom",
    "none where",
    "of those",
    "who is",
    "what is",
    "that which",
    "no more than",
    "anew",
    "whichever",
    "whatever",
];

/// Most of them in 1,000 words of comments.
const LIMIT: f64 = 1.5;

/// How many riddles a comment holds.
fn riddles(comment: &str) -> usize {
    let text = comment.to_lowercase();
    let is_letter = |c: char| c.is_alphanumeric();
    let count = |word: &str| {
        let found = text.match_indices(word);
        let whole = found.filter(|(at, _)| {
            let before = text[..*at].chars().next_back();
            let after = text[at + word.len()..].chars().next();
            !before.is_some_and(is_letter) && !after.is_some_and(is_letter)
        });
        whole.count()
    };
    RIDDLES.iter().map(|word| count(word)).sum()
}

#[test]
fn comments_speak_plainly() {
    let sources = super::sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "");
    let (mut words, mut found) = (0, Vec::new());
    for (file, text) in &sources {
        for (line, text) in text.lines().enumerate() {
            let text = text.trim_start();
            if !text.starts_with("//") {
                continue;
            }
            words += text.split_whitespace().count();
            if riddles(text) > 0 {
                found.push(format!("{file}:{}: {text}", line + 1));
            }
        }
    }
    assert!(words > 10_000, "{words} words of comments were read");
    let rate = found.len() as f64 * 1000.0 / words as f64;
    assert!(rate < LIMIT, "{rate:.2} in 1,000 words: {found:#?}");
}

#[test]
fn a_riddle_is_a_whole_word() {
    assert_eq!(riddles("// Whoever asks, and whatever is asked"), 2);
    assert_eq!(riddles("// the janewayland of somewhat isolated"), 0);
}
