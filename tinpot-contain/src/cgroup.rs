//! Control groups (cgroup v2): the kernel kills all processes of a group at once.
//!
//! Only `cgroup.procs`, `cgroup.kill` and `cgroup.events` are needed, which every cgroup has
//! regardless of its controllers. The memory controller, if there is one, limits the memory of
//! attempts.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time to wait for killed processes to disappear: they may be stuck in the kernel.
const PATIENCE: Duration = Duration::from_secs(5);

/// The cgroup of a pool, below the worker's own.
///
/// It contains one cgroup per interpreter, and no processes. It is removed with this value.
#[derive(Debug)]
pub struct PoolCgroup {
    path: PathBuf,
    /// The worker's own cgroup.
    own: PathBuf,
    made: AtomicU64,
}

/// The cgroup of one interpreter and all its descendants.
///
/// It is removed with this value, unless a process in it is alive.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    _pool: Arc<PoolCgroup>,
}

impl PoolCgroup {
    /// Creates a cgroup with that name below the worker's own.
    ///
    /// Calls `note` with its path before it exists, so that the next worker finds it after a crash.
    ///
    /// # Errors
    /// The reason why no cgroup can be created, in a few words.
    pub fn create(name: &str, note: impl FnOnce(&Path) -> io::Result<()>) -> Result<Self, String> {
        let own = own()?;
        Self::create_in(&own.clone(), own, name, note)
    }

    /// Creates a cgroup with that name below another pool's, with which it is killed.
    ///
    /// # Errors
    /// The reason why no cgroup can be created, in a few words.
    pub fn create_below(parent: &Path, name: &str) -> Result<Self, String> {
        Self::create_in(parent, own()?, name, |_| Ok(()))
    }

    fn create_in(
        parent: &Path,
        own: PathBuf,
        name: &str,
        note: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<Self, String> {
        // Moving a process needs write access to the closest common ancestor of both cgroups.
        let procs = own.join("cgroup.procs");
        let writable = File::options().write(true).open(&procs);
        writable.map_err(|e| format!("cannot write {}: {}", procs.display(), reason(&e)))?;
        let path = parent.join(name);
        note(&path).map_err(|e| format!("cannot write down its path: {}", reason(&e)))?;
        fs::create_dir(&path).map_err(|e| {
            format!("cannot create a directory in {}: {}", parent.display(), reason(&e))
        })?;
        let this = Self { path, own, made: AtomicU64::new(0) };
        if !this.path.join("cgroup.kill").exists() {
            return Err("the kernel has no cgroup.kill: use Linux 5.14 or newer".to_owned());
        }
        // Fails without that controller, and if the worker's cgroup has processes of its own. Then
        // resource limits of the interpreter limit memory.
        for cgroup in [parent, &this.path] {
            let _ = overwrite(&cgroup.join("cgroup.subtree_control"), "+memory");
        }
        Ok(this)
    }

    /// Proves that processes can be moved: moves a process of this pool, which is in the worker's
    /// own cgroup, there and back.
    ///
    /// # Errors
    /// The reason why processes cannot be moved, in a few words.
    pub fn prove(&self, pid: u32) -> Result<(), String> {
        let cannot = |e: io::Error| format!("cannot move processes: {}", reason(&e));
        let probe = self.path.join("probe");
        fs::create_dir(&probe).map_err(cannot)?;
        let moved = fs::write(probe.join("cgroup.procs"), pid.to_string());
        let moved = moved.and_then(|()| fs::write(self.own.join("cgroup.procs"), pid.to_string()));
        remove(&probe);
        moved.map_err(cannot)
    }

    /// Creates a cgroup for one interpreter.
    ///
    /// # Errors
    /// Fails if the directory cannot be created.
    pub fn add(self: &Arc<Self>) -> io::Result<Cgroup> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(number.to_string());
        fs::create_dir(&path)?;
        Ok(Cgroup { path, _pool: self.clone() })
    }

    /// Returns the directory of the worker's own cgroup.
    pub fn own_path(&self) -> &Path {
        &self.own
    }

    /// Returns its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PoolCgroup {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

impl Cgroup {
    /// Returns its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file to which a process writes `0` to move to this cgroup.
    ///
    /// # Errors
    /// Fails if the cgroup is gone.
    pub fn procs(&self) -> io::Result<File> {
        File::options().write(true).open(self.path.join("cgroup.procs"))
    }

    /// Kills all processes in it, without waiting for their end.
    ///
    /// # Errors
    /// Fails if the cgroup is gone.
    pub fn kill(&self) -> io::Result<()> {
        kill(&self.path)
    }

    /// Returns true if a process in it is alive; zombies are not.
    pub fn is_populated(&self) -> bool {
        is_populated(&self.path)
    }
}

impl Cgroup {
    /// Returns true if its memory can be limited.
    pub fn has_memory(&self) -> bool {
        self.path.join("memory.max").exists()
    }

    /// Limits the memory of all processes in it, or lifts the limit. Beyond the limit all of them
    /// are killed.
    ///
    /// # Errors
    /// Fails without the memory controller.
    pub fn limit_memory(&self, bytes: Option<u64>) -> io::Result<()> {
        let amount = bytes.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string());
        // These files do not exist on kernels without swap or without the group kill.
        let _ = overwrite(&self.path.join("memory.oom.group"), "1");
        let _ = overwrite(
            &self.path.join("memory.swap.max"),
            if bytes.is_some() { "0" } else { "max" },
        );
        overwrite(&self.path.join("memory.max"), &amount)
    }

    /// Returns the number of its processes that were killed for lack of memory.
    pub fn memory_kills(&self) -> u64 {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.and_then(|kills| kills.trim().parse().ok()).unwrap_or_default()
    }
}

/// Writes to an existing file; `fs::write` would create a missing one.
fn overwrite(file: &Path, text: &str) -> io::Result<()> {
    io::Write::write_all(
        &mut File::options().write(true).truncate(true).open(file)?,
        text.as_bytes(),
    )
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Kills the processes that a worker left in the cgroup of its pool, and removes the cgroup.
///
/// Returns true if nothing is left.
pub fn clear(pool: &Path) -> bool {
    let start = Instant::now();
    while kill(pool).is_ok() && is_populated(pool) && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
    remove(pool);
    !pool.exists()
}

fn kill(cgroup: &Path) -> io::Result<()> {
    overwrite(&cgroup.join("cgroup.kill"), "1")
}

fn is_populated(cgroup: &Path) -> bool {
    fs::read_to_string(cgroup.join("cgroup.events"))
        .is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
}

/// Removes a cgroup and those below it, unless a process in it is alive.
fn remove(cgroup: &Path) {
    // Errors are expected: the cgroup may be gone, or not be empty. Then a later worker removes it.
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}

/// Returns the directory of this process's cgroup.
fn own() -> Result<PathBuf, String> {
    let read = |file: &str| match fs::read(file) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) => Err(format!("cannot read {file}: {}", reason(&e))),
    };
    directory(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)
}

/// Finds the directory in the list of mounts and the list of this process's cgroups; see proc(5)
/// and cgroups(7).
fn directory(mounts: &str, membership: &str) -> Result<PathBuf, String> {
    let Some(own) = membership.lines().find_map(|line| line.strip_prefix("0::")) else {
        return Err("there is no cgroup v2".to_owned());
    };
    let own = Path::new(own);
    // The last mount on a directory hides earlier ones.
    let mounted: Vec<_> = mounts.lines().rev().filter_map(cgroup2).collect();
    if mounted.is_empty() {
        return Err("no cgroup2 file system is mounted".to_owned());
    }
    let shown = mounted.into_iter().find_map(|(root, point)| {
        let below = own.strip_prefix(root).ok()?;
        // A path with `..` is outside of the namespace.
        let inside = below.components().all(|part| matches!(part, Component::Normal(_)));
        inside.then(|| point.components().chain(below.components()).collect::<PathBuf>())
    });
    shown.ok_or_else(|| format!("this process's cgroup {} is not mounted", own.display()))
}

/// Returns the part of the hierarchy that a line of mountinfo mounts, and its mount point; `None`
/// if it is not of cgroup2.
fn cgroup2(line: &str) -> Option<(PathBuf, PathBuf)> {
    let (mount, kind) = line.split_once(" - ")?;
    if kind.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = mount.split(' ').skip(3).map(unescape);
    Some((fields.next()?, fields.next()?))
}

/// Decodes a path of mountinfo, where white space and backslashes are octal numbers.
fn unescape(text: &str) -> PathBuf {
    let mut path = text.to_owned();
    for (written, meant) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        path = path.replace(written, meant);
    }
    PathBuf::from(path)
}

/// Returns the message of an error without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Cgroup, PoolCgroup, clear, directory};
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime shared:5 - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:7 master:1 - cgroup2 cgroup2 rw
";

    #[test]
    fn own_cgroup_is_found() {
        for (mounts, membership, expected) in [
            (HYBRID, "8:pids:/x\n0::/\n", "/sys/fs/cgroup/unified"),
            (HYBRID, "0::/user.slice/a b.scope\n", "/sys/fs/cgroup/unified/user.slice/a b.scope"),
            // Without a cgroup namespace, a container sees only its own part.
            (
                "30 1 0:26 /docker/1a /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
                "0::/docker/1a/b\n",
                "/sys/fs/cgroup/b",
            ),
            (
                "30 1 0:26 / /odd\\040place\\134 rw - cgroup2 cgroup rw\n",
                "0::/b\n",
                "/odd place\\/b",
            ),
            (
                "1 1 0:1 / /a rw - cgroup2 c rw\n2 1 0:1 /b /c rw - cgroup2 c rw\n",
                "0::/d\n",
                "/a/d",
            ),
        ] {
            assert_eq!(
                directory(mounts, membership).as_deref(),
                Ok(Path::new(expected)),
                "{mounts}"
            );
        }
    }

    #[test]
    fn missing_cgroup_is_explained() {
        for (mounts, membership, part) in [
            (HYBRID, "8:pids:/\n", "no cgroup v2"),
            (
                "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n",
                "0::/\n",
                "no cgroup2 file system",
            ),
            (
                "30 1 0:26 /docker/1a /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
                "0::/docker/2\n",
                "/docker/2 is not mounted",
            ),
            (HYBRID, "0::/../other\n", "/../other is not mounted"),
            ("nonsense\n - \n", "0::/\n", "no cgroup2"),
        ] {
            let why = directory(mounts, membership).expect_err("no cgroup");
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn ordinary_directory_is_not_written_to() {
        let place = tempfile::tempdir().expect("a directory");
        std::fs::write(place.path().join("file"), "").expect("a file");
        assert!(!clear(place.path()));
        let names: Vec<_> = std::fs::read_dir(place.path()).expect("entries").flatten().collect();
        assert_eq!(names.len(), 1);
        assert!(clear(&place.path().join("missing")));
    }

    /// A directory stands in for a cgroup with the memory controller, which test machines may lack.
    #[test]
    fn memory_is_limited_and_kills_are_counted() {
        let place = tempfile::tempdir().expect("a directory");
        let (path, own) = (place.path().join("pool/0"), place.path().to_owned());
        std::fs::create_dir_all(&path).expect("a directory");
        let pool = PoolCgroup { path: place.path().join("pool"), own, made: AtomicU64::new(1) };
        let cgroup = Cgroup { path: path.clone(), _pool: Arc::new(pool) };
        assert!(!cgroup.has_memory() && cgroup.limit_memory(Some(5)).is_err());
        assert_eq!(cgroup.memory_kills(), 0);
        for file in ["memory.max", "memory.swap.max", "memory.oom.group"] {
            std::fs::write(path.join(file), "").expect("a file");
        }
        let read = |file: &str| std::fs::read_to_string(path.join(file)).expect("a file");
        cgroup.limit_memory(Some(4096)).expect("a limit");
        assert_eq!(
            ["memory.max", "memory.swap.max", "memory.oom.group"].map(read),
            ["4096", "0", "1"]
        );
        cgroup.limit_memory(None).expect("no limit");
        assert_eq!(["memory.max", "memory.swap.max"].map(read), ["max", "max"]);
        std::fs::write(path.join("memory.events"), "oom 3\noom_kill 2\n").expect("a file");
        assert_eq!(cgroup.memory_kills(), 2);
    }
}
