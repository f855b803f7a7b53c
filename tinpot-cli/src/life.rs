//! The lives of a worker on one machine: whether those before this one are over, with everything that they started.
//!
//! A coordinator must wait for the end of a lease before it gives away what a silent worker held, unless it is told that nothing of that
//! worker is alive any more. A worker that starts again where it was killed can find that out.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tinpot_core::WorkerId;
use tinpot_python::Containment;

/// How long to wait for the end of what is being killed.
const PATIENCE: Duration = Duration::from_secs(3);
const ENDING: &str = "life";

/// The note of this life: locked while it lasts, and gone after an end in order.
#[derive(Debug)]
pub struct Life {
    path: PathBuf,
    _locked: File,
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Life {
    /// Notes this life in `directory`, which is made if it is not there; with it those of the same name that are over.
    ///
    /// A life is over when nobody holds the lock of its note, so that its process is gone, and when nothing is in its cgroup any more, which
    /// had all that it started. That is only believed where both would be seen: the kernel has not been started again, processes and cgroups
    /// are those of the same container, and cgroups are used now as well. Everything else is left to the lease.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn begin(
        directory: &Path,
        id: &WorkerId,
        containment: Option<&Containment>,
    ) -> io::Result<(Self, Vec<WorkerId>)> {
        fs::create_dir_all(directory)?;
        let place = place(containment);
        let mut over = Vec::new();
        for entry in fs::read_dir(directory)?.flatten() {
            let path = entry.path();
            let other = path
                .file_stem()
                .filter(|_| path.extension().is_some_and(|ending| ending == ENDING))
                .and_then(|stem| WorkerId::new(stem.to_str()?).ok());
            if let Some(other) = other.filter(|other| name(other) == name(id))
                && let Some(proven) = is_over(&path, place.as_deref())
            {
                over.extend(proven.then_some(other));
                let _ = fs::remove_file(path);
            }
        }
        let (new, path) =
            (directory.join(format!("{id}.new")), directory.join(format!("{id}.{ENDING}")));
        let mut file = File::create(&new)?;
        file.lock()?;
        let cgroup = match containment {
            Some(Containment::Cgroup { path }) => path.to_str(),
            _ => None,
        };
        write!(file, "{}\n{}\n", place.unwrap_or_default(), cgroup.unwrap_or_default())?;
        // Whoever sees it sees it locked.
        fs::rename(new, &path)?;
        Ok((Self { path, _locked: file }, over))
    }
}

/// The id without its random end.
fn name(id: &WorkerId) -> &str {
    id.as_str().rsplit_once('-').map_or(id.as_str(), |(name, _)| name)
}

/// Where this life is lived, if cgroups show whether such a one is over: another one that is noted there can be judged.
fn place(containment: Option<&Containment>) -> Option<String> {
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

/// Whether a life is known to be over with all that it started; `None` when it is not, or cannot be seen.
fn is_over(note: &Path, here: Option<&str>) -> Option<bool> {
    let file = File::open(note).ok()?;
    file.try_lock().ok()?;
    let text = fs::read_to_string(note).ok()?;
    let mut lines = text.lines();
    let (place, cgroup) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if here != Some(place) || !Path::new(cgroup).is_absolute() {
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

/// Whether anything in a cgroup is alive; one that was removed is empty.
fn is_populated(cgroup: &Path) -> bool {
    match fs::read_to_string(cgroup.join("cgroup.events")) {
        Ok(events) => !events.lines().any(|line| line == "populated 0"),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}
