//! Reads the parts of Markdown that the tests need: fenced blocks, headings, links, code spans.

use std::{collections::BTreeSet, fs, path::Path};

/// A document of the repository.
pub struct Document {
    /// Path from the root of the repository.
    pub path: String,
    /// The text outside of fenced blocks, with code spans.
    prose: String,
    /// Fenced blocks in order.
    pub blocks: Vec<Block>,
}

/// A fenced block.
pub struct Block {
    /// The word behind the fence, such as `sh`; empty without one.
    pub language: String,
    /// The lines between the fences.
    pub lines: Vec<String>,
}

impl Document {
    /// Reads the document at a path from the root.
    pub fn read(root: &Path, path: &str) -> Self {
        let text = fs::read_to_string(root.join(path)).expect(path);
        let (mut prose, mut blocks, mut open) = (String::new(), Vec::new(), None::<Block>);
        for line in text.lines() {
            let fence = line.trim_start().strip_prefix("```");
            match (fence, &mut open) {
                (Some(language), None) => {
                    open = Some(Block {
                        language: language.trim().to_owned(),
                        lines: Vec::new(),
                    });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.lines.push(line.trim_start().to_owned()),
                (None, None) => {
                    prose.push_str(line);
                    prose.push('\n');
                }
            }
        }
        assert!(open.is_none(), "{path}: a fence is not closed");
        Self {
            path: path.to_owned(),
            prose,
            blocks,
        }
    }

    /// The text outside of fenced blocks and code spans.
    pub fn words(&self) -> String {
        let pieces = self.prose.split('`').enumerate();
        pieces
            .filter(|(n, _)| n % 2 == 0)
            .map(|(_, text)| text)
            .collect()
    }

    /// The code spans, each in one line.
    pub fn spans(&self) -> Vec<String> {
        let pieces = self.prose.split('`').enumerate();
        let spans = pieces.filter(|(n, _)| n % 2 == 1);
        spans
            .map(|(_, text)| text.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    /// The targets of links and images.
    pub fn links(&self) -> Vec<String> {
        let words = self.words();
        let targets = words.split("](").skip(1);
        targets
            .map(|rest| rest.split(')').next().unwrap_or_default().to_owned())
            .collect()
    }

    /// The anchors of the headings, as repository hosts make them.
    pub fn anchors(&self) -> BTreeSet<String> {
        let mut anchors = BTreeSet::new();
        for line in self.prose.lines() {
            let title = line.trim_start_matches('#');
            if title.len() == line.len() || !title.starts_with(' ') {
                continue;
            }
            let anchor = anchor(title);
            assert!(
                anchors.insert(anchor.clone()),
                "{}: #{anchor} twice",
                self.path
            );
        }
        anchors
    }

    /// The rows of all tables, without heads and rules: the cells of each.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        let lines: Vec<&str> = self.prose.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            let is_rule = |line: &&str| line.starts_with("|---");
            if !line.starts_with('|') || is_rule(line) || lines.get(n + 1).is_some_and(is_rule) {
                continue;
            }
            let cells = line.trim_matches('|').split('|');
            rows.push(cells.map(|cell| cell.trim().to_owned()).collect());
        }
        rows
    }
}

/// `## Run one test` has the anchor `run-one-test`.
fn anchor(title: &str) -> String {
    let kept = title.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        _ if c.is_alphanumeric() => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// The code spans of one cell of a table.
pub fn spans_of(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn headings_become_anchors() {
    for (title, expected) in [
        (" Run one test", "run-one-test"),
        (" `GET /ws`, and more?", "get-ws-and-more"),
        (" A client in 20 lines", "a-client-in-20-lines"),
    ] {
        assert_eq!(anchor(title), expected);
    }
}
