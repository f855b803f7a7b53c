//! A wall clock of one program's own.

use std::fs::File;
use std::os::unix::fs::FileExt;

use tempfile::TempDir;

use crate::preload::{compile, passed_on, preload, text};

/// Moves the wall clock of the programs that are started with its environment, and of their
/// children; no other clock, and no other program's.
#[derive(Debug)]
pub struct WallClock {
    directory: TempDir,
    file: File,
}

impl WallClock {
    /// One that shows the right time.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = File::create(directory.path().join("moved")).expect("a file");
        let clock = Self { directory, file };
        clock.set(0);
        clock
    }

    /// Sets the wall clock to this many seconds ahead of the right time.
    pub fn set(&self, seconds: i64) {
        // In one write to a mapped page, so that no reader sees half of it.
        self.file.write_all_at(&seconds.to_ne_bytes(), 0).expect("a write");
    }

    /// Returns the environment to start a program with.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        let library = compile("wall_clock", self.directory.path());
        let file = self.directory.path().join("moved");
        [preload(&library), ("TEST_CLOCK", text(&file)), passed_on()]
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}
