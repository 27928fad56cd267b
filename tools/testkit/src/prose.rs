//! Finds words that hide the subject of a sentence, in comments and documents.

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

/// The words of a text that hide a subject, as often as they occur.
pub fn riddles(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let count = |riddle: &str| {
        let riddle: Vec<&str> = riddle.split(' ').collect();
        words.windows(riddle.len()).filter(|w| *w == riddle).count()
    };
    let found = RIDDLES.iter().flat_map(|r| vec![*r; count(r)]);
    found.collect()
}
