//! Checks that a command exists: subcommands and flags of the binary, scripts, recipes, targets and
//! tests of cargo.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Programs of other projects; they are not checked further.
const FOREIGN: &[&str] = &[
    "cat",
    "cd",
    "cmp",
    "curl",
    "echo",
    "git",
    "gzip",
    "man",
    "openssl",
    "pg_dump",
    "pg_restore",
    "pip",
    "promtool",
    "pwgen",
    "sqlite3",
    "tee",
    "umask",
    "zcat",
];
/// Subcommands of cargo that the documents use.
const CARGO: &[&str] = &["build", "clippy", "doc", "fmt", "run", "test"];

/// What the repository offers.
pub struct Offers {
    root: PathBuf,
    recipes: BTreeSet<String>,
}

impl Offers {
    pub fn new(root: &Path) -> Self {
        let justfile = fs::read_to_string(root.join("justfile")).expect("justfile");
        let heads = justfile
            .lines()
            .filter(|line| !line.starts_with([' ', '#', '_']));
        let heads = heads.filter_map(|line| line.split_once(':'));
        let names = heads.filter_map(|(head, _)| head.split_whitespace().next());
        Self {
            root: root.to_owned(),
            recipes: names.map(str::to_owned).collect(),
        }
    }

    /// The names of the recipes.
    pub fn recipes(&self) -> &BTreeSet<String> {
        &self.recipes
    }

    /// The reason why a command does not exist.
    pub fn check(&self, words: &[String]) -> Result<(), String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let is_assignment = |word: &&&str| {
            let name = word.split_once('=').map_or("", |(name, _)| name);
            let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            !name.is_empty() && name.chars().all(is_name)
        };
        let assignments = words.iter().take_while(is_assignment).count();
        let words = &words[assignments..];
        let (Some(program), arguments) = (words.first(), words.get(1..).unwrap_or_default()) else {
            return Ok(());
        };
        match *program {
            "cargo" => self.cargo(arguments),
            "just" => self.recipe(arguments),
            "docker" => self.docker(arguments),
            "node" | "python" | "python3" => self.script_of(arguments),
            "npm" if arguments.first() == Some(&"ci") => Ok(()),
            "messaging-api" | "target/debug/messaging-api" => binary(arguments),
            "scripts/with-postgres" if !arguments.is_empty() => {
                self.executable(program)?;
                self.check(
                    &arguments
                        .iter()
                        .map(|&word| word.to_owned())
                        .collect::<Vec<_>>(),
                )
            }
            path if path.contains('/') => self.executable(path),
            name if FOREIGN.contains(&name) => Ok(()),
            name => Err(format!("{name} is unknown")),
        }
    }

    fn executable(&self, path: &str) -> Result<(), String> {
        // A path that another script prints: "$(scripts/tools)/cargo-deny".
        if let Some((script, _)) = path
            .strip_prefix("$(")
            .and_then(|path| path.split_once(')'))
        {
            return self.executable(script);
        }
        let file = fs::metadata(self.root.join(path)).map_err(|_| format!("{path} is missing"))?;
        match file.permissions().mode() & 0o111 {
            0 => Err(format!("{path} is not executable")),
            _ => Ok(()),
        }
    }

    fn recipe(&self, arguments: &[&str]) -> Result<(), String> {
        match arguments.first() {
            Some(name) if !self.recipes.contains(*name) => {
                Err(format!("just has no recipe {name}"))
            }
            _ => Ok(()),
        }
    }

    /// Services and profiles of the Compose file; the command in a container.
    fn docker(&self, arguments: &[&str]) -> Result<(), String> {
        if arguments.first() != Some(&"compose") {
            return Ok(());
        }
        if let Some(at) = arguments.iter().position(|word| *word == "messaging-api") {
            return binary(&arguments[at + 1..]);
        }
        let compose =
            fs::read_to_string(self.root.join("docker-compose.yml")).expect("Compose file");
        let profile = arguments.windows(2).find(|pair| pair[0] == "--profile");
        if let Some(pair) = profile
            && !compose.contains(&format!("[{}]", pair[1]))
        {
            return Err(format!("no profile {}", pair[1]));
        }
        // The words behind `up` that are no flags are services.
        let services = arguments.iter().skip_while(|word| **word != "up").skip(1);
        for service in services.filter(|word| !word.starts_with('-')) {
            let name = service.replace("$n", "1");
            if !compose.contains(&format!("\n  {name}:")) {
                return Err(format!("no service {service}"));
            }
        }
        Ok(())
    }

    /// The file that an interpreter is given.
    fn script_of(&self, arguments: &[&str]) -> Result<(), String> {
        if arguments.starts_with(&["-m"]) {
            return Ok(());
        }
        let Some(file) = arguments.iter().find(|word| !word.starts_with('-')) else {
            return Ok(());
        };
        match self.exists(file) {
            true => Ok(()),
            false => Err(format!("{file} is missing")),
        }
    }

    /// Whether a path is there; of a pattern, whether a file fits its folder and its end.
    pub fn exists(&self, path: &str) -> bool {
        let Some((before, after)) = path.split_once('*') else {
            return self.root.join(path).exists();
        };
        let folder = self.root.join(before.trim_end_matches(|c| c != '/'));
        let Ok(entries) = fs::read_dir(folder) else {
            return false;
        };
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| name.ends_with(after))
        })
    }

    fn cargo(&self, arguments: &[&str]) -> Result<(), String> {
        let (own, passed) = match arguments.iter().position(|word| *word == "--") {
            Some(at) => (&arguments[..at], &arguments[at + 1..]),
            None => (arguments, &[] as &[&str]),
        };
        let subcommand = own.first().copied().unwrap_or_default();
        if !CARGO.contains(&subcommand) {
            return Err(format!("cargo {subcommand} is unknown"));
        }
        let value = |flag| {
            own.windows(2)
                .find(|pair| pair[0] == flag)
                .map(|pair| pair[1])
        };
        if let Some(name) = value("--test")
            && !self.exists(&format!("tests/{name}/main.rs"))
        {
            return Err(format!("cargo has no --test {name}"));
        }
        let packages = own.windows(2).filter(|pair| pair[0] == "-p");
        for name in packages.map(|pair| pair[1]) {
            if name != "messaging-api" && !self.exists(&format!("tools/{name}/Cargo.toml")) {
                return Err(format!("cargo has no package {name}"));
            }
        }
        if subcommand == "test" {
            let flags_with_values = ["--test", "--features", "--target-dir"];
            let filters = (1..own.len()).filter(|&at| {
                !own[at].starts_with('-') && !flags_with_values.contains(&own[at - 1])
            });
            for filter in filters.map(|at| own[at]) {
                let binary = value("--test").unwrap_or("api");
                self.test(&format!("tests/{binary}"), filter)?;
            }
        }
        let program = match value("-p") {
            _ if subcommand != "run" => return Ok(()),
            None => return binary(passed),
            Some(name) => format!("tools/{name}/src"),
        };
        // The flags and words of its arguments stand in its source as clap takes them.
        let source = sources(&self.root.join(&program)).concat().to_lowercase();
        for word in passed
            .iter()
            .filter(|word| word.starts_with(|c: char| c == '-' || c.is_alphabetic()))
        {
            let name = word.trim_start_matches('-').replace('-', "_");
            let is_path = word.contains(['/', '…']);
            if !is_path && !source.contains(&name) {
                return Err(format!("{program} knows no {word}"));
            }
        }
        Ok(())
    }

    /// Checks that each part of a filter is a module of the test binary or a function in it.
    fn test(&self, folder: &str, filter: &str) -> Result<(), String> {
        let folder = self.root.join(folder);
        let sources = sources(&folder).concat();
        for part in filter.split("::").filter(|part| !part.is_empty()) {
            let is_module = sources.contains(&format!("mod {part};"));
            let is_function = sources.contains(&format!("fn {part}("));
            if !is_module && !is_function {
                return Err(format!("{filter}: no test has {part} in its name"));
            }
        }
        Ok(())
    }

    /// Whether a name such as `hostile::pace` is one of tests, in one of the binaries.
    pub fn is_test(&self, name: &str) -> bool {
        let parts = name.split_once("::");
        let (first, rest) = parts.unwrap_or((name, ""));
        let is_binary = |name: &str| self.exists(&format!("tests/{name}/main.rs"));
        // A folder of `tests/api` may have the name of a binary.
        let in_binary = is_binary(first) && self.test(&format!("tests/{first}"), rest).is_ok();
        in_binary || self.test("tests", name).is_ok()
    }
}

/// The texts of all Rust sources below a folder.
fn sources(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.extension().is_some_and(|end| end == "rs") {
            true => texts.push(fs::read_to_string(&path).expect("a source")),
            false if path.is_dir() && !path.ends_with("node_modules") => {
                texts.extend(sources(&path))
            }
            false => {}
        }
    }
    texts
}

/// A subcommand and its flags, as the help of the binary has them.
fn binary(arguments: &[&str]) -> Result<(), String> {
    let top = help(&[]);
    let subcommand = arguments.iter().find(|word| !word.starts_with('-'));
    let (_, list) = top.split_once("Commands:\n").expect("commands in the help");
    let (list, _) = list.split_once("\n\n").expect("the end of the commands");
    let mut names = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    if let Some(name) = subcommand
        && !names.any(|listed| listed == *name)
    {
        return Err(format!("messaging-api has no command {name}"));
    }
    let own = subcommand.map(|name| help(&[name]));
    for flag in arguments.iter().filter(|word| word.starts_with("--")) {
        let flag = flag.split('=').next().unwrap_or_default();
        let texts = [Some(&top), own.as_ref()];
        if !texts.into_iter().flatten().any(|text| text.contains(flag)) {
            return Err(format!("messaging-api has no flag {flag}"));
        }
    }
    Ok(())
}

fn help(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_messaging-api"));
    let output = command
        .args(arguments)
        .arg("--help")
        .output()
        .expect("the binary");
    assert!(output.status.success(), "{arguments:?} --help");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn a_command_that_does_not_exist_is_noticed() {
    let offers = Offers::new(Path::new(env!("CARGO_MANIFEST_DIR")));
    for line in [
        "messaging-api serv",
        "messaging-api check --every-row",
        "A=1 scripts/with-postgres cargo test --test api chat_s::",
        "cargo test --test apis",
        "cargo tset",
        "cargo run -p checker -- --storm",
        "cargo run -p load -- fanin",
        "docker compose --profile node up",
        "docker compose up prox",
        "docker compose exec -T server messaging-api exprot",
        "just tset",
        "scripts/tset",
        "node tests/client/walk.mjs",
        "mesaging-api",
    ] {
        let words = line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(offers.check(&words).is_err(), "{line}");
    }
}
