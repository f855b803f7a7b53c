//! Apps: folders with a Towerfile that this executor can run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tinpot_bundle::{Kind, MAX_TOWERFILE_BYTES, Towerfile};
use tinpot_core::{Action, Error, ErrorKind, LoadError, Result};

/// The largest number of lines that a position can have.
const LINES: usize = MAX_TOWERFILE_BYTES;

/// A folder with a Towerfile.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) folder: PathBuf,
    pub(crate) towerfile: Towerfile,
}

/// The means to run the program of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// A file for `/bin/sh`, from the root of the folder.
    Shell(String),
    /// A file for Python in an environment of its own, from the root of the folder.
    Python(String),
    /// A program and its arguments.
    Exec(Vec<String>),
}

impl Program {
    /// Returns how the program of an app is run.
    ///
    /// # Errors
    /// `InvalidInput` for a folder of Python actions.
    pub(crate) fn of(towerfile: &Towerfile) -> Result<Self> {
        let extras = &towerfile.tinpot;
        if extras.kind == Kind::Actions {
            let message = "Towerfile: a folder of Python actions has no program";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if !extras.exec.is_empty() {
            return Ok(Program::Exec(extras.exec.clone()));
        }
        let script = towerfile.script_path().unwrap_or_default();
        // The Towerfile allows any case of the extension.
        let is_shell = script.to_ascii_lowercase().ends_with(".sh");
        Ok(if is_shell { Program::Shell(script) } else { Program::Python(script) })
    }
}

/// Reads the text of a Towerfile; returns `None` for a folder of Python actions, which is not one
/// action. `place` is its path, for people.
///
/// # Errors
/// The problem, with the line if it is known.
pub(crate) fn read(
    folder: &Path,
    place: &str,
    text: &[u8],
) -> std::result::Result<Option<(App, Arc<Action>)>, LoadError> {
    let problem = |line: Option<usize>, error: &Error| {
        let place = line.map_or_else(|| place.to_owned(), |line| format!("{place}:{line}"));
        let message = error.message();
        LoadError::new(place, message.strip_prefix("Towerfile: ").unwrap_or(message))
    };
    let Ok(text) = std::str::from_utf8(text) else {
        let before = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let error = Error::new(ErrorKind::InvalidInput, "the file must be UTF-8");
        return Err(problem(Some(before.lines().count().max(1)), &error));
    };
    let checked = Towerfile::parse(text).and_then(|towerfile| {
        if towerfile.tinpot.kind == Kind::Actions {
            return Ok(None);
        }
        let action = Arc::new(towerfile.action()?);
        Ok(Some((App { folder: folder.to_owned(), towerfile }, action)))
    });
    checked.map_err(|error| problem(line_of(text, error.message()), &error))
}

/// Returns the line that a message of the parser is about: the one that it names, or that of the
/// key that it names.
fn line_of(text: &str, message: &str) -> Option<usize> {
    if let Some((_, after)) = message.split_once("at line ") {
        let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
        return digits.parse().ok().filter(|line| (1..=LINES).contains(line));
    }
    let words = message.split([' ', ':', ',']).map(|word| word.trim_matches(['"', '(', ')']));
    let mut paths = words.filter(|word| {
        ["app", "parameters", "tinpot"]
            .iter()
            .any(|table| word.strip_prefix(table).is_some_and(|rest| rest.starts_with(['.', '['])))
    });
    position(text, paths.next()?)
}

/// Returns the line of a key such as `app.timeout.seconds` or `parameters[1].type`.
fn position(text: &str, path: &str) -> Option<usize> {
    let mut segments = path.split('.');
    let first = segments.next()?;
    let (table, number) = match first.split_once('[') {
        Some((table, number)) => (table, number.trim_end_matches(']').parse::<usize>().ok()?),
        None => (first, 0),
    };
    let rest: Vec<&str> = segments.map(|name| name.split('[').next().unwrap_or(name)).collect();
    let mut seen = 0;
    let mut current: Vec<String> = Vec::new();
    let (mut best, mut depth) = (None, 0);
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_start_matches('[').split(']').next().unwrap_or_default();
            current = header.split('.').map(|name| name.trim().to_lowercase()).collect();
            let is_table = current.first().is_some_and(|name| name == table);
            if is_table && line.starts_with("[[") {
                seen += 1;
            }
            // A header is the place of a key that is missing below it.
            let below = current.len().saturating_sub(1);
            let fits = is_table
                && (number == 0 && seen <= 1 || seen == number + 1)
                && current[1..].iter().zip(&rest).all(|(a, b)| a == b)
                && below <= rest.len();
            if fits && (best.is_none() || below >= depth) {
                (best, depth) = (Some(at + 1), below);
            } else if !fits {
                current.clear();
            }
            continue;
        }
        let Some((key, _)) = line.split_once('=') else { continue };
        if current.is_empty() || line.starts_with('#') {
            continue;
        }
        let keys: Vec<String> =
            key.split('.').map(|name| name.trim().trim_matches('"').to_lowercase()).collect();
        let full: Vec<&str> = current[1..].iter().chain(&keys).map(String::as_str).collect();
        let is_prefix = full.len() <= rest.len() && full.iter().zip(&rest).all(|(a, b)| a == b);
        if is_prefix && full.len() > depth {
            (best, depth) = (Some(at + 1), full.len());
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Program, read};

    const GOOD: &str = "[app]\nname = \"hello\"\nscript = \"./main.sh\"\n";

    fn problem(text: &str) -> (String, String) {
        let error = read(Path::new("x"), "x/Towerfile", text.as_bytes()).expect_err("a problem");
        (error.place, error.message)
    }

    #[test]
    fn a_problem_has_its_line() {
        for (text, line, part) in [
            ("[app]\nname = \"hello\"\nscript = ", 3, "TOML"),
            ("[app]\nname = \"Hello\"\nscript = \"a.sh\"\n", 2, "app.name"),
            ("\n[app]\nscript = \"a.sh\"\n", 2, "app.name is missing"),
            ("[app]\nname = \"hello\"\n# app.script\nscript = \"a.rb\"\n", 4, "app.script"),
            (&format!("{GOOD}[app.timeout]\nseconds = 0\n"), 5, "app.timeout.seconds"),
            (&format!("{GOOD}timeout.seconds = 0\n"), 4, "app.timeout.seconds"),
            (
                &format!(
                    "{GOOD}[[parameters]]\nname = \"a\"\n[[parameters]]\nname = \"b\"\ntype = \"int\"\n"
                ),
                8,
                "parameters[1].type",
            ),
            (&format!("{GOOD}[tinpot]\npriorty = 1\n"), 5, "tinpot.priorty"),
            (&format!("{GOOD}[tinpot]\nlimits = {{ memory = 0 }}\n"), 5, "tinpot.limits.memory"),
        ] {
            let (place, message) = problem(text);
            assert!(message.contains(part), "{message}");
            assert_eq!(place, format!("x/Towerfile:{line}"), "{message}");
        }
        assert_eq!(problem("").0, "x/Towerfile");
    }

    #[test]
    fn the_extension_or_exec_says_how_to_run() {
        let of = |text: &str| {
            let read = read(Path::new("x"), "Towerfile", text.as_bytes()).expect("an app");
            read.map(|(app, _)| Program::of(&app.towerfile).expect("a program"))
        };
        assert_eq!(of(GOOD), Some(Program::Shell("main.sh".to_owned())));
        let python = "[app]\nname = \"hello\"\nscript = \"/bin/../src/Main.PY\"\n";
        assert_eq!(of(python), Some(Program::Python("src/Main.PY".to_owned())));
        let exec = format!("{GOOD}[tinpot]\nexec = [\"./bin/tool\", \"-v\"]\n");
        assert_eq!(of(&exec), Some(Program::Exec(vec!["./bin/tool".into(), "-v".into()])));
        assert_eq!(of("[app]\nname = \"hello\"\n[tinpot]\nkind = \"actions\"\n"), None);
    }
}
