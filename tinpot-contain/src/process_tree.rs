//! Kills all processes of an interpreter, including those that have left its process group.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::Cgroup;

/// The time to wait for killed processes to disappear: they may be stuck in the kernel.
const PATIENCE: Duration = Duration::from_secs(5);
/// An environment variable that marks the descendants of an interpreter, unless they clear their
/// environment.
pub const COOKIE: &str = "TINPOT_INTERPRETER";

/// An interpreter and all its descendants.
#[derive(Debug)]
pub struct ProcessTree {
    pid: Pid,
    /// The value of the variable [`COOKIE`].
    cookie: String,
    cgroup: Option<Cgroup>,
    killed: AtomicBool,
}

impl ProcessTree {
    /// Returns the tree of the process `pid`, which has `cookie` in its environment.
    pub fn new(pid: Pid, cookie: String, cgroup: Option<Cgroup>) -> Self {
        Self { pid, cookie, cgroup, killed: AtomicBool::new(false) }
    }

    /// Returns the value of the variable [`COOKIE`].
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Returns the cgroup of the interpreter and its descendants, if it has one.
    pub fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    /// Returns true if the memory of all processes together can be limited.
    pub fn limits_memory(&self) -> bool {
        self.cgroup.as_ref().is_some_and(Cgroup::has_memory)
    }

    /// Returns the processor time that the interpreter itself has used.
    pub fn cpu_time(&self) -> Option<Duration> {
        procfs::cpu_time(self.pid)
    }

    /// Returns true if the interpreter itself has more memory than this, without what it shares with
    /// other processes.
    pub fn has_private_memory(&self, more_than: u64) -> bool {
        procfs::has_private_memory(self.pid, more_than)
    }

    /// Returns what all descendants of the process use together; `None` where that is unknown.
    pub fn usage(&self) -> Option<Usage> {
        procfs::usage(self.pid)
    }

    /// Asks the process group to end.
    pub fn terminate(&self) {
        // Fails if the group is gone.
        let _ = kill_process_group(self.pid, Signal::TERM);
    }

    /// Stops the interpreter, so that it starts nothing more.
    pub fn stop(&self) {
        let _ = kill_process(self.pid, Signal::STOP);
    }

    /// Kills the cgroup and the process group at once, without a search for other processes.
    pub fn kill_now(&self) {
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill();
        }
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    /// Returns true if `kill_all` has finished.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Kills all descendants of the interpreter, then the interpreter unless it is `gone` already.
    /// Blocks for some milliseconds.
    ///
    /// The interpreter is a child subreaper: while it exists, orphans become its children, so that
    /// the search finds all descendants. It is stopped first, so that it starts no more. Without
    /// it, the search finds processes by session, process group and cookie. With a cgroup, the
    /// search is for processes that left the cgroup, which needs privileges.
    ///
    /// A killed process loses its memory, and with it the cookie, before it is dead: what was found
    /// once is waited for until it is.
    pub fn kill_all(&self, mut gone: bool) {
        if !gone {
            self.stop();
        }
        let start = Instant::now();
        let mut pause = Duration::from_micros(500);
        let mut victims = HashSet::new();
        loop {
            victims = procfs::of(self.pid, &self.cookie, gone, &victims);
            // After the search, because this kills the interpreter too.
            gone |= self.cgroup.as_ref().is_some_and(|cgroup| cgroup.kill().is_ok());
            for victim in &victims {
                victim.kill();
            }
            let populated = || self.cgroup.as_ref().is_some_and(Cgroup::is_populated);
            while populated() && start.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_micros(500));
            }
            if victims.is_empty() || start.elapsed() > PATIENCE {
                break;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        if !gone {
            self.kill_now();
            let _ = kill_process(self.pid, Signal::KILL);
        }
        self.killed.store(true, Ordering::Release);
    }
}

/// Resources that the descendants of a process use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The number of living ones.
    pub processes: usize,
    /// The processor time, with that of the dead ones.
    pub cpu: Duration,
}

/// Returns the living descendants of a process.
pub(crate) fn descendants(pid: Pid) -> Vec<Pid> {
    procfs::descendants(pid)
}

/// Returns the processor time of this process's dead descendants.
pub(crate) fn cpu_time_of_dead() -> Duration {
    procfs::cpu_time_of_dead()
}

/// A process to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Victim {
    pid: Pid,
    /// The time of its start in ticks since the boot: another process can get the same id.
    started: u64,
}

impl Victim {
    fn kill(&self) {
        let _ = kill_process(self.pid, Signal::KILL);
    }
}

#[cfg(target_os = "linux")]
mod procfs {
    use std::collections::{HashMap, HashSet};
    use std::fs;
    use std::time::Duration;

    use rustix::process::Pid;

    use super::{COOKIE, Usage, Victim};

    struct Process {
        parent: i32,
        group: i32,
        session: i32,
        /// The processor time of itself, and of the children that it has waited for, in ticks.
        ticks: (u64, u64),
        started: u64,
        alive: bool,
    }

    /// Returns the living descendants of a process.
    pub(super) fn descendants(root: Pid) -> Vec<Pid> {
        let root = root.as_raw_nonzero().get();
        let all = snapshot();
        let is_below = |pid: &i32| *pid != root && descends(&all, *pid, root);
        let alive = all.iter().filter(|(pid, process)| process.alive && is_below(pid));
        alive.filter_map(|(pid, _)| Pid::from_raw(*pid)).collect()
    }

    /// Returns what the descendants of a process use.
    pub(super) fn usage(root: Pid) -> Option<Usage> {
        let root = root.as_raw_nonzero().get();
        let all = snapshot();
        let mut ticks = all.get(&root)?.ticks.1;
        let mut processes = 0;
        for (pid, process) in &all {
            if *pid != root && descends(&all, *pid, root) {
                processes += usize::from(process.alive);
                ticks += process.ticks.0 + process.ticks.1;
            }
        }
        Some(Usage { processes, cpu: time(ticks) })
    }

    /// Returns the processor time of this process's dead descendants.
    pub(super) fn cpu_time_of_dead() -> Duration {
        read(std::process::id() as i32).map_or(Duration::ZERO, |me| time(me.ticks.1))
    }

    /// Returns the living processes of the interpreter `root`, without itself, and those of the
    /// `known` ones that are alive.
    pub(super) fn of(
        root: Pid,
        cookie: &str,
        root_is_gone: bool,
        known: &HashSet<Victim>,
    ) -> HashSet<Victim> {
        let root = root.as_raw_nonzero().get();
        let me = std::process::id() as i32;
        let all = snapshot();
        let mark = format!("{COOKIE}={cookie}");
        let victim = |pid: i32, process: &Process| {
            Some(Victim { pid: Pid::from_raw(pid)?, started: process.started })
        };
        let belongs = |pid: i32, process: &Process| {
            victim(pid, process).is_some_and(|victim| known.contains(&victim))
                || process.session == root
                || process.group == root
                || (!root_is_gone && descends(&all, pid, root))
                || has_mark(pid, mark.as_bytes())
        };
        all.iter()
            .filter(|(pid, process)| process.alive && **pid != root && **pid != me)
            .filter(|(pid, process)| belongs(**pid, process))
            .filter_map(|(pid, process)| victim(*pid, process))
            .collect()
    }

    /// Returns the processor time that a process has used.
    pub(super) fn cpu_time(pid: Pid) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
        Some(time(ticks(11)? + ticks(12)?))
    }

    /// Returns true if a process has more memory of its own.
    pub(super) fn has_private_memory(pid: Pid, more_than: u64) -> bool {
        let read = |name| fs::read_to_string(format!("/proc/{}/{name}", pid.as_raw_nonzero()));
        // The whole of it first, with pages that a fork shares: that is quick.
        let pages = read("statm").ok().and_then(|statm| {
            let mut fields = statm.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
            let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
            Some(resident.saturating_sub(shared))
        });
        let page_bytes = rustix::param::page_size() as u64;
        if pages.is_none_or(|pages| pages.saturating_mul(page_bytes) <= more_than) {
            return false;
        }
        let Ok(rollup) = read("smaps_rollup") else { return false };
        let private = rollup.lines().filter(|line| line.starts_with("Private_"));
        let kilobytes =
            private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kilobytes.sum::<u64>().saturating_mul(1024) > more_than
    }

    fn time(ticks: u64) -> Duration {
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        Duration::from_millis(ticks.saturating_mul(1000) / per_second)
    }

    fn snapshot() -> HashMap<i32, Process> {
        let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|pid: i32| Some((pid, read(pid)?)))
            .collect()
    }

    fn read(pid: i32) -> Option<Process> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses can have any characters: fields start after the last one.
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let stat = String::from_utf8_lossy(&stat[end + 1..]).into_owned();
        let mut fields = stat.split_ascii_whitespace();
        let alive = !matches!(fields.next()?, "Z" | "X");
        let mut number = || fields.next()?.parse().ok();
        let (parent, group, session) = (number()?, number()?, number()?);
        // The fields 14 to 17 and 22 of the line; the 6th was the last one read.
        let mut ticks = |skipped: usize| fields.nth(skipped)?.parse::<u64>().ok();
        let own = ticks(7)? + ticks(0)?;
        let of_children = ticks(0)? + ticks(0)?;
        let started = ticks(4)?;
        Some(Process { parent, group, session, ticks: (own, of_children), started, alive })
    }

    fn descends(all: &HashMap<i32, Process>, pid: i32, root: i32) -> bool {
        let mut at = pid;
        // The snapshot was taken over time, so that it can show a loop: its length bounds the
        // search.
        for _ in 0..all.len() {
            match all.get(&at) {
                Some(process) if process.parent == root => return true,
                Some(process) if process.parent > 1 => at = process.parent,
                _ => return false,
            }
        }
        false
    }

    fn has_mark(pid: i32, mark: &[u8]) -> bool {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == mark))
    }
}

#[cfg(not(target_os = "linux"))]
mod procfs {
    use std::collections::HashSet;

    use rustix::process::Pid;

    use super::{Usage, Victim};

    /// Unknown on this system: only the process group can be killed.
    pub(super) fn descendants(_root: Pid) -> Vec<Pid> {
        Vec::new()
    }

    /// Unknown on this system.
    pub(super) fn usage(_root: Pid) -> Option<Usage> {
        None
    }

    /// Unknown on this system.
    pub(super) fn cpu_time_of_dead() -> std::time::Duration {
        std::time::Duration::ZERO
    }

    /// Unknown on this system: nothing is replaced because of it.
    pub(super) fn has_private_memory(_pid: Pid, _more_than: u64) -> bool {
        false
    }

    /// Unknown on this system: nothing kills an attempt that ignores its limit.
    pub(super) fn cpu_time(_pid: Pid) -> Option<std::time::Duration> {
        None
    }

    /// Without `/proc`, only the process group can be killed.
    pub(super) fn of(
        _root: Pid,
        _cookie: &str,
        _root_is_gone: bool,
        _known: &HashSet<Victim>,
    ) -> HashSet<Victim> {
        HashSet::new()
    }
}
