//! A wall clock of one program's own.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Moves the wall clock of the programs that are started with its environment, and of what they start; no other clock, and nobody else's.
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
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(clock.library())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/wall_clock.c"))
            .status()
            .expect("cc runs: Rust itself needs it to link");
        assert!(compiled.success(), "the library does not compile");
        clock
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("wall_clock.so")
    }

    /// From now on the wall clock is that many seconds ahead of the right time.
    pub fn set(&self, seconds: i64) {
        // In one write to a mapped page, so that nobody sees half of it.
        self.file.write_all_at(&seconds.to_ne_bytes(), 0).expect("a write");
    }

    /// What a program has to be started with.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let path = |path: PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
        [
            ("LD_PRELOAD", path(self.library())),
            ("TINPOT_TEST_CLOCK", path(self.directory.path().join("moved"))),
        ]
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}
