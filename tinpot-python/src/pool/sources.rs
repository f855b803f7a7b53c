//! The Python files below the directory of actions, as they were at one moment.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// So much of Python may be below the directory: two or three generations of it are kept.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// So many directory entries are looked at: each look costs microseconds, and there is one after each change.
const ENTRIES_MAX: usize = 100_000;
/// A file that has changed this recently may change again without its times showing it: clocks of file systems tick some times a second.
const SETTLED: Duration = Duration::from_secs(2);

/// The files by path, relative to the directory.
pub(super) type Sources = BTreeMap<String, Arc<Source>>;

/// A copy of one file. Removed with this value, and what Python has compiled of it.
#[derive(Debug)]
pub(super) struct Source {
    /// `None` for a file that cannot be read: whoever imports it is told why.
    copy: Option<PathBuf>,
}

impl PartialEq for Source {
    /// There is one copy of each content of a file, and one that cannot be read is like another.
    fn eq(&self, other: &Self) -> bool {
        self.copy == other.copy
    }
}

impl Source {
    /// The name of the copy in its directory.
    pub(super) fn name(&self) -> Option<&str> {
        self.copy.as_ref()?.file_name()?.to_str()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(copy) = &self.copy {
            // What is left goes with the whole directory.
            let _ = fs::remove_file(copy.with_extension("pyc"));
            let _ = fs::remove_file(copy);
        }
    }
}

/// By what a changed file is known without reading it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a change after the time `read`, in seconds, would show.
    fn is_settled(&self, read: i64) -> bool {
        let settled = read - SETTLED.as_secs() as i64;
        self.changed.0 < settled && self.modified.0 < settled
    }
}

/// Takes copies of what has changed since the last time.
#[derive(Debug)]
pub(super) struct Scanner {
    root: PathBuf,
    /// Where the copies are.
    store: PathBuf,
    copies: u64,
    known: HashMap<String, Known>,
}

/// What was found when a file was last read.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    source: Arc<Source>,
    /// Whether the stamp says it when the file has changed since.
    settled: bool,
}

impl Scanner {
    /// For the files below `root`; the copies go to the directory `store`, which is made.
    pub(super) fn new(root: PathBuf, store: PathBuf) -> io::Result<Self> {
        fs::create_dir(&store)?;
        Ok(Self { root, store, copies: 0, known: HashMap::new() })
    }

    /// The files as they are now. Calls `enter` for each directory before it is read.
    ///
    /// # Errors
    /// The directory itself cannot be read, there is too much below it, or no copy can be written.
    pub(super) fn scan(&mut self, mut enter: impl FnMut(&Path)) -> io::Result<Sources> {
        let walked = walk(&self.root, &mut enter)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = now.as_secs() as i64;
        let (mut found, mut bytes) = (Sources::new(), 0);
        for (file, path) in walked {
            // What goes away meanwhile is gone; a link to nothing is no file.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            bytes += metadata.size();
            if bytes > BYTES_MAX {
                return Err(too_much(format!("more than {} MB of Python", BYTES_MAX >> 20)));
            }
            let stamp = Stamp::of(&metadata);
            let source = match self.known.get(&file) {
                Some(known) if known.settled && known.stamp == stamp => known.source.clone(),
                known => {
                    let known = known.map(|known| known.source.clone());
                    let Some(source) = self.read(&path, known)? else { continue };
                    let settled = stamp.is_settled(now);
                    let known = Known { stamp, source: source.clone(), settled };
                    self.known.insert(file.clone(), known);
                    source
                }
            };
            found.insert(file, source);
        }
        self.known.retain(|file, _| found.contains_key(file));
        Ok(found)
    }

    /// A copy of the file, which is the `known` one if nothing is new; `None` when the file is gone.
    fn read(&mut self, path: &Path, known: Option<Arc<Source>>) -> io::Result<Option<Arc<Source>>> {
        let mut text = Vec::new();
        let read =
            fs::File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut text));
        let copy = match read {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) => None,
            Ok(_) => {
                let same = known.as_ref().and_then(|known| fs::read(known.copy.as_ref()?).ok());
                if same.is_some_and(|same| same == text) {
                    return Ok(known);
                }
                self.copies += 1;
                let copy = self.store.join(format!("{}.py", self.copies));
                fs::write(&copy, text)?;
                Some(copy)
            }
        };
        Ok(Some(Arc::new(Source { copy })))
    }
}

/// The files that are named like Python below `root`, relative to it, and their paths.
fn walk(root: &Path, enter: &mut impl FnMut(&Path)) -> io::Result<Vec<(String, PathBuf)>> {
    let (mut found, mut entries, mut seen) = (Vec::new(), 0, HashSet::new());
    let mut folders = vec![(String::new(), root.to_owned())];
    while let Some((prefix, folder)) = folders.pop() {
        let real = fs::canonicalize(&folder);
        enter(&folder);
        let listed = match real.and_then(|real| Ok((real, fs::read_dir(&folder)?))) {
            Ok((real, listed)) if seen.insert(real.clone()) => listed,
            Ok(_) => continue,
            Err(e) if prefix.is_empty() => return Err(e),
            Err(_) => continue,
        };
        let listed: Vec<_> = listed.flatten().collect();
        entries += listed.len();
        if entries > ENTRIES_MAX {
            return Err(too_much(format!("more than {ENTRIES_MAX} files")));
        }
        if listed.iter().any(|entry| entry.file_name() == "pyvenv.cfg") {
            continue;
        }
        let mut below = Vec::new();
        for entry in listed {
            // Python could not import what has another name.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = entry.path();
            let is_folder = || match entry.file_type() {
                Ok(kind) if kind.is_symlink() => path.is_dir(),
                kind => kind.is_ok_and(|kind| kind.is_dir()),
            };
            if is_source(&name) && !is_folder() {
                found.push((format!("{prefix}{name}"), path));
            } else if is_folder_of_sources(&name) && is_folder() {
                below.push((format!("{prefix}{name}/"), path));
            }
        }
        // In a steady order: of two links to one folder the first is taken.
        below.sort_unstable_by(|one, other| other.cmp(one));
        folders.extend(below);
    }
    Ok(found)
}

/// Whether a file of that name is Python, and not what an editor keeps beside it.
pub(super) fn is_source(name: &str) -> bool {
    name.ends_with(".py") && !name.starts_with('.')
}

/// Whether there may be Python in a folder of that name that is not a program's own business.
pub(super) fn is_folder_of_sources(name: &str) -> bool {
    !name.starts_with('.') && name != "__pycache__" && name != "node_modules"
}

fn too_much(what: String) -> io::Error {
    io::Error::other(format!("there is {what} below it, which is too much to keep copies of"))
}

#[cfg(test)]
mod tests {
    use super::{Scanner, Sources};
    use std::fs;
    use std::sync::Arc;

    fn names(sources: &Sources) -> Vec<&str> {
        sources.keys().map(String::as_str).collect()
    }

    #[test]
    fn what_is_new_is_copied_once_and_forgotten_with_its_last_user() {
        let place = tempfile::tempdir().expect("a directory");
        let (root, store) = (place.path().join("root"), place.path().join("store"));
        fs::create_dir_all(root.join("a/.hidden")).expect("a directory");
        fs::create_dir_all(root.join("a/__pycache__")).expect("a directory");
        for file in [
            "one.py",
            "a/two.py",
            "a/two.py~",
            ".#one.py",
            "a/.hidden/x.py",
            "a/__pycache__/two.py",
        ] {
            fs::write(root.join(file), "1").expect("a file");
        }
        std::os::unix::fs::symlink(&root, root.join("a/loop")).expect("a link");
        let mut scanner = Scanner::new(root.clone(), store.clone()).expect("a scanner");
        let first = scanner.scan(|_| {}).expect("files");
        assert_eq!(names(&first), ["a/two.py", "one.py"]);
        assert_eq!(scanner.scan(|_| {}).expect("files"), first);
        // The same size, and maybe the same times.
        fs::write(root.join("one.py"), "2").expect("a file");
        let second = scanner.scan(|_| {}).expect("files");
        assert_eq!(second["a/two.py"], first["a/two.py"]);
        assert_ne!(second["one.py"], first["one.py"]);
        // Touched, and not changed.
        fs::write(root.join("one.py"), "2").expect("a file");
        assert_eq!(scanner.scan(|_| {}).expect("files"), second);
        assert_eq!(fs::read_dir(&store).expect("copies").count(), 3);
        drop(first);
        assert_eq!(fs::read_dir(&store).expect("copies").count(), 2);
        fs::remove_file(root.join("one.py")).expect("removed");
        let third = scanner.scan(|_| {}).expect("files");
        assert_eq!(names(&third), ["a/two.py"]);
        assert_eq!(Arc::strong_count(&second["one.py"]), 1);
    }
}
