//! Variables of the environment and of `.env`, from which `cli` reads settings. An empty variable counts as
//! unset.

use super::spelling;
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::{OsStr, OsString},
    fmt, fs, io,
};

/// Path of the file with variables, meant for a developer's own machine. Only the working directory is
/// searched: a file in a parent directory belongs to another program.
const ENV_FILE: &str = ".env";
/// UTF-8 byte order mark, which some editors write at the start of a file.
const BYTE_ORDER_MARK: &[u8] = &[0xEF, 0xBB, 0xBF];

/// Private-use character that replaces each `$` of a variable in a text, so that the parser substitutes no
/// variables.
const MARK: char = '\u{e000}';

/// Source of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VariableSource {
    Environment,
    File,
}

impl fmt::Display for VariableSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "the environment",
            Self::File => "./.env",
        })
    }
}

/// Value of a variable that is set, and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) value: OsString,
    pub(super) source: VariableSource,
}

/// All variables that are set, by name.
#[derive(Debug, Default)]
pub(super) struct Environment {
    variables: BTreeMap<String, Variable>,
    /// Names with several lines in `.env`; the last line takes effect.
    repeated: BTreeSet<String>,
}

impl Environment {
    /// Reads `.env` and the environment; the environment takes precedence. Also sets the variables of
    /// `.env` that are unset in the process environment, because libraries read their own variables from
    /// there (`PGSSLROOTCERT`).
    ///
    /// # Errors
    /// Returns a message if `.env` cannot be read.
    pub(super) fn read() -> Result<Self, String> {
        let lines = lines()?;
        let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        let found = Self::of(env::vars_os().filter_map(named), &lines);
        let text: String = last_of_each(&lines)
            .iter()
            .map(|(name, value)| format!("{name}={}\n", quoted(value)))
            .collect();
        dotenvy::from_read(text.as_bytes()).map_err(|e| unreadable(&e, None, &text))?;
        Ok(found)
    }

    fn of(
        environment: impl Iterator<Item = (String, OsString)>,
        lines: &[(String, String)],
    ) -> Self {
        let mut found = Self::default();
        let mut names = BTreeSet::new();
        for (name, _) in lines {
            if !names.insert(name) {
                found.repeated.insert(name.clone());
            }
        }
        for (name, value) in last_of_each(lines) {
            found.set(name, OsStr::new(value), VariableSource::File);
        }
        for (name, value) in environment {
            found.set(&name, &value, VariableSource::Environment);
        }
        found
    }

    fn set(&mut self, name: &str, value: &OsStr, source: VariableSource) {
        if !value.is_empty() {
            let value = value.to_owned();
            let variable = Variable { value, source };
            self.variables.insert(name.to_owned(), variable);
        }
    }

    /// Returns a variable, or `None` if it is unset.
    pub(super) fn get(&self, name: &str) -> Option<&Variable> {
        self.variables.get(name)
    }

    /// Returns a warning for each variable that resembles a setting but is none, and for each setting
    /// with several lines in `.env`.
    pub(super) fn remarks(&self, settings: &[&str]) -> Vec<String> {
        let unknown = self.variables.iter().filter_map(|(name, variable)| {
            let source = variable.source;
            let setting = spelling::meant(name, settings)?;
            Some(format!(
                "{name} in {source} is not a setting; did you mean {setting}?"
            ))
        });
        let ours = |name: &&String| settings.contains(&name.as_str());
        let repeated = self.repeated.iter().filter(ours);
        let repeated = repeated.map(|name| {
            format!(
                "{name} has several lines in {}; the last one applies",
                VariableSource::File
            )
        });
        unknown.chain(repeated).collect()
    }
}

/// Reads the names and values of the lines of `.env`, in order. A missing file has no lines.
fn lines() -> Result<Vec<(String, String)>, String> {
    let bytes = match fs::read(ENV_FILE) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(format!("cannot read {ENV_FILE}: {e}")),
    };
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    let mut lines: Vec<(String, String)> = Vec::new();
    for line in dotenvy::from_read_iter(text) {
        match line {
            Ok(line) => lines.push(line),
            Err(e) => return Err(unreadable(&e, lines.last(), &String::from_utf8_lossy(text))),
        }
    }
    match unset_variable(text, &lines) {
        None => Ok(lines),
        Some(name) => Err(format!(
            "the value of {name} in {ENV_FILE} has a $ that is not followed by the name of a set \
             variable: write the value in single quotes"
        )),
    }
}

/// Returns the name of the first line of `.env` with a `$` that the parser replaced by nothing because the
/// variable after the `$` is unset. To find the line, the text is parsed again with [`MARK`] in place of
/// each `$` of a variable.
fn unset_variable(text: &[u8], lines: &[(String, String)]) -> Option<String> {
    let marked = marked(&String::from_utf8_lossy(text));
    let is_set = |name: &str, before: &[(String, String)]| {
        env::var_os(name).is_some() || before.iter().any(|(other, _)| other == name)
    };
    let mut lines_with_marks = dotenvy::from_read_iter(marked.as_bytes()).enumerate();
    lines_with_marks.find_map(|(n, line)| {
        let (name, value) = line.ok()?;
        let mut names = value.split(MARK).skip(1).map(variable);
        let before = lines.get(..n).unwrap_or_default();
        names.any(|name| !is_set(name, before)).then_some(name)
    })
}

/// Replaces each `$` of a variable by [`MARK`]: a `$` that is not escaped, in single quotes or in a comment.
fn marked(text: &str) -> String {
    let (mut quote, mut is_escaped, mut is_comment) = (None, false, false);
    let mut before = '\n';
    let mark = |c: char| {
        let is_literal = is_escaped || is_comment || quote == Some('\'');
        let marked = if c == '$' && !is_literal { MARK } else { c };
        match c {
            '\n' if is_comment => is_comment = false,
            _ if is_comment => {}
            _ if is_escaped => is_escaped = false,
            '\\' if quote != Some('\'') => is_escaped = true,
            '\'' | '"' if quote.is_none() => quote = Some(c),
            _ if quote == Some(c) => quote = None,
            '#' if quote.is_none() && before.is_whitespace() => is_comment = true,
            _ => {}
        }
        before = c;
        marked
    };
    text.chars().map(mark).collect()
}

/// Returns the variable name at the start of a text that follows a `$`: `name` or `{name}`.
fn variable(text: &str) -> &str {
    let braced = text
        .strip_prefix('{')
        .and_then(|rest| rest.split('}').next());
    let plain = text.split(|c: char| !c.is_alphanumeric()).next();
    braced.or(plain).unwrap_or_default()
}

/// Returns the variable that the malformed line of `.env` sets; `None` if no line ends with `part`, or if the
/// line does not begin with `NAME=` in capitals. Other text may be part of a secret with several lines.
fn name_of<'a>(part: &str, text: &'a str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim_end);
    let (name, _) = lines
        .find(|line| line.ends_with(part.trim_end()))?
        .split_once('=')?;
    let name = name.trim();
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// Keeps the last of several lines for one variable, as Docker Compose and shells do.
fn last_of_each<'a>(lines: &'a [(String, String)]) -> BTreeMap<&'a str, &'a str> {
    let pair = |(name, value): &'a (String, String)| (name.as_str(), value.as_str());
    lines.iter().map(pair).collect()
}

/// Quotes a value for a line of `.env`.
fn quoted(value: &str) -> String {
    let escaped = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('$', "\\$");
    format!("\"{escaped}\"")
}

/// Returns the message for an error in `.env`. A malformed line may hold a password, so the message names
/// the line by its variable, or by the variable of the line before it.
fn unreadable(error: &dotenvy::Error, before: Option<&(String, String)>, text: &str) -> String {
    let cause = match error {
        // The parser gives the line or its value.
        dotenvy::Error::LineParse(part, _) => {
            let place = match before {
                Some((name, _)) => format!("the line after {name}"),
                None => "its first line".to_owned(),
            };
            match name_of(part, text) {
                Some(name) => format!("{place}, of {name}, is malformed"),
                None => format!("{place} is malformed"),
            }
        }
        other => other.to_string(),
    };
    format!(
        "cannot read {ENV_FILE}: {cause}; each line must be NAME=value, with single quotes around \
         a value that has a space, a quote or a $"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(environment: &[(&str, &str)], lines: &[(&str, &str)]) -> Environment {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let lines: Vec<_> = lines.iter().map(owned).collect();
        let environment = environment.iter().map(owned);
        Environment::of(
            environment.map(|(name, value)| (name, value.into())),
            &lines,
        )
    }

    #[test]
    fn an_empty_variable_is_an_unset_one() {
        let found = of(
            &[("HOST", ""), ("PORT", ""), ("LOG", "info")],
            &[("PORT", "1"), ("LOG", "warn"), ("AUTH", "")],
        );
        let value = |name| {
            found
                .get(name)
                .map(|found| (found.value.to_str(), found.source))
        };
        assert_eq!(value("HOST"), None);
        assert_eq!(value("AUTH"), None);
        assert_eq!(value("PORT"), Some((Some("1"), VariableSource::File)));
        assert_eq!(
            value("LOG"),
            Some((Some("info"), VariableSource::Environment))
        );
    }

    #[test]
    fn the_last_of_several_lines_counts_and_is_reported() {
        let lines = [
            ("PORT", "1"),
            ("MINE", "1"),
            ("PORT", "2"),
            ("MINE", "2"),
            ("LOG", "x"),
            ("LOG", ""),
        ];
        let found = of(&[], &lines);
        assert_eq!(
            found.get("PORT").and_then(|port| port.value.to_str()),
            Some("2")
        );
        assert_eq!(found.get("LOG"), None);
        let remarks = found.remarks(&["PORT", "LOG"]);
        assert_eq!(remarks.len(), 2, "{remarks:?}");
        for (remark, name) in remarks.iter().zip(["LOG", "PORT"]) {
            assert!(
                remark.starts_with(name) && remark.contains("./.env"),
                "{remark}"
            );
        }
    }

    #[test]
    fn a_variable_that_is_not_set_is_found_on_its_line() {
        let unset = |text: &str| {
            let lines: Vec<_> = dotenvy::from_read_iter(text.as_bytes()).flatten().collect();
            unset_variable(text.as_bytes(), &lines)
        };
        for right in [
            "A='pa$$word'",
            "A=pa\\$word",
            "A=\"pa\\$word\"",
            "A=x\nB=$A",
            "A=x\nB=\"${A}\"",
            "A=x\nB='cost $5 for '\"${A}\"",
            "# it's $5\nA=x",
            "A=x # $5",
        ] {
            assert_eq!(unset(right), None, "{right}");
        }
        for wrong in [
            "A=pa$unset",
            "A=\"pa${unset}\"",
            "B=\\\\$unset0\nA=pa$unset",
            "A=x'$5'$unset",
            "B='#'\nA=$unset",
        ] {
            let found = unset(wrong);
            assert!(found.is_some(), "{wrong}");
        }
        assert_eq!(unset("B=\\\\n\nA=pa$unset").as_deref(), Some("A"));
    }

    proptest! {
        /// Checks that a quoted value is read back unchanged.
        #[test]
        fn a_quoted_value_is_the_same(value in any::<String>(), next in "[ -~]{0,10}") {
            prop_assume!(!value.contains(['\r', '\0']) && !next.contains('\0'));
            let text = format!("A={}\nB={}\n", quoted(&value), quoted(&next));
            let read: Result<Vec<_>, _> = dotenvy::from_read_iter(text.as_bytes()).collect();
            let expected = vec![("A".to_owned(), value), ("B".to_owned(), next)];
            prop_assert_eq!(read.ok(), Some(expected), "{}", text);
        }
    }
}
