//! Records of a worker's incarnations on one machine, which show that earlier ones have ended with
//! everything they started.
//!
//! When a worker falls silent, the coordinator waits for its lease to end before it grants the
//! attempts elsewhere, unless it learns that nothing of that worker is alive. A worker that starts
//! again on the same machine can prove that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use tinpot_core::WorkerId;
use tinpot_python::Containment;

/// The longest wait for processes that are being killed to be gone.
const PATIENCE: Duration = Duration::from_secs(3);
/// The largest record.
const RECORD_BYTES: u64 = 16 << 10;
/// The extension of a record; older programs wrote the same.
const EXTENSION: &str = "life";

/// The record of this incarnation: a file that is locked while the process lives, and removed on
/// drop.
///
/// ```
/// use tinpot_core::WorkerId;
/// use tinpot_server::Incarnation;
///
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// let id = WorkerId::generate("web");
/// let (incarnation, ended) = Incarnation::begin(directory, &id, None)?;
/// // The worker says that these have ended, by `WorkerBuilder::clean_slate`.
/// assert!(ended.is_empty());
/// // Kept as long as the worker.
/// drop(incarnation);
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Incarnation {
    path: PathBuf,
    _locked: File,
}

impl Drop for Incarnation {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Incarnation {
    /// Records this incarnation in `directory`, and returns it with the earlier ones of the same
    /// name that have ended.
    ///
    /// An incarnation has ended when its record is unlocked, so that its process is gone, and its
    /// cgroup, which holds all that it started, is empty. Both can only be judged under the
    /// conditions in which the record was written: the same boot of the kernel, the same namespaces
    /// of processes and cgroups, and cgroups in use now as well. In every other case the lease
    /// decides.
    ///
    /// The directory is created if missing.
    ///
    /// # Errors
    /// Fails if the directory cannot be read or written.
    pub fn begin(
        directory: &Path,
        id: &WorkerId,
        containment: Option<&Containment>,
    ) -> io::Result<(Self, Vec<WorkerId>)> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let surroundings = surroundings(containment);
        let mut ended = Vec::new();
        for entry in fs::read_dir(directory)?.flatten() {
            let path = entry.path();
            let other = path
                .file_stem()
                .filter(|_| path.extension().is_some_and(|extension| extension == EXTENSION))
                .and_then(|stem| WorkerId::new(stem.to_str()?).ok());
            if let Some(other) = other.filter(|other| name(other) == name(id))
                && let Some(proven) = has_ended(&path, surroundings.as_deref())
            {
                ended.extend(proven.then_some(other));
                let _ = fs::remove_file(path);
            }
        }
        let (new, path) =
            (directory.join(format!("{id}.new")), directory.join(format!("{id}.{EXTENSION}")));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.lock()?;
        let cgroup = match containment {
            Some(Containment::Cgroup { path }) => path.to_str(),
            _ => None,
        };
        write!(file, "{}\n{}\n", surroundings.unwrap_or_default(), cgroup.unwrap_or_default())?;
        // The rename comes after the lock, so that no other process ever sees the record unlocked.
        fs::rename(new, &path)?;
        Ok((Self { path, _locked: file }, ended))
    }
}

/// Returns the id without its random suffix.
fn name(id: &WorkerId) -> &str {
    id.as_str().rsplit_once('-').map_or(id.as_str(), |(name, _)| name)
}

/// Returns the boot, namespaces and parent cgroup of this process, which an earlier record must
/// equal to be judged.
///
/// `None` without cgroups, since then surviving processes cannot be seen.
fn surroundings(containment: Option<&Containment>) -> Option<String> {
    let Some(Containment::Cgroup { path }) = containment else { return None };
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = |kind: &str| fs::read_link(format!("/proc/self/ns/{kind}"));
    let (processes, cgroups) = (namespace("pid").ok()?, namespace("cgroup").ok()?);
    let parent = path.parent()?;
    Some(format!(
        "{} {} {} {}",
        boot.trim(),
        processes.display(),
        cgroups.display(),
        parent.display()
    ))
}

/// Returns `Some(true)` if the incarnation has provably ended, `Some(false)` if its process is gone
/// but the rest cannot be judged, and `None` if it may be alive.
fn has_ended(record: &Path, here: Option<&str>) -> Option<bool> {
    // Not through a link, and without a wait for the writer of a named pipe.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(record).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    file.try_lock().ok()?;
    let mut text = String::new();
    (&mut file).take(RECORD_BYTES).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let (there, cgroup) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if here != Some(there) || !Path::new(cgroup).is_absolute() {
        return Some(false);
    }
    let begin = Instant::now();
    while is_populated(Path::new(cgroup)) {
        if begin.elapsed() > PATIENCE {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(true)
}

/// Returns true if the cgroup has a live process; a removed cgroup has none.
fn is_populated(cgroup: &Path) -> bool {
    match fs::read_to_string(cgroup.join("cgroup.events")) {
        Ok(events) => !events.lines().any(|line| line == "populated 0"),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}
