//! The versions of the Python files below a directory at one moment.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tinpot_venv::{Origin, declares_packages, folder_asks};

use crate::package::{private_dir, private_file};

/// The maximum size of all files together: copies of two or three generations are kept.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The maximum number of directory entries. Each scan costs microseconds per entry, and there is
/// one after each change.
const MAX_ENTRIES: usize = 100_000;
/// The file that makes a folder an app, and the part of it that is read.
pub(super) const TOWERFILE: &str = "Towerfile";
const TOWERFILE_BYTES: u64 = 256 * 1024;
/// The file that makes a folder a package.
const INIT: &str = "__init__.py";
/// A file whose times are younger than this may change again without a change of its times: clocks
/// of file systems tick only some times per second.
const SETTLED: Duration = Duration::from_secs(2);

/// The files by path, relative to the directory.
pub(super) type Sources = BTreeMap<String, Arc<Source>>;

/// One version of a file.
#[derive(Debug)]
pub(super) struct Source {
    /// The copy; `None` for a file that cannot be read, whose import reports the reason.
    copy: Option<Arc<Copy>>,
    /// The place that asks for the file's Python environment, if one does.
    origin: Option<Arc<Origin>>,
}

/// A copy of one file. It is removed with this value, together with its compiled form.
#[derive(Debug, PartialEq)]
struct Copy {
    path: PathBuf,
    /// If true, the file has a block of metadata (PEP 723).
    declares: bool,
}

/// The files of a directory that one pool offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Share {
    /// All of them, whatever environment they ask for.
    #[default]
    All,
    /// Those that ask for no environment.
    Rest,
    /// Those that ask for one environment.
    Of(Origin),
}

impl Share {
    fn has(&self, origin: Option<&Origin>) -> bool {
        match self {
            Self::All => true,
            Self::Rest => origin.is_none(),
            Self::Of(own) => origin == Some(own),
        }
    }

    /// Returns the files that other pools offer.
    pub(super) fn others(&self, sources: &Sources) -> Vec<String> {
        let others = sources.iter().filter(|(_, source)| !self.has(source.origin.as_deref()));
        others.map(|(file, _)| file.clone()).collect()
    }

    /// Returns the files on disk that other pools offer.
    pub(super) fn others_on_disk(&self, root: &Path, asking: &Asking) -> io::Result<Vec<String>> {
        if *self == Self::All {
            return Ok(Vec::new());
        }
        let files = files_with_origins(root, asking)?.into_iter();
        let others = files.filter(|(_, origin)| !self.has(origin.as_deref()));
        Ok(others.map(|(file, _)| file).collect())
    }
}

/// The folders with a pool of their own besides those with a file that asks, because settings are
/// about them.
pub(crate) type Asking = Arc<BTreeSet<String>>;

/// The files by the place that asks for their environment.
pub(crate) type Origins = BTreeMap<Origin, Vec<String>>;

/// Returns the files that ask for environments.
pub(super) fn origins(sources: &Sources) -> Origins {
    by_origin(sources.iter().map(|(file, source)| (file.clone(), source.origin.clone())))
}

/// Returns the files below `root` on disk that ask for environments.
pub(crate) fn origins_on_disk(root: &Path, asking: &Asking) -> io::Result<Origins> {
    files_with_origins(root, asking).map(|files| by_origin(files.into_iter()))
}

fn by_origin(files: impl Iterator<Item = (String, Option<Arc<Origin>>)>) -> Origins {
    let mut origins = Origins::new();
    for (file, origin) in files {
        if let Some(origin) = origin {
            origins.entry((*origin).clone()).or_default().push(file);
        }
    }
    origins
}

fn files_with_origins(
    root: &Path,
    asking: &Asking,
) -> io::Result<Vec<(String, Option<Arc<Origin>>)>> {
    let walked = walk(root, &mut |_| {}, Some(asking))?.into_iter();
    let with_origin = |Walked { file, path, folder }: Walked| {
        let is_file = fs::metadata(&path).is_ok_and(|metadata| metadata.is_file());
        // The import of a file that cannot be read reports the reason.
        let text = if is_file { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        let declares = declares_packages(&String::from_utf8_lossy(&text));
        let script = declares.then(|| Arc::new(Origin::Script(file.clone())));
        (file, script.or(folder))
    };
    Ok(walked.map(with_origin).collect())
}

impl PartialEq for Source {
    /// Each content of a file has one copy, and all unreadable files are equal.
    fn eq(&self, other: &Self) -> bool {
        self.copy == other.copy && self.origin == other.origin
    }
}

impl Source {
    /// Returns false if the copy was cleaned away.
    fn is_there(&self) -> bool {
        self.copy.as_ref().is_none_or(|copy| copy.path.exists())
    }

    /// Returns the name of the copy in its directory.
    pub(super) fn name(&self) -> Option<&str> {
        self.copy.as_ref()?.path.file_name()?.to_str()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Remaining files are removed with the whole directory.
        let _ = fs::remove_file(self.path.with_extension("pyc"));
        let _ = fs::remove_file(&self.path);
    }
}

/// The metadata that shows a change of a file without reading it.
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

    /// Returns true if any change after the time `read`, in seconds, changes the stamp.
    fn is_settled(&self, read: i64) -> bool {
        let settled = read - SETTLED.as_secs() as i64;
        self.changed.0 < settled && self.modified.0 < settled
    }
}

/// A scanner, which copies the files that have changed since its last scan.
#[derive(Debug)]
pub(super) struct Scanner {
    root: PathBuf,
    /// The directory of the copies.
    store: PathBuf,
    copies: u64,
    /// `None` if no file may ask for an environment.
    asking: Option<Asking>,
    known: HashMap<String, Known>,
}

/// The state of a file when it was last read.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    source: Arc<Source>,
    /// True if every later change of the file changes the stamp.
    settled: bool,
}

impl Scanner {
    /// Returns a scanner for the files below `root`. Creates the directory `store` for the copies.
    /// Without `asking`, no file may ask for an environment.
    pub(super) fn new(root: PathBuf, store: PathBuf, asking: Option<Asking>) -> io::Result<Self> {
        fs::create_dir(&store)?;
        Ok(Self { root, store, copies: 0, asking, known: HashMap::new() })
    }

    /// Scans another directory from now on.
    pub(super) fn move_to(&mut self, root: PathBuf) {
        if root != self.root {
            self.root = root;
            // Compiled copies have the paths of their originals in them.
            self.known.clear();
        }
    }

    /// Returns the present versions of the files. Calls `enter` for each directory before it is
    /// read.
    ///
    /// # Errors
    /// Fails if the directory cannot be read, has too many or too large files, or if a copy cannot
    /// be written.
    pub(super) fn scan(&mut self, mut enter: impl FnMut(&Path)) -> io::Result<Sources> {
        let walked = walk(&self.root, &mut enter, self.asking.as_ref())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = now.as_secs() as i64;
        let (mut found, mut bytes) = (Sources::new(), 0);
        for Walked { file, path, folder } in walked {
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                // It was removed meanwhile.
                Err(e) if e.kind() == io::ErrorKind::NotFound && !path.is_symlink() => continue,
                // Its import reports the reason, such as a link to nothing.
                Err(_) => {
                    found.insert(file, Arc::new(Source { copy: None, origin: folder }));
                    continue;
                }
            };
            bytes += metadata.size();
            if bytes > MAX_BYTES {
                return Err(too_much(format!("more than {} MB of Python", MAX_BYTES >> 20)));
            }
            let stamp = Stamp::of(&metadata);
            let source = match self.known.get(&file) {
                Some(known) if known.settled && known.stamp == stamp && known.source.is_there() => {
                    known.source.clone()
                }
                known => {
                    let known = known.map(|known| known.source.clone());
                    let Some(source) = self.read(&path, known)? else { continue };
                    let settled = stamp.is_settled(now);
                    let known = Known { stamp, source: source.clone(), settled };
                    self.known.insert(file.clone(), known);
                    source
                }
            };
            let declares =
                self.asking.is_some() && source.copy.as_ref().is_some_and(|copy| copy.declares);
            let origin = match declares {
                true => Some(Arc::new(Origin::Script(file.clone()))),
                false => folder,
            };
            let source = match source.origin == origin {
                true => source,
                // The same content in another environment.
                false => Arc::new(Source { copy: source.copy.clone(), origin }),
            };
            if let Some(known) = self.known.get_mut(&file) {
                known.source = source.clone();
            }
            found.insert(file, source);
        }
        self.known.retain(|file, _| found.contains_key(file));
        Ok(found)
    }

    /// Returns a copy of the file, or the `known` copy if the content is the same; `None` if the
    /// file is gone.
    fn read(&mut self, path: &Path, known: Option<Arc<Source>>) -> io::Result<Option<Arc<Source>>> {
        let mut text = Vec::new();
        let read = fs::OpenOptions::new()
            .read(true)
            // Opening a named pipe would wait for a writer. Its import reports the reason.
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(path)
            .and_then(|file| match file.metadata()?.is_file() {
                true => file.take(MAX_BYTES + 1).read_to_end(&mut text),
                false => Err(io::ErrorKind::InvalidInput.into()),
            });
        let copy = match read {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) => None,
            Ok(_) => {
                let same =
                    known.as_ref().and_then(|known| fs::read(&known.copy.as_ref()?.path).ok());
                if same.is_some_and(|same| same == text) {
                    return Ok(known);
                }
                self.copies += 1;
                let copy = self.store.join(format!("{}.py", self.copies));
                if !self.store.exists() {
                    private_dir(&self.store)?;
                }
                private_file(&copy)?.write_all(&text)?;
                let declares = declares_packages(&String::from_utf8_lossy(&text));
                Some(Arc::new(Copy { path: copy, declares }))
            }
        };
        Ok(Some(Arc::new(Source { copy, origin: None })))
    }
}

/// A Python file below a directory.
#[derive(Debug)]
struct Walked {
    /// Its path relative to the directory.
    file: String,
    path: PathBuf,
    /// The nearest folder that asks for an environment.
    folder: Option<Arc<Origin>>,
}

/// Returns the Python files below `root`. Without `asking`, no folder may ask for an environment.
fn walk(
    root: &Path,
    enter: &mut impl FnMut(&Path),
    asking: Option<&Asking>,
) -> io::Result<Vec<Walked>> {
    let (mut found, mut entries, mut seen) = (Vec::new(), 0, HashSet::new());
    let mut folders = vec![(String::new(), root.to_owned(), None)];
    while let Some((prefix, folder, above)) = folders.pop() {
        let real = fs::canonicalize(&folder);
        enter(&folder);
        let listed = match real.and_then(|real| Ok((real, fs::read_dir(&folder)?))) {
            Ok((real, listed)) if seen.insert(real.clone()) => listed,
            Ok(_) => continue,
            Err(e) if prefix.is_empty() => return Err(e),
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(_) => {
                // Its import reports the reason.
                let (file, path) = (format!("{prefix}{INIT}"), folder.join(INIT));
                found.push(Walked { file, path, folder: above });
                continue;
            }
        };
        let listed: Vec<_> = listed.flatten().collect();
        entries += listed.len();
        if entries > MAX_ENTRIES {
            return Err(too_much(format!("more than {MAX_ENTRIES} files")));
        }
        if listed.iter().any(|entry| entry.file_name() == "pyvenv.cfg") {
            continue;
        }
        if listed.iter().any(|entry| entry.file_name() == TOWERFILE) && is_app(&folder) {
            continue;
        }
        let name = prefix.trim_end_matches('/');
        let asks = asking.is_some_and(|set| set.contains(name) || folder_asks(&folder));
        let asked = if asks { Some(Arc::new(Origin::Folder(name.to_owned()))) } else { above };
        let mut below = Vec::new();
        for entry in listed {
            // The import of a file whose name is not UTF-8 reports that.
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            let is_folder = || match entry.file_type() {
                Ok(kind) if kind.is_symlink() => path.is_dir(),
                kind => kind.is_ok_and(|kind| kind.is_dir()),
            };
            if is_source(&name) && !is_folder() {
                found.push(Walked { file: format!("{prefix}{name}"), path, folder: asked.clone() });
            } else if may_hold_sources(&name) && is_folder() {
                below.push((format!("{prefix}{name}/"), path, asked.clone()));
            }
        }
        // In a stable order: of two links to one folder, the first one counts.
        below.sort_unstable_by(|(one, ..), (other, ..)| other.cmp(one));
        folders.extend(below);
    }
    Ok(found)
}

/// Returns true if the folder of a Towerfile is the program of an app: importing its files would run
/// them. `_discovery.py` has the same rule.
fn is_app(folder: &Path) -> bool {
    let mut text = Vec::new();
    let path = folder.join(TOWERFILE);
    // Opening a named pipe would wait for a writer.
    if !fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
        return false;
    }
    let read =
        fs::File::open(path).and_then(|file| file.take(TOWERFILE_BYTES).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    read.is_ok() && !text.lines().any(declares_actions)
}

/// Returns true for a line with `kind = "actions"`, outside of comments.
fn declares_actions(line: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default();
    line.match_indices("kind").any(|(at, word)| {
        let is_word = !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let value = line[at + word.len()..].trim_start().strip_prefix('=').map(str::trim_start);
        let is_actions =
            |value: &str| value.starts_with("\"actions\"") || value.starts_with("'actions'");
        is_word && value.is_some_and(is_actions)
    })
}

/// Returns true if a file with that name is Python source, and not a temporary file of an editor.
pub(super) fn is_source(name: &str) -> bool {
    name.ends_with(".py") && !name.starts_with('.')
}

/// Returns true if a folder with that name can have Python files of the user.
pub(super) fn may_hold_sources(name: &str) -> bool {
    !name.starts_with('.') && name != "__pycache__" && name != "node_modules"
}

fn too_much(what: String) -> io::Error {
    io::Error::other(format!(
        "the directory has {what}, too much to copy: choose a smaller directory"
    ))
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
    fn changed_files_are_copied_once_and_removed_with_their_last_user() {
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
        let mut scanner = Scanner::new(root.clone(), store.clone(), None).expect("a scanner");
        let first = scanner.scan(|_| {}).expect("files");
        assert_eq!(names(&first), ["a/two.py", "one.py"]);
        assert_eq!(scanner.scan(|_| {}).expect("files"), first);
        // The same size, and possibly the same times.
        fs::write(root.join("one.py"), "2").expect("a file");
        let second = scanner.scan(|_| {}).expect("files");
        assert_eq!(second["a/two.py"], first["a/two.py"]);
        assert_ne!(second["one.py"], first["one.py"]);
        // Touched, but not changed.
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
