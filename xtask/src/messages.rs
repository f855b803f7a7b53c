//! The form of messages: errors of the crates, log lines, and the exceptions of the Python package.
//!
//! CONTRIBUTING.md, "Language": a message is a phrase that fits into another one. It starts with a
//! small letter, a value or a name, has no period at its end, and says "cannot", not "failed to".

use std::fs;

use crate::run::output;

/// Texts before a message. The message is the first string literal after it, in the same call.
const RUST: &[&str] = &["#[error(", "error!(", "warn!(", "info!(", "debug!(", "trace!("];

/// Names that start with one capital letter.
const NAMES: &[&str] = &[
    "Param",
    "Python",
    "Secret",
    "Context",
    "Literal",
    "Annotated",
    "Optional",
    "Enum",
    "Unix",
    "Worker",
];

/// Words that are not used, and what to write.
const WORDS: &[(&str, &str)] = &[
    ("failed to", "cannot"),
    ("unable to", "cannot"),
    ("could not", "cannot"),
    ("couldn't", "cannot"),
    ("can't", "cannot"),
    ("please", "the imperative alone"),
    ("sorry", "what is wrong"),
    ("illegal", "must be …"),
    ("unexpected error", "what is wrong"),
];

/// A message and the number of its line.
struct Message {
    line: usize,
    text: String,
}

/// Reads every message of the crates and of the Python package.
pub(crate) fn check() -> Result<String, String> {
    let listed = output("git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let (mut faults, mut count) = (Vec::new(), 0);
    for path in listed.lines() {
        let read: fn(&str) -> Vec<Message> = match path {
            _ if path.starts_with("tinpot") && path.ends_with(".rs") && path.contains("/src/") => {
                of_rust
            }
            _ if path.starts_with("tinpot-python/python/tinpot/") && path.ends_with(".py") => {
                of_python
            }
            _ => continue,
        };
        // A file that was removed is still listed until it is committed.
        let Ok(text) = fs::read_to_string(path) else { continue };
        for Message { line, text } in read(&text) {
            count += 1;
            if let Some(fault) = fault(&text) {
                faults.push(format!("   {path}:{line}: {text:?}: {fault}"));
            }
        }
    }
    if faults.is_empty() { Ok(format!("{count} messages")) } else { Err(faults.join("\n")) }
}

/// Returns what is wrong with the form of a message.
fn fault(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    if let Some((word, instead)) = WORDS.iter().find(|(word, _)| lower.contains(word)) {
        return Some(format!("{word:?}: write {instead}"));
    }
    let first: String = text.chars().take_while(|c| c.is_alphanumeric()).collect();
    let mut letters = first.chars();
    let capital = letters.next().is_some_and(char::is_uppercase);
    let one_capital = capital && letters.next().is_some_and(char::is_lowercase);
    // A name of a type has a capital letter inside.
    let is_type = letters.any(char::is_uppercase);
    if one_capital && !is_type && !NAMES.contains(&first.as_str()) {
        return Some("a message starts with a small letter".to_owned());
    }
    if text.ends_with('!') || text.ends_with('.') && !text.ends_with("...") {
        return Some("a message has no period and no exclamation mark at its end".to_owned());
    }
    text.contains("  ").then(|| "two spaces".to_owned())
}

/// Returns the messages of a Rust file, without those of its unit tests.
fn of_rust(text: &str) -> Vec<Message> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let mut found: Vec<_> = RUST
        .iter()
        .flat_map(|start| after(code, start))
        .filter_map(|at| literal(code, at))
        .collect();
    found.sort_by_key(|message| message.line);
    found
}

/// Returns the messages of the exceptions that a Python file raises.
fn of_python(text: &str) -> Vec<Message> {
    after(text, "raise ")
        .into_iter()
        .filter_map(|at| {
            let call = text[at..].find('(')?;
            let name = &text[at..at + call];
            name.chars().all(|c| c.is_alphanumeric() || "._".contains(c)).then_some(at + call + 1)
        })
        .filter_map(|at| literal(text, at))
        .collect()
}

/// Returns the positions after each occurrence of `start` that no comment and no longer word has.
fn after(text: &str, start: &str) -> Vec<usize> {
    text.match_indices(start)
        .filter(|(at, _)| {
            let line = &text[text[..*at].rfind('\n').map_or(0, |end| end + 1)..*at];
            let whole = !line.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
            whole && !line.trim_start().starts_with("//") && !line.trim_start().starts_with('#')
                || start.starts_with('#') && line.trim().is_empty()
        })
        .map(|(at, _)| at + start.len())
        .collect()
}

/// Returns the first string literal at or after `at`, inside the call that is open there.
fn literal(text: &str, at: usize) -> Option<Message> {
    let mut depth = 1_usize;
    let mut position = at;
    loop {
        let next = text[position..].find(['"', '(', ')', '\n'])? + position;
        match text.as_bytes()[next] {
            b'"' => {
                return Some(Message {
                    line: line_of(text, next),
                    text: unescaped(&text[next + 1..]),
                });
            }
            b'(' => depth += 1,
            b')' if depth == 1 => return None,
            b')' => depth -= 1,
            _ => {}
        }
        position = next + 1;
    }
}

/// Returns the text up to the closing quote; an escaped line end swallows the indentation after it.
fn unescaped(text: &str) -> String {
    let mut found = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('\n') => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                Some('n') => found.push('\n'),
                Some(c) => found.push(c),
                None => break,
            },
            c => found.push(c),
        }
    }
    found
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_in_attributes_macros_and_exceptions() {
        let rust = "#[error(\"depth must be \\\n     {0}\")]\nwarn!(id = f(1), \"it is late\");\n// warn!(\"No.\")";
        let found: Vec<_> = of_rust(rust).into_iter().map(|m| (m.line, m.text)).collect();
        assert_eq!(found, [(1, "depth must be {0}".into()), (3, "it is late".into())]);
        let python = "raise TypeError(\n    f\"{name} is wrong\"\n)\nraise error\n";
        let found: Vec<_> = of_python(python).into_iter().map(|m| (m.line, m.text)).collect();
        assert_eq!(found, [(2, "{name} is wrong".into())]);
    }

    #[test]
    fn form_is_that_of_a_phrase() {
        for right in ["JSON is needed", "{0} is odd", "RunError has no form", "Param must be last"]
        {
            assert_eq!(fault(right), None, "{right}");
        }
        for wrong in ["The file is gone", "the file is gone.", "failed to read", "no!", "a  b"] {
            assert!(fault(wrong).is_some(), "{wrong}");
        }
    }
}
