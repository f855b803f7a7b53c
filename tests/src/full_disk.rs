//! A disk that is full for some files of one program.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tempfile::TempDir;

use crate::preload::{compile, passed_on, preload, text};

/// Limits what programs that are started with its environment can write to some files.
#[derive(Debug)]
pub struct FullDisk {
    directory: TempDir,
    file: File,
}

impl FullDisk {
    /// One that is not full yet.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = File::create(directory.path().join("room")).expect("a file");
        let disk = Self { directory, file };
        disk.set_room(i64::MAX);
        disk
    }

    /// Lets programs write `bytes` more bytes, and then none.
    pub fn set_room(&self, bytes: i64) {
        self.file.write_all_at(&bytes.to_ne_bytes(), 0).expect("a write");
    }

    /// Returns the environment in which the disk is full for files whose paths have this prefix.
    pub fn environment(&self, files: &Path) -> [(&'static str, String); 4] {
        let library = compile("full_disk", self.directory.path());
        let room = self.directory.path().join("room");
        let files = ("TEST_DISK", text(files));
        [preload(&library), files, ("TEST_ROOM", text(&room)), passed_on()]
    }
}

impl Default for FullDisk {
    fn default() -> Self {
        Self::new()
    }
}
