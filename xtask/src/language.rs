//! The language of sources and pages: how doc comments open, and words with better ones.
//!
//! CONTRIBUTING.md, "Language", has the rules. This step holds the part of them that a program can
//! see; the rest is a reader's work.

use std::fs;

use crate::run::output;

/// Words with which no doc comment opens: it starts with a verb or a noun.
const OPENERS: &[&str] =
    &["What", "Who", "Whom", "Whose", "Whether", "How", "Where", "Which", "Why", "So"];

/// Words that are not used, and what to write.
const WORDS: &[(&str, &str)] = &[
    ("whoever", "name the caller, the worker or the operator"),
    ("whomever", "name the caller, the worker or the operator"),
    ("nobody", "name the caller, the worker or the operator: \"no caller\""),
    ("somebody", "name the caller, the worker or the operator: \"another process\""),
    ("everybody", "name them: \"all workers\""),
    ("anybody", "name them: \"any client\""),
    ("so many", "the number: \"the number of …\", \"`limit` …\""),
    ("likewise", "also, or the same"),
    ("is told", "receives, or is notified"),
    ("are told", "receive, or are notified"),
    ("was told", "received, or was notified"),
    ("beside", "next to, with, or in addition to"),
    ("anew", "again"),
    ("thereby", "this, with a subject"),
    ("therewith", "with it"),
    ("send home", "drain"),
    ("sends home", "drains"),
    ("sent home", "drained"),
];

/// Files that no person writes, or that list the words themselves.
const EXCEPT: &[&str] = &[
    "tinpot-ui/dist/",
    "fuzz/corpus/",
    "docs/glossary.md",
    "docs/openapi.json",
    "xtask/src/language.rs",
];

/// The kinds of files that are read.
const ENDINGS: &[&str] = &[".rs", ".py", ".ts", ".tsx", ".css", ".html", ".md", ".toml", ".sh"];

/// Reads every source and page of the repository.
pub(crate) fn check() -> Result<String, String> {
    let listed = output("git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let read = |path: &&str| {
        ENDINGS.iter().any(|ending| path.ends_with(ending))
            && !EXCEPT.iter().any(|except| path.starts_with(except))
    };
    let mut faults = Vec::new();
    let mut files = 0;
    for path in listed.lines().filter(read) {
        // A file that was removed is still listed until it is committed.
        let Ok(text) = fs::read_to_string(path) else { continue };
        files += 1;
        for (number, fault) in of_text(path, &text) {
            faults.push(format!("   {path}:{number}: {fault}"));
        }
    }
    if faults.is_empty() {
        Ok(format!("{files} files"))
    } else {
        let count = faults.len();
        Err(format!(
            "{}\n   {count} places; the words are listed in {}",
            faults.join("\n"),
            file!()
        ))
    }
}

/// Returns the faults of one file with the numbers of their lines.
fn of_text(path: &str, text: &str) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let opening = opening(path, line, &mut inside);
        let first = opening.and_then(|text| text.split(|c: char| !c.is_alphanumeric()).next());
        if let Some(first) = first.filter(|first| OPENERS.contains(first)) {
            faults.push((
                number,
                format!("a doc comment opens with {first:?}: use a verb or a noun"),
            ));
        }
        let lower = line.to_lowercase();
        for (word, instead) in WORDS {
            if has_word(&lower, word) {
                faults.push((number, format!("{word:?}: write {instead}")));
            }
        }
    }
    faults
}

/// Returns the text of the line if a doc comment opens there. `inside` is the state between lines.
fn opening<'a>(path: &str, line: &'a str, inside: &mut bool) -> Option<&'a str> {
    let line = line.trim_start();
    let was_inside = *inside;
    if path.ends_with(".rs") {
        let text = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        *inside = text.is_some();
        text.filter(|_| !was_inside).map(str::trim_start)
    } else if path.ends_with(".py") {
        line.strip_prefix("\"\"\"")
    } else if path.ends_with(".ts") || path.ends_with(".tsx") {
        line.strip_prefix("/**").map(str::trim_start)
    } else {
        None
    }
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric());
        !letter(line[..at].chars().next_back()) && !letter(line[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openers_are_those_of_comments_and_words_are_whole() {
        let text =
            "/// What it is.\n/// Whether it is.\nfn f() {}\n//! Returns one.\n// Besides that.";
        let faults = of_text("a.rs", text);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].0 == 1 && faults[0].1.contains("What"), "{faults:?}");
        assert_eq!(of_text("a.py", "\"\"\"How it goes.\"\"\"\n# somebody_else is here").len(), 2);
        assert_eq!(of_text("a.md", "What is this?\nSo many of them").len(), 1);
    }
}
