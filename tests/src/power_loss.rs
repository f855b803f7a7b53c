//! The files of a program after a loss of power.

use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::preload::{compile, preload, text};
use crate::{Program, wait_for};

/// Keeps a second copy of files that a program writes: of each what was written before the file was synchronised last, and nothing else.
#[derive(Debug)]
pub struct PowerLoss {
    directory: TempDir,
    left: TempDir,
}

impl PowerLoss {
    /// One that has seen nothing.
    pub fn new() -> Self {
        let directory = || tempfile::tempdir().expect("a directory");
        Self { directory: directory(), left: directory() }
    }

    /// Returns the environment in which files whose paths have this prefix are watched.
    pub fn environment(&self, files: &Path) -> [(&'static str, String); 3] {
        let library = compile("power_loss", self.directory.path());
        [
            preload(&library),
            ("TINPOT_TEST_DISK", text(files)),
            ("TINPOT_TEST_LEFT", text(self.left.path())),
        ]
    }

    /// Returns the content that would remain if the power failed now.
    pub fn left(&self, program: &Program) -> TempDir {
        program.signal(Signal::STOP);
        let state = || {
            let stat =
                std::fs::read_to_string(format!("/proc/{}/stat", program.id())).unwrap_or_default();
            let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
            if state == Some('T') { Ok(()) } else { Err(state) }
        };
        wait_for("the program to stop", state);
        let copy = tempfile::tempdir().expect("a directory");
        for entry in std::fs::read_dir(self.left.path()).expect("a directory").flatten() {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
        }
        program.signal(Signal::CONT);
        copy
    }
}

impl Default for PowerLoss {
    fn default() -> Self {
        Self::new()
    }
}
