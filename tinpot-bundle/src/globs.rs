//! The globs of a Towerfile and of exclusions.

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use tinpot_core::Result;

use crate::limits::refused;
use crate::towerfile::clean;

/// The maximum length of a glob, in bytes.
const MAX_GLOB_BYTES: usize = 1_024;
/// The maximum number of globs.
const MAX_GLOBS: usize = 1_000;

/// Compiles a glob. Messages show it as the user wrote it.
fn glob(what: &str, written: &str, text: &str) -> Result<Glob> {
    if text.len() > MAX_GLOB_BYTES {
        let bytes = text.len();
        return Err(refused(format!(
            "{what} must have at most {MAX_GLOB_BYTES} bytes (got {bytes})"
        )));
    }
    let mut builder = GlobBuilder::new(text);
    // `*` and `?` stay within a segment, and `\` escapes.
    builder.literal_separator(true).backslash_escape(true).empty_alternates(true);
    builder
        .build()
        .map_err(|error| refused(format!("{what} {written:?} is not a glob: {}", error.kind())))
}

fn set(globs: impl IntoIterator<Item = Result<Glob>>) -> Result<GlobSet> {
    let mut builder = GlobSetBuilder::new();
    for (count, glob) in globs.into_iter().enumerate() {
        if count == MAX_GLOBS {
            return Err(refused(format!("there must be at most {MAX_GLOBS} globs")));
        }
        builder.add(glob?);
    }
    builder.build().map_err(|error| refused(format!("the globs are too large: {}", error.kind())))
}

fn has_hidden_segment(path: &str) -> bool {
    path.split('/').any(|segment| segment.starts_with('.'))
}

/// The files that a Towerfile packs: `app.source`.
#[derive(Debug)]
pub(crate) struct Source {
    all: GlobSet,
    /// The globs that have a segment starting with a dot. Only they match hidden paths.
    hidden: GlobSet,
}

impl Source {
    pub(crate) fn new(patterns: &[String]) -> Result<Self> {
        let patterns: Vec<String> = patterns.iter().map(|pattern| clean(pattern)).collect();
        let hidden = patterns.iter().filter(|pattern| has_hidden_segment(pattern));
        Ok(Self {
            hidden: set(hidden.map(|pattern| glob("app.source", pattern, pattern)))?,
            all: set(patterns.iter().map(|pattern| glob("app.source", pattern, pattern)))?,
        })
    }

    /// Returns true if the file or link with this path is packed.
    pub(crate) fn matches(&self, path: &str) -> bool {
        if has_hidden_segment(path) { self.hidden.is_match(path) } else { self.all.is_match(path) }
    }

    /// Returns true if a folder may have files that match.
    pub(crate) fn may_enter(&self, path: &str) -> bool {
        !self.hidden.is_empty() || !has_hidden_segment(path)
    }
}

/// The files that are left out: `.tinpotignore` and `--exclude`.
#[derive(Debug)]
pub(crate) struct Excluded {
    paths: GlobSet,
    folders: GlobSet,
}

impl Excluded {
    /// Adds globs. A glob that ends with a slash matches folders only. A glob with another slash
    /// starts at the root. Any other glob matches a name at any depth.
    pub(crate) fn new(patterns: &[(String, String)]) -> Result<Self> {
        let mut paths = Vec::new();
        let mut folders = Vec::new();
        for (what, pattern) in patterns {
            if pattern.starts_with('!') {
                return Err(refused(format!(
                    "{what} {pattern:?} must not start with !: list what to exclude"
                )));
            }
            let name = pattern.trim_end_matches('/');
            let anchored = if name.contains('/') { clean(name) } else { format!("**/{name}") };
            if name.is_empty() {
                return Err(refused(format!("{what} {pattern:?} would exclude everything")));
            }
            let to = if pattern.ends_with('/') { &mut folders } else { &mut paths };
            to.push(glob(what, pattern, &anchored));
        }
        Ok(Self { paths: set(paths)?, folders: set(folders)? })
    }

    /// Returns true if the path is left out. Everything below a folder is left out with it.
    pub(crate) fn matches(&self, path: &str, is_folder: bool) -> bool {
        self.paths.is_match(path) || is_folder && self.folders.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::{Excluded, Source};

    #[test]
    fn sources_match_as_the_reference_says() {
        for (pattern, path, expected) in [
            ("./**", "a/b/c.py", true),
            ("./**", "a.py", true),
            ("./**", ".env", false),
            ("./**", "a/.git/x", false),
            (".env", ".env", true),
            (".*/**", ".git/x", true),
            ("./*.py", "main.py", true),
            ("*.py", "a/main.py", false),
            ("**/*.py", "main.py", true),
            ("**/*.py", "a/b/main.py", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[ab].py", "b.py", true),
            ("[^a].py", "a.py", false),
            ("[!a].py", "b.py", true),
            ("{a,b}.{py,sh}", "b.sh", true),
            (r"\*.py", "*.py", true),
            (r"\*.py", "a.py", false),
            ("!a.py", "a.py", false),
            ("a", "a/b", false),
            ("/main.py", "main.py", true),
            ("x/../main.py", "main.py", true),
        ] {
            let source = Source::new(&[pattern.to_owned()]).expect("globs");
            assert_eq!(source.matches(path), expected, "{pattern} and {path}");
        }
        for broken in ["[a", "{a", "a]["] {
            Source::new(&[broken.to_owned()]).expect_err(broken);
        }
    }

    #[test]
    fn exclusions_match_names_paths_and_folders() {
        for (pattern, path, is_folder, expected) in [
            ("*.log", "a/b/x.log", false, true),
            ("build", "build", true, true),
            ("build/", "build", false, false),
            ("build/", "a/build", true, true),
            ("a/build", "a/build", false, true),
            ("a/build", "b/a/build", false, false),
            ("/build", "a/build", false, false),
            ("/build", "build", false, true),
        ] {
            let excluded = Excluded::new(&[("--exclude".to_owned(), pattern.to_owned())]);
            let excluded = excluded.expect("globs");
            assert_eq!(excluded.matches(path, is_folder), expected, "{pattern} and {path}");
        }
        for broken in ["!a", "/", "[", ""] {
            Excluded::new(&[(".tinpotignore:1".to_owned(), broken.to_owned())]).expect_err(broken);
        }
    }
}
