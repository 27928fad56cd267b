//! Cuts lines of a shell into simple commands: words without quotes, comments, redirections and
//! loops. Enough for the lines that documents show.

/// The simple commands of a line, as words.
pub fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut skip = false;
    for token in tokens(line) {
        match token {
            Token::Operator => commands.push(Vec::new()),
            Token::Redirection => skip = true,
            Token::Word(_) if skip => skip = false,
            Token::Word(word) => {
                if let Some(command) = commands.last_mut() {
                    command.push(word);
                }
            }
        }
    }
    commands.retain_mut(|command| {
        if command.first().is_some_and(|word| word == "do") {
            command.remove(0);
        }
        let first = command.first().map(String::as_str);
        !matches!(first, None | Some("for" | "done"))
    });
    commands
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    /// What separates commands.
    Operator,
    /// The next word is a file.
    Redirection,
}

fn tokens(line: &str) -> Vec<Token> {
    let (mut tokens, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut depth = 0;
    let end = |word: &mut Option<String>, tokens: &mut Vec<Token>| {
        tokens.extend(word.take().map(Token::Word));
    };
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('#', None) if word.is_none() => break,
            // A command inside of a word, such as $(date).
            ('$', None) if chars.peek() == Some(&'(') => {
                depth += 1;
                chars.next();
                word.get_or_insert_default().push_str("$(");
            }
            (')', None) if depth > 0 => {
                depth -= 1;
                word.get_or_insert_default().push(c);
            }
            (c, None) if depth > 0 => word.get_or_insert_default().push(c),
            ('&' | '|' | ';' | '(' | ')', None) => {
                end(&mut word, &mut tokens);
                tokens.push(Token::Operator);
            }
            ('<' | '>', None) => {
                end(&mut word, &mut tokens);
                if tokens.last() != Some(&Token::Redirection) {
                    tokens.push(Token::Redirection);
                }
            }
            (c, None) if c.is_whitespace() => end(&mut word, &mut tokens),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    end(&mut word, &mut tokens);
    tokens
}

#[test]
fn lines_are_cut_into_commands() {
    for (line, expected) in [
        ("cargo run   # serves", "cargo run"),
        ("A=1 b 'c d' >> e && f | g -", "A=1 b c d / f / g -"),
        ("(cd x && npm ci)", "cd x / npm ci"),
        ("for n in 1 2; do run node$n; done", "run node$n"),
        (
            "export \"backup-$(date +%F).jsonl\"",
            "export backup-$(date +%F).jsonl",
        ),
        ("echo $(openssl rand 24) >> .env", "echo $(openssl rand 24)"),
    ] {
        let commands = commands(line);
        let words: Vec<String> = commands.iter().map(|words| words.join(" ")).collect();
        assert_eq!(words.join(" / "), expected);
    }
}
