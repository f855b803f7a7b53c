//! The apps below a directory, as they change.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tinpot_bundle::{MAX_TOWERFILE_BYTES, TOWERFILE};
use tinpot_core::executor::ActionSet;
use tinpot_core::{Action, LoadError};

use crate::app::{self, App};

/// The maximum number of directory entries. Each scan costs microseconds per entry.
const MAX_ENTRIES: usize = 100_000;
/// The maximum number of folders between the directory and a Towerfile.
const MAX_DEPTH: usize = 16;

/// The apps by name, and the offer that describes them.
#[derive(Debug, Default)]
pub(crate) struct Apps {
    pub(crate) by_name: HashMap<String, Arc<App>>,
    pub(crate) offer: Arc<ActionSet>,
}

/// The metadata that shows a change of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

type Reading = Result<Option<(Arc<App>, Arc<Action>)>, LoadError>;

/// Finds the apps below a directory. Towerfiles that have not changed are not read again.
#[derive(Debug)]
pub(crate) struct Scanner {
    root: PathBuf,
    known: BTreeMap<PathBuf, (Stamp, Reading)>,
    problems: Vec<LoadError>,
}

impl Scanner {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, known: BTreeMap::new(), problems: Vec::new() }
    }

    /// Returns the apps if anything has changed since the last scan. Blocks the thread.
    pub(crate) fn scan(&mut self) -> Option<Apps> {
        let mut problems = Vec::new();
        let found = self.walk(&mut problems);
        let mut has_changed = problems != self.problems || found.len() != self.known.len();
        self.problems = problems;
        let mut known = BTreeMap::new();
        for (path, stamp) in found {
            let read = match self.known.remove(&path) {
                Some((before, read)) if before == stamp => read,
                _ => {
                    has_changed = true;
                    self.read(&path)
                }
            };
            known.insert(path, (stamp, read));
        }
        self.known = known;
        has_changed.then(|| self.apps())
    }

    /// Returns the paths of the Towerfiles.
    fn walk(&self, problems: &mut Vec<LoadError>) -> Vec<(PathBuf, Stamp)> {
        let (mut found, mut entries, mut seen) = (Vec::new(), 0, HashSet::new());
        let mut folders = vec![(self.root.clone(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let listed = fs::read_dir(&folder).and_then(|listed| {
                let metadata = fs::metadata(&folder)?;
                Ok(seen.insert((metadata.dev(), metadata.ino())).then_some(listed))
            });
            let listed = match listed {
                Ok(Some(listed)) => listed,
                // A link to a folder that was visited, or a folder that was removed meanwhile.
                Ok(None) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let message = format!("this folder cannot be read: {error}");
                    problems.push(LoadError::new(self.place(&folder), message));
                    continue;
                }
            };
            let towerfile = folder.join(TOWERFILE);
            match fs::metadata(&towerfile) {
                Ok(metadata) => {
                    found.push((towerfile, Stamp::of(&metadata)));
                    // Everything below belongs to the app.
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let message = format!("this file cannot be read: {error}");
                    problems.push(LoadError::new(self.place(&towerfile), message));
                }
            }
            for entry in listed.flatten() {
                entries += 1;
                if entries > MAX_ENTRIES {
                    let message = format!(
                        "the directory has more than {MAX_ENTRIES} files: some folders with a \
                         Towerfile may not be offered"
                    );
                    problems.push(LoadError::new(self.root.display().to_string(), message));
                    return found;
                }
                let name = entry.file_name();
                let is_folder = || match entry.file_type() {
                    Ok(kind) if kind.is_symlink() => entry.path().is_dir(),
                    kind => kind.is_ok_and(|kind| kind.is_dir()),
                };
                if depth < MAX_DEPTH && may_hold_apps(&name.to_string_lossy()) && is_folder() {
                    folders.push((entry.path(), depth + 1));
                }
            }
        }
        found
    }

    fn read(&self, path: &Path) -> Reading {
        let place = self.place(path);
        let text = read_file(path).map_err(|error| {
            LoadError::new(&*place, format!("this file cannot be read: {error}"))
        })?;
        let folder = path.parent().unwrap_or(&self.root);
        let read = app::read(folder, &place, &text)?;
        Ok(read.map(|(app, action)| {
            for warning in &app.towerfile.warnings {
                tracing::warn!("{place}: {warning}");
            }
            (Arc::new(app), action)
        }))
    }

    fn apps(&self) -> Apps {
        let mut actions: BTreeMap<&str, (&Arc<App>, &Arc<Action>, &Path)> = BTreeMap::new();
        let mut problems = self.problems.clone();
        for (path, (_, read)) in &self.known {
            match read {
                Ok(Some((app, action))) => match actions.get(&*action.name) {
                    Some((_, _, first)) => {
                        let message = format!(
                            "the app {:?} is not offered from here, because {} has that name \
                             already: rename one",
                            action.name,
                            self.place(first)
                        );
                        problems.push(LoadError::new(self.place(path), message));
                    }
                    None => {
                        actions.insert(&action.name, (app, action, path));
                    }
                },
                Ok(None) => {}
                Err(problem) => problems.push(problem.clone()),
            }
        }
        let mut offer = ActionSet::default();
        offer.actions = actions.values().map(|(_, action, _)| (*action).clone()).collect();
        offer.load_errors = problems;
        let by_name =
            actions.iter().map(|(name, (app, ..))| ((*name).to_owned(), (*app).clone())).collect();
        Apps { by_name, offer: Arc::new(offer) }
    }

    /// Returns a path below the directory, for people.
    fn place(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        let text: String = path.display().to_string();
        text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    }
}

/// Returns false for folders of tools, as for those of Python actions.
fn may_hold_apps(name: &str) -> bool {
    !name.starts_with('.') && name != "__pycache__" && name != "node_modules"
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a named pipe would wait for a writer.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    // One byte more than allowed, which the parser refuses.
    file.take(MAX_TOWERFILE_BYTES as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}
