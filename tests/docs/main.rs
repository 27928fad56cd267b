//! Checks the documents against the repository: links and anchors, paths, commands, settings,
//! routes, tests, and plain words.

#![allow(clippy::expect_used, unreachable_pub)]

mod commands;
mod markdown;
mod shell;

use commands::Offers;
use markdown::{Document, spans_of};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

/// Documents outside of `docs`.
const OUTSIDE: &[&str] = &[
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "tools/load/README.md",
    "tools/testkit/README.md",
];
/// The README is read on one screen and a half; details stand in `docs`.
const README_LINES: usize = 180;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<Document> {
    let mut paths: Vec<String> = OUTSIDE.iter().map(|&path| path.to_owned()).collect();
    collect(&root(), "docs", &mut paths);
    paths.sort();
    paths
        .iter()
        .map(|path| Document::read(&root(), path))
        .collect()
}

/// The Markdown files below a folder.
fn collect(root: &Path, folder: &str, paths: &mut Vec<String>) {
    for entry in fs::read_dir(root.join(folder)).expect(folder) {
        let entry = entry.expect("an entry");
        let path = format!("{folder}/{}", entry.file_name().to_str().expect("UTF-8"));
        match entry.path().is_dir() {
            true => collect(root, &path, paths),
            false if path.ends_with(".md") => paths.push(path),
            false => {}
        }
    }
}

/// A path relative to a document, from the root: `docs/API.md` and `../web` give `web`. None if it
/// leads out of the repository.
fn resolve(document: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

#[test]
fn every_link_leads_to_a_file_and_every_anchor_to_a_heading() {
    let documents = documents();
    let anchors: BTreeMap<&str, BTreeSet<String>> = documents
        .iter()
        .map(|document| (document.path.as_str(), document.anchors()))
        .collect();
    let (mut links, mut wrong) = (0, Vec::new());
    for document in &documents {
        for link in document.links() {
            if link.starts_with("https://") || link.starts_with("http://") {
                continue;
            }
            links += 1;
            let (target, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let path = match target {
                "" => Some(document.path.clone()),
                target => resolve(&document.path, target),
            };
            let path = path.unwrap_or_default();
            let known = anchors.get(path.as_str());
            let leads = !path.is_empty() && root().join(&path).exists();
            let stands = anchor.is_empty() || known.is_some_and(|known| known.contains(anchor));
            if !leads || !stands {
                wrong.push(format!("{}: {link}", document.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(links > 60, "only {links} links");
}

/// Whether a code span is a path of the repository: a source, or below one of its folders.
fn is_path(span: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/*".contains(c);
    if !span.chars().all(is_plain) || span.starts_with(['/', '.']) {
        return false;
    }
    let made = ["data/", "target/", "node_modules/"];
    let first = span.split('/').next().unwrap_or_default();
    let is_below = span.contains('/')
        && !first.is_empty()
        && (root().join(first).is_dir() || root().join("src").join(first).is_dir());
    let is_source = span.ends_with(".rs") || span.ends_with('/');
    (is_below || is_source) && !made.iter().any(|folder| span.starts_with(folder))
}

#[test]
fn every_path_is_there() {
    let offers = Offers::new(&root());
    let (mut paths, mut wrong) = (0, Vec::new());
    for document in documents() {
        for span in document.spans().into_iter().filter(|span| is_path(span)) {
            paths += 1;
            // Sources are named from `src`, files of the page and of `docs` from their folders.
            let places = ["", "src/", "docs/"];
            if !places
                .iter()
                .any(|place| offers.exists(&format!("{place}{span}")))
            {
                wrong.push(format!("{}: {span}", document.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(paths > 150, "only {paths} paths");
}

/// Whether a code span shows a command of the repository.
fn is_command(span: &str) -> bool {
    let programs = [
        "cargo ",
        "just ",
        "messaging-api ",
        "scripts/",
        "node tests/",
        "docker compose ",
    ];
    programs.iter().any(|program| span.starts_with(program))
        && !span.contains("cargo deny")
        && !span.contains("…")
}

#[test]
fn every_command_exists() {
    let offers = Offers::new(&root());
    let (mut commands, mut wrong) = (0, Vec::new());
    for document in documents() {
        let mut lines: Vec<String> = document.spans();
        lines.retain(|span| is_command(span));
        for block in &document.blocks {
            let shown = block.lines.iter();
            match block.language.as_str() {
                "sh" => lines.extend(shown.cloned()),
                "console" => lines.extend(
                    shown
                        .filter_map(|line| line.strip_prefix("$ "))
                        .map(str::to_owned),
                ),
                _ => {}
            }
        }
        for line in &lines {
            for words in shell::commands(line) {
                commands += 1;
                if let Err(reason) = offers.check(&words) {
                    wrong.push(format!("{}: {line}: {reason}", document.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(commands > 80, "only {commands} commands");
}

#[test]
fn every_recipe_exists_and_is_documented() {
    let offers = Offers::new(&root());
    let justfile = fs::read_to_string(root().join("justfile")).expect("justfile");
    let bodies = justfile
        .lines()
        .filter(|line| line.starts_with("    ") && !line.contains("@just"));
    let mut wrong = Vec::new();
    for line in bodies {
        let line = line
            .replace("\"{{ BINARY }}\"", "api")
            .replace("{{ FILTER }}", "");
        let line = line.replace("\"$@\"", "").replace("\"\"", "");
        for words in shell::commands(&line) {
            wrong.extend(offers.check(&words).err());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let contributing = Document::read(&root(), "CONTRIBUTING.md");
    let spans = contributing.spans();
    let names = spans.iter().filter_map(|span| span.strip_prefix("just "));
    let named: BTreeSet<String> = names
        .filter_map(|rest| rest.split(' ').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(&named, offers.recipes());
}

/// `DB_PASS` of `# DB_PASS=secret`.
fn variables(example: &str) -> BTreeSet<String> {
    let lines = example
        .lines()
        .map(|line| line.trim_start_matches(['#', ' ']));
    let names = lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name);
    let is_name =
        |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    names.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn every_setting_has_a_row_and_every_row_a_setting() {
    let example = fs::read_to_string(root().join(".env.example")).expect(".env.example");
    let rows = Document::read(&root(), "docs/CONFIGURATION.md").rows();
    let cells = rows.iter().filter_map(|row| row.first());
    let listed: BTreeSet<String> = cells
        .flat_map(|cell| spans_of(cell))
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, variables(&example));
}

/// `/chat/{chat_id}/message` is `/chat/{}/message`.
fn nameless(path: &str) -> String {
    let mut pieces = path.split('{');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |path, piece| {
        let rest = piece.split_once('}').map_or("", |(_, rest)| rest);
        path + "{}" + rest
    })
}

#[test]
fn every_route_and_frame_is_in_the_api() {
    let permissions = Document::read(&root(), "docs/PERMISSIONS.md").rows();
    let api = Document::read(&root(), "docs/API.md").spans();
    let shown: BTreeSet<String> = api
        .iter()
        .flat_map(|span| span.split([' ', '?']))
        .map(nameless)
        .collect();
    let asked = permissions.iter().flat_map(|row| spans_of(&row[0]));
    let asked = asked.map(|name| name.split(' ').next_back().unwrap_or_default());
    let asked = asked.map(|path| nameless(path.split('?').next().unwrap_or_default()));
    // The parts of the page `/docs` are nothing to ask for.
    let missing: Vec<String> = asked
        .filter(|path| path != "/docs/{}" && !shown.contains(path))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_test_of_the_threat_model_exists() {
    let offers = Offers::new(&root());
    let rows = Document::read(&root(), "docs/THREAT-MODEL.md").rows();
    let is_name = |span: &&str| {
        span.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c))
    };
    let cells = rows.iter().filter_map(|row| row.get(3));
    let tests: BTreeSet<&str> = cells
        .flat_map(|cell| spans_of(cell))
        .filter(is_name)
        .collect();
    let missing: Vec<_> = tests.iter().filter(|name| !offers.is_test(name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(tests.len() > 40, "only {} tests", tests.len());
}

/// The layers of `tests/layers`: the imports of each, as its source lists them.
fn layers() -> BTreeMap<String, BTreeSet<String>> {
    let source = fs::read_to_string(root().join("tests/layers/main.rs")).expect("the layers");
    let (_, table) = source.split_once("const LAYERS").expect("the table");
    let (table, _) = table.split_once("\n];").expect("the end of the table");
    let quoted = |text: &str| -> Vec<String> {
        let names = text.split('"').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    };
    let entries = table.split("layer(").skip(1);
    let entries = entries.map(|entry| {
        let (name, rest) = entry.split_once("&[").expect("imports");
        let (imports, _) = rest.split_once(']').expect("the end of the imports");
        (
            quoted(name).remove(0),
            quoted(imports).into_iter().collect(),
        )
    });
    entries.collect()
}

#[test]
fn the_table_of_layers_is_that_of_the_test() {
    let rows = Document::read(&root(), "docs/ARCHITECTURE.md").rows();
    let name = |span: &str| {
        span.trim_end_matches('/')
            .trim_end_matches(".rs")
            .to_owned()
    };
    let names = |cell: &str| -> BTreeSet<String> { spans_of(cell).into_iter().map(name).collect() };
    let row_of = |layer: &str| rows.iter().find(|row| row[0] == layer).expect("a row");
    let ground = names(&row_of("ground")[1]);
    let layers = layers();
    let mut listed = ground.clone();
    for row in &rows {
        let folders = names(&row[1]);
        let Some(folder) = folders.first().filter(|name| layers.contains_key(*name)) else {
            continue;
        };
        if row[0] == "ground" || row.len() != 4 {
            continue;
        }
        let imports: BTreeSet<String> = layers[folder].difference(&ground).cloned().collect();
        assert_eq!(names(&row[3]), imports, "{folder}");
        listed.insert(folder.clone());
    }
    let all: BTreeSet<String> = layers.into_keys().collect();
    assert_eq!(listed, all);
}

#[test]
fn no_sentence_is_a_riddle() {
    let mut wrong = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(root().join(&document.path)).expect("a document");
        for (n, line) in text.lines().enumerate() {
            let riddles = testkit::riddles(line).into_iter();
            wrong.extend(riddles.map(|riddle| format!("{}:{}: {riddle}", document.path, n + 1)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_readme_stays_short() {
    let text = fs::read_to_string(root().join("README.md")).expect("README.md");
    let lines = text.lines().count();
    assert!(lines <= README_LINES, "{lines} lines");
}
