//! Kills all descendants of this process.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::process_tree::descendants;

/// The number of searches for processes that were started during the one before.
const ROUNDS: usize = 50;

/// Kills, until this process ends.
#[derive(Debug)]
pub(super) struct Killer {
    cgroup: Option<PathBuf>,
    begun: Once,
}

impl Killer {
    pub(super) fn new(cgroup: Option<PathBuf>) -> Self {
        Self { cgroup, begun: Once::new() }
    }

    /// Kills all descendants, those that they start meanwhile, and those that follow, on a thread of
    /// its own.
    pub(super) fn begin(&'static self) {
        self.begun.call_once(|| {
            let kill = move || {
                let mut pause = Duration::from_micros(500);
                loop {
                    self.kill();
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(20));
                }
            };
            if std::thread::Builder::new().spawn(kill).is_err() {
                // Without a thread, at least those of now.
                self.kill();
            }
        });
    }

    fn kill(&self) {
        if let Some(cgroup) = &self.cgroup {
            // Fails without a cgroup: the search finds the processes.
            let _ = fs::write(cgroup.join("cgroup.kill"), "1");
        }
        // A stopped process starts no other. Once a search finds no new ones, it has found all.
        let mut stopped: HashSet<Pid> = HashSet::new();
        for _ in 0..ROUNDS {
            let mut found = descendants(getpid());
            found.retain(|pid| stopped.insert(*pid));
            if found.is_empty() {
                break;
            }
            for pid in found {
                let _ = kill_process(pid, Signal::STOP);
            }
        }
        for pid in stopped {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
