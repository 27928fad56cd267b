//! Reads Rust as far as it takes to know which paths a source names.

/// Every path that the source of `module` names: those of `use`, leaf by leaf, and those in the
/// code. `self` and `super` are resolved, so that a path of this crate begins with `crate`.
pub fn paths(module: &[&str], text: &str) -> Vec<Vec<String>> {
    let tokens = tokens(text);
    let token = |i: usize| tokens.get(i).map_or("", String::as_str);
    let mut module: Vec<String> = module.iter().map(|&name| name.to_owned()).collect();
    // At which depth of braces each inline module ends.
    let mut inline = Vec::new();
    let mut depth = 0;
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let mut end = i + 1;
        let mut leaves = Vec::new();
        match token(i) {
            "mod" if token(i + 2) == "{" => {
                module.push(token(i + 1).to_owned());
                inline.push(depth);
                end = i + 2;
            }
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if inline.pop_if(|level| *level == depth).is_some() {
                    module.pop();
                }
            }
            "use" if token(i + 1) != "<" => end = tree(&tokens, i + 1, &[], &mut leaves),
            name if is_name(name) => {
                while token(end) == "::" && is_name(token(end + 1)) {
                    end += 2;
                }
                if token(end - 1) != name || token(end) == "::" {
                    leaves.push(tokens[i..end].to_vec());
                }
            }
            _ => {}
        }
        for mut leaf in leaves {
            leaf.retain(|name| name != "::");
            found.push(resolve(&module, leaf));
        }
        i = end;
    }
    found
}

/// Reads one tree of a `use` from token `i`, adds its leaves, and gives where it ends.
fn tree(
    tokens: &[String],
    mut i: usize,
    prefix: &[String],
    leaves: &mut Vec<Vec<String>>,
) -> usize {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(i) {
        match token.as_str() {
            "{" => {
                i += 1;
                while tokens.get(i).is_some_and(|token| token != "}") {
                    i = tree(tokens, i, &path, leaves);
                    i += usize::from(tokens.get(i).is_some_and(|token| token == ","));
                }
                return i + 1;
            }
            "," | "}" | ";" => break,
            // The new name is not part of the path.
            "as" => i += 1,
            // In braces, the module that they belong to.
            "self" if !path.is_empty() => {}
            _ => path.push(token.clone()),
        }
        i += 1;
    }
    leaves.push(path);
    i
}

fn resolve(module: &[String], path: Vec<String>) -> Vec<String> {
    let up = path.iter().take_while(|name| *name == "super").count();
    let own = path.first().is_some_and(|name| name == "self");
    if up == 0 && !own {
        return path;
    }
    let skipped = if own { 1 } else { up };
    let kept = module.len().saturating_sub(up);
    let base = std::iter::once("crate".to_owned()).chain(module[..kept].iter().cloned());
    base.chain(path.into_iter().skip(skipped)).collect()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::`, and every other sign on its own; comments, texts and numbers are left out.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest);
        if length > 0 {
            rest = &rest[length..];
            continue;
        }
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            _ if rest.starts_with("::") => 2,
            c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let token = &rest[..length];
        // A path from the outermost names the same crate without its first sign.
        let outermost = token == "::"
            && !tokens
                .last()
                .is_some_and(|last: &String| is_name(last) || last == ">");
        if !outermost && !first.is_numeric() {
            tokens.push(token.to_owned());
        }
        rest = &rest[length..];
    }
    tokens
}

/// How much white space, comment or text stands at the beginning.
fn skipped(rest: &str) -> usize {
    let to = |end: &str, from: usize| {
        rest[from..]
            .find(end)
            .map_or(rest.len(), |at| from + at + end.len())
    };
    let after_prefix = rest.trim_start_matches(['b', 'c']);
    let prefix = rest.len() - after_prefix.len();
    let hashes = after_prefix.strip_prefix('r').map(|raw| {
        let quote = raw.trim_start_matches('#');
        (raw.len() - quote.len(), quote.starts_with('"'))
    });
    match (rest.as_bytes(), hashes) {
        ([b'/', b'/', ..], _) => to("\n", 2),
        ([b'/', b'*', ..], _) => block_comment(rest),
        (_, Some((hashes, true))) => {
            let begin = prefix + 1 + hashes + 1;
            to(&format!("\"{}", "#".repeat(hashes)), begin)
        }
        // `r#name` is the name.
        (_, Some((1, false))) if prefix == 0 => 2,
        _ if prefix <= 1 && after_prefix.starts_with('"') => prefix + quoted(after_prefix, '"'),
        _ if prefix <= 1 && after_prefix.starts_with('\'') => prefix + tick(after_prefix),
        _ => rest.len() - rest.trim_start().len(),
    }
}

/// The length of a character, or of the sign before a lifetime's name.
fn tick(rest: &str) -> usize {
    let mut chars = rest.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (_, Some('\'')) => quoted(rest, '\''),
        _ => 1,
    }
}

/// The length of what stands in quotes, with them.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = true;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a comment, with those inside it.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let (step, deeper) = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step;
        depth += deeper;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}
