//! Keeps comments in plain English: words that hide the subject stay rare.

use std::path::Path;
use testkit::riddles;

/// The most such words in 1,000 words of comments.
const LIMIT: f64 = 1.5;

#[test]
fn comments_speak_plainly() {
    let sources = super::sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "");
    let (mut words, mut found) = (0, Vec::new());
    for (file, text) in &sources {
        for (line, text) in text.lines().enumerate() {
            let text = text.trim_start();
            if text.starts_with("//") {
                words += text.split_whitespace().count();
                let riddles = riddles(text).into_iter();
                found.extend(riddles.map(|word| format!("{file}:{}: {word}", line + 1)));
            }
        }
    }
    assert!(words > 10_000, "{words} words of comments were read");
    let rate = found.len() as f64 * 1000.0 / words as f64;
    assert!(rate < LIMIT, "{rate:.2} in 1,000 words: {found:#?}");
}

#[test]
fn a_riddle_is_a_whole_word() {
    let two = riddles("// Whoever asks, and whatever is asked");
    assert_eq!(two, ["whoever", "whatever"]);
    assert!(riddles("// the janewayland of somewhat isolated").is_empty());
}
