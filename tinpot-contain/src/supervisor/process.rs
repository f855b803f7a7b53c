//! The process of a supervisor.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getrlimit, kill_process_group, prlimit,
    set_child_subreaper, setrlimit, setsid, umask, wait,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::killer::Killer;
use super::reports::{DROP, KILL, Report, TERMINATE};
use super::{Orders, Places, VARIABLE, procs};
use crate::process_tree::cpu_time_of_dead;

/// The time, in seconds, between the signal of a process that has used its processor time and its
/// kill.
const CPU_GRACE: u64 = 2;
/// The states of the worker: it waits for the report, goes on without, or is gone.
const WAITS: u8 = 0;
const GOES_ON: u8 = 1;
const GONE: u8 = 2;

/// Runs a program and reports on it; returns the exit code of this process.
pub(super) fn supervise(
    orders: &Orders,
    places: Places,
    program: impl Iterator<Item = OsString>,
) -> i32 {
    let Some(link) = link() else {
        eprintln!("a supervisor must have a socket as its standard input");
        return 2;
    };
    // For a thread that goes on until this process ends.
    let killer: &'static Killer = Box::leak(Box::new(Killer::new(places.cgroup.clone())));
    let pid = match start(orders, &places, program) {
        Ok(pid) => pid,
        Err(message) => {
            report(&link, &Report::Failed(message));
            // The program may have been started before the step that failed.
            killer.begin();
            wait_for_all(None, killer);
            return 0;
        }
    };
    report(&link, &Report::Started(pid.as_raw_nonzero().get()));
    let worker = Arc::new(AtomicU8::new(WAITS));
    if let Ok(requests) = link.try_clone() {
        let worker = worker.clone();
        let listen = move || listen(requests, pid, killer, &worker);
        if std::thread::Builder::new().spawn(listen).is_err() {
            killer.begin();
        }
    }
    let status = wait_for_all(Some(pid), killer);
    let (code, signal) =
        status.map_or((None, None), |status| (status.exit_status(), status.terminating_signal()));
    let cpu_ms = cpu_time_of_dead().as_millis().try_into().unwrap_or(u64::MAX);
    let has_told = report(&link, &Report::Ended { code, signal, cpu_ms });
    match worker.load(Ordering::Acquire) {
        WAITS if has_told => {}
        GOES_ON => clean_up(&places, false),
        _ => clean_up(&places, true),
    }
    0
}

/// Returns the socket that is this process's standard input.
fn link() -> Option<UnixStream> {
    let stdin = io::stdin().as_fd().try_clone_to_owned().ok()?;
    let link = UnixStream::from(stdin);
    link.local_addr().is_ok().then_some(link)
}

/// Sets up this process and starts the program.
fn start(
    orders: &Orders,
    places: &Places,
    mut program: impl Iterator<Item = OsString>,
) -> Result<Pid, String> {
    let cannot = |what: &'static str| move |error: Errno| format!("cannot {what}: {error}");
    // A process manager signals all processes of the worker, and this one has to outlive them. A
    // handler and not SIG_IGN, which the program would inherit.
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::default())
            .map_err(|error| format!("cannot handle signal {signal}: {error}"))?;
    }
    setsid().map_err(cannot("begin a session"))?;
    #[cfg(target_os = "linux")]
    set_child_subreaper(Some(Pid::INIT)).map_err(cannot("adopt orphans"))?;
    if let Some(mask) = orders.umask {
        umask(Mode::from_raw_mode(mask));
    }
    if let Some(number) = orders.open_files {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(number), maximum })
            .map_err(cannot("limit open files"))?;
    }
    #[cfg(target_os = "linux")]
    if orders.no_new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(cannot("give up privileges"))?;
    }
    let name = program.next().unwrap_or_default();
    let mut command = Command::new(&name);
    command.args(program).stdin(Stdio::null()).env_remove(VARIABLE).process_group(0);
    let enter = |cgroup: &Option<PathBuf>| match cgroup {
        Some(cgroup) => fs::write(procs(cgroup), "0")
            .map_err(|error| format!("cannot enter {}: {error}", cgroup.display())),
        None => Ok(()),
    };
    // The program starts in the cgroup, and this process goes back, to outlive a kill of it.
    enter(&places.cgroup)?;
    let child = command.spawn();
    enter(&places.own_cgroup)?;
    let child = child.map_err(|error| format!("cannot start {}: {error}", name.display()))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| "the program has no process id".to_owned())?;
    // Not before the start: these limits would be this process's own.
    let limit = |resource, current: Option<u64>, maximum: Option<u64>| match current {
        Some(_) => prlimit(Some(pid), resource, Rlimit { current, maximum }).map(drop),
        None => Ok(()),
    };
    let limited = limit(Resource::As, orders.address_space, orders.address_space).and_then(|()| {
        let kill = orders.cpu_seconds.map(|seconds| seconds.saturating_add(CPU_GRACE));
        limit(Resource::Cpu, orders.cpu_seconds, kill)
    });
    match limited {
        // The program may have ended.
        Ok(()) | Err(Errno::SRCH) => Ok(pid),
        Err(error) => Err(format!("cannot limit the program: {error}")),
    }
}

/// Does what the worker asks for. Kills all processes when the worker is gone.
fn listen(mut requests: UnixStream, pid: Pid, killer: &'static Killer, worker: &AtomicU8) {
    let mut request = [0];
    loop {
        match requests.read(&mut request) {
            Ok(1..) if request[0] == TERMINATE => {
                // Fails if the group is gone.
                let _ = kill_process_group(pid, Signal::TERM);
            }
            Ok(1..) if request[0] == KILL => killer.begin(),
            Ok(1..) if request[0] == DROP => {
                worker.store(GOES_ON, Ordering::Release);
                return killer.begin();
            }
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => {
                worker.store(GONE, Ordering::Release);
                return killer.begin();
            }
        }
    }
}

/// Waits until the program and all its descendants are dead; returns the status of the program.
///
/// Processes that the program leaves behind are killed.
fn wait_for_all(program: Option<Pid>, killer: &'static Killer) -> Option<WaitStatus> {
    let mut status = None;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, ended))) if Some(pid) == program => {
                status = Some(ended);
                // Without children, there is nothing to search for.
                match wait(WaitOptions::NOHANG) {
                    Err(Errno::CHILD) => return status,
                    _ => killer.begin(),
                }
            }
            Ok(_) | Err(Errno::INTR) => {}
            // There are no children any more: all are dead.
            Err(_) => return status,
        }
    }
}

/// Returns false if the worker is gone.
fn report(mut link: &UnixStream, report: &Report) -> bool {
    // Cannot fail: it writes texts and numbers to memory.
    let mut line = serde_json::to_vec(report).unwrap_or_default();
    line.push(b'\n');
    link.write_all(&line).is_ok()
}

/// Removes what the worker does not remove any more.
fn clean_up(places: &Places, is_gone: bool) {
    if let Some(cgroup) = &places.cgroup {
        let _ = fs::remove_dir(cgroup);
        if is_gone {
            // Only the last one of its attempts succeeds.
            let _ = cgroup.parent().map(fs::remove_dir);
        }
    }
    if let Some(scratch) = &places.scratch {
        let _ = fs::remove_dir_all(scratch);
    }
}
