//! Writing the archive.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use rustix::fs::OFlags;
use tar::{Builder, EntryType, Header};
use tinpot_core::Result;

use super::failed;
use super::listing::PackEntry;
use crate::limits::refused;
use crate::towerfile::TOWERFILE;

/// The `operating system` of gzip: unknown.
const ANY_SYSTEM: u8 = 255;

type Tar<W> = Builder<GzEncoder<BufWriter<W>>>;

/// Writes the archive, and returns where it was written to. `towerfile` is the text of the Towerfile
/// if the folder has none.
pub(super) fn write<W: Write>(
    folder: &Path,
    entries: &[PackEntry],
    towerfile: Option<&str>,
    to: W,
) -> Result<W> {
    let gzip = GzBuilder::new().mtime(0).operating_system(ANY_SYSTEM);
    let mut tar = Builder::new(gzip.write(BufWriter::new(to), Compression::new(6)));
    for entry in entries {
        match towerfile {
            Some(text) if entry.path() == TOWERFILE => append_text(entry.path(), text, &mut tar)?,
            _ => append(folder, entry, &mut tar)?,
        }
    }
    let finish =
        || tar.into_inner()?.finish()?.into_inner().map_err(io::IntoInnerError::into_error);
    finish().map_err(|error| failed("write", Path::new("the archive"), &error))
}

/// Appends a file with this text.
fn append_text<W: Write>(path: &str, text: &str, tar: &mut Tar<W>) -> Result<()> {
    let write_failed = |error: io::Error| failed("pack", Path::new(path), &error);
    let mut header = header();
    header.set_path(path).map_err(write_failed)?;
    header.set_entry_type(EntryType::Regular);
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append(&header, text.as_bytes()).map_err(write_failed)
}

/// Returns a header without time and owner.
fn header() -> Header {
    let mut header = Header::new_ustar();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn append<W: Write>(folder: &Path, entry: &PackEntry, tar: &mut Tar<W>) -> Result<()> {
    let full = folder.join(entry.path());
    let write_failed = |error: io::Error| failed("pack", &full, &error);
    let path = entry.path();
    let mut long: Vec<(&str, &[u8])> = Vec::new();
    let mut header = header();
    if header.set_path(path).is_err() {
        long.push(("path", path.as_bytes()));
        // A new one, because the former may hold a part of the path.
        header = self::header();
        header.set_path("long-path").map_err(write_failed)?;
    }
    match entry {
        PackEntry::File { bytes, executable, .. } => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(*bytes);
            header.set_mode(if *executable { 0o755 } else { 0o644 });
        }
        PackEntry::Link { target, .. } => {
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            header.set_mode(0o777);
            if header.set_link_name_literal(target).is_err() {
                long.push(("linkpath", target.as_bytes()));
            }
        }
    }
    tar.append_pax_extensions(long).map_err(write_failed)?;
    header.set_cksum();
    let PackEntry::File { bytes, .. } = entry else {
        return tar.append(&header, io::empty()).map_err(write_failed);
    };
    let mut options = OpenOptions::new();
    let nofollow = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file =
        options.read(true).custom_flags(nofollow as i32).open(&full).map_err(write_failed)?;
    let mut content = Exactly { file, left: *bytes, is_changed: false };
    let appended = tar.append(&header, &mut content);
    if content.is_changed || content.left > 0 {
        return Err(refused(format!("{path:?} changed while it was packed: try again")));
    }
    appended.map_err(write_failed)
}

/// A file that must have as many bytes as its header states.
struct Exactly {
    file: File,
    left: u64,
    is_changed: bool,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => {
                self.left = left;
                Ok(read)
            }
            None => {
                self.is_changed = true;
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }
}
