//! The rules by which the files of a folder are packed.

use std::collections::HashMap;

use tinpot_core::Result;

use crate::globs::{Excluded, Source};
use crate::limits::{Limits, refused};
use crate::towerfile::{Kind, TOWERFILE, Towerfile};

/// The name of the file with globs of files to leave out, one per line.
pub(super) const IGNORE: &str = ".tinpotignore";
/// The largest `.tinpotignore`.
pub(super) const MAX_IGNORE_BYTES: u64 = 64 * 1024;

/// The globs of one Towerfile and of the exclusions, and the limits.
pub(super) struct Rules<'a> {
    source: Source,
    excluded: Excluded,
    pub(super) limits: &'a Limits,
}

impl<'a> Rules<'a> {
    /// Compiles the globs. Each glob of an exclusion comes with its origin.
    pub(super) fn new(
        towerfile: &Towerfile,
        exclusions: &[(String, String)],
        limits: &'a Limits,
    ) -> Result<Self> {
        let mut exclusions = exclusions.to_vec();
        if towerfile.tinpot.kind == Kind::Actions {
            // Imports write it, and it differs from one Python to the next.
            exclusions.push(("tinpot.kind".to_owned(), "__pycache__/".to_owned()));
        }
        let (source, excluded) = (Source::new(&towerfile.source)?, Excluded::new(&exclusions)?);
        Ok(Self { source, excluded, limits })
    }

    /// Returns true if a file of the folder, or a link, is packed unless a folder above is left out.
    pub(super) fn takes(&self, path: &str) -> bool {
        path == TOWERFILE || !self.excluded.matches(path, false) && self.source.matches(path)
    }

    /// Returns true if a path whose name is not UTF-8 is left out for sure, by its lossy form.
    pub(super) fn leaves_out(&self, lossy: &str, is_folder: bool) -> bool {
        self.excluded.matches(lossy, is_folder) || !self.source.may_enter(lossy)
    }

    /// Returns true if files of a folder may be packed.
    ///
    /// # Errors
    /// `InvalidInput` if it is too deep.
    pub(super) fn enters(&self, path: &str) -> Result<bool> {
        if self.excluded.matches(path, true) || !self.source.may_enter(path) {
            return Ok(false);
        }
        let max = self.limits.depth;
        if path.split('/').count() < max {
            return Ok(true);
        }
        Err(refused(format!("the folder {path:?} is deeper than {max} segments: exclude it")))
    }

    /// Checks that there may be one more file.
    pub(super) fn count(&self, found: usize) -> Result<()> {
        if found < self.limits.entries {
            return Ok(());
        }
        let max = self.limits.entries;
        Err(refused(format!("there must be at most {max} files: exclude some")))
    }
}

/// Sorts what is packed in the order of the archive: the bytes of the paths, after the Towerfile.
pub(super) fn sort<T>(found: &mut [T], path: impl Fn(&T) -> &str) {
    found.sort_by(|a, b| {
        let (a, b) = (path(a), path(b));
        (a != TOWERFILE, a).cmp(&(b != TOWERFILE, b))
    });
}

/// Checks that the Towerfile and its script are packed.
pub(super) fn check<'a>(
    towerfile: &Towerfile,
    mut paths: impl Iterator<Item = &'a str> + Clone,
) -> Result<()> {
    if paths.clone().next() != Some(TOWERFILE) {
        return Err(refused(format!("{TOWERFILE} must be a file in the folder, and no link")));
    }
    match towerfile.script_path() {
        Some(script) if !paths.any(|path| path == script) => Err(refused(format!(
            "app.script {script:?} must be a file that app.source matches and nothing excludes"
        ))),
        _ => Ok(()),
    }
}

/// Reads the globs of a `.tinpotignore`, each with its origin.
pub(super) fn ignored(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| (format!("{IGNORE}:{number}:"), line.to_owned()))
        .collect()
}

/// Returns the files that [`pack`](super::pack) packs of a folder with these files, in the order of
/// the archive. `ignore` is the text of its `.tinpotignore`.
///
/// For a folder elsewhere, such as in a browser, which only lists its files.
///
/// # Errors
/// `InvalidInput` if the folder breaks a rule or a limit.
///
/// ```
/// use tinpot_bundle::{Limits, Towerfile, select};
///
/// let towerfile = Towerfile::parse("[app]\nname = \"hello\"\nscript = \"main.sh\"\n")?;
/// let files = ["main.sh", "debug.log", ".git/config", "lib/a.sh", "Towerfile"];
/// let packed = select(&towerfile, "*.log", &files, &Limits::default())?;
/// assert_eq!(packed, ["Towerfile", "lib/a.sh", "main.sh"]);
/// # Ok::<_, tinpot_core::Error>(())
/// ```
pub fn select<T: AsRef<str>>(
    towerfile: &Towerfile,
    ignore: &str,
    paths: &[T],
    limits: &Limits,
) -> Result<Vec<String>> {
    if ignore.len() as u64 > MAX_IGNORE_BYTES {
        return Err(too_long());
    }
    let rules = Rules::new(towerfile, &ignored(ignore), limits)?;
    let mut folders = HashMap::new();
    let mut found = Vec::new();
    for path in paths.iter().map(AsRef::as_ref) {
        if enters_all(&rules, path, &mut folders)? && rules.takes(path) {
            rules.count(found.len())?;
            found.push(limits.path(path.as_bytes())?);
        }
    }
    sort(&mut found, |path| path);
    if let Some(twice) = found.windows(2).find(|two| two[0] == two[1]) {
        return Err(refused(format!("the path {:?} must be there once", twice[0])));
    }
    check(towerfile, found.iter().map(String::as_str))?;
    Ok(found)
}

/// Returns true if no folder above a path is left out. Remembers what it learns about each.
fn enters_all<'a>(
    rules: &Rules<'_>,
    path: &'a str,
    folders: &mut HashMap<&'a str, bool>,
) -> Result<bool> {
    for (end, _) in path.match_indices('/') {
        let folder = &path[..end];
        let enters = match folders.get(folder) {
            Some(enters) => *enters,
            None => {
                let enters = rules.enters(folder)?;
                folders.insert(folder, enters);
                enters
            }
        };
        if !enters {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn too_long() -> tinpot_core::Error {
    refused(format!("{IGNORE} must have at most {MAX_IGNORE_BYTES} bytes"))
}
