//! Reading an archive: a `tar.gz` that is within all limits and contains nothing harmful.
//!
//! The same code inspects an upload, unpacks on a worker and checks a new archive, so all three
//! accept the same archives. This module reads blocks and extended headers itself, because the
//! library lets sizes in extended headers override others, skips unknown entries, and accepts a
//! truncated archive.

mod entries;
mod header;
mod stream;

use std::io::{self, Read, Write};

use tinpot_core::{Error, ErrorKind, Result};

use self::entries::Entries;
use self::header::{Header, Kind, Pending};
use self::stream::Tar;
use crate::digest::{Digest, Hasher};
use crate::limits::{Limits, refused};
use crate::manifest::{Artifact, BundleEntries, BundleEntry, Manifest, content_digest};
use crate::towerfile::{TOWERFILE, Towerfile};

/// The size of the pieces in which content is read.
const PIECE: usize = 64 * 1024;

/// The content of a valid archive.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Inspection {
    /// The archive itself.
    pub artifact: Artifact,
    /// The identity of the files.
    pub content: Digest,
    /// The files and links.
    pub files: BundleEntries,
    /// The size of all files.
    pub unpacked_bytes: u64,
    /// The text of the Towerfile, if there is one.
    pub towerfile: Option<String>,
}

impl Inspection {
    /// Returns the Towerfile, and the manifest of the archive.
    ///
    /// # Errors
    /// `NotFound` without a Towerfile; `InvalidInput` if it breaks a rule, or names a script that is
    /// not in the archive.
    pub fn manifest(&self) -> Result<(Towerfile, Manifest)> {
        let text = self.towerfile.as_deref().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "bundle: there is no Towerfile at the root of the archive",
            )
        })?;
        let towerfile = Towerfile::parse(text)?;
        if let Some(script) = towerfile.script_path()
            && !self.files.contains_key(&script)
        {
            return Err(refused(format!("app.script {script:?} is not in the archive")));
        }
        let manifest = Manifest::new(&towerfile, self.files.clone(), self.artifact)?;
        Ok((towerfile, manifest))
    }
}

/// The receiver of the content of an archive.
pub(crate) trait Receiver {
    fn folder(&mut self, path: &str) -> io::Result<()>;
    fn file(&mut self, path: &str, executable: bool) -> io::Result<Box<dyn Write + '_>>;
    /// Called after all files.
    fn link(&mut self, path: &str, target: &str) -> io::Result<()>;
}

/// Drops all content.
struct Nowhere;

impl Receiver for Nowhere {
    fn folder(&mut self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn file(&mut self, _path: &str, _executable: bool) -> io::Result<Box<dyn Write + '_>> {
        Ok(Box::new(io::sink()))
    }

    fn link(&mut self, _path: &str, _target: &str) -> io::Result<()> {
        Ok(())
    }
}

/// Reads an archive to its end, and returns its content. Blocks the thread.
///
/// # Errors
/// `InvalidInput` for an archive that breaks a rule or a limit, and for data that is not an
/// archive; `Unavailable` if the reader fails.
pub fn inspect(reader: impl Read, limits: &Limits) -> Result<Inspection> {
    read(reader, limits, &mut Nowhere)
}

/// Reads an archive to its end, and hands its content to a receiver.
pub(crate) fn read(
    reader: impl Read,
    limits: &Limits,
    receiver: &mut dyn Receiver,
) -> Result<Inspection> {
    let mut reading = Reading {
        tar: Tar::new(reader, limits),
        limits,
        entries: Entries::new(limits),
        unpacked_bytes: 0,
        towerfile: None,
    };
    let mut pending = Pending::default();
    while let Some(block) = reading.tar.header()? {
        let header = Header::parse(&block)?;
        if header.kind.is_extension() {
            let bytes = reading.extension(&header)?;
            pending.take(&header, &bytes, limits)?;
        } else {
            reading.entry(&std::mem::take(&mut pending).apply(header)?, receiver)?;
        }
    }
    pending.check_end()?;
    reading.finish(receiver)
}

struct Reading<'a, R: Read> {
    tar: Tar<'a, R>,
    limits: &'a Limits,
    entries: Entries<'a>,
    unpacked_bytes: u64,
    towerfile: Option<String>,
}

impl<R: Read> Reading<'_, R> {
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>> {
        self.entries.count()?;
        if header.bytes > header::MAX_EXTENSION_BYTES {
            let (max, bytes) = (header::MAX_EXTENSION_BYTES, header.bytes);
            return Err(refused(format!(
                "an extended header must have at most {max} bytes (got {bytes})"
            )));
        }
        let mut content = Vec::new();
        self.tar.content(header.bytes, |piece| {
            content.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(content)
    }

    fn entry(&mut self, header: &Header, receiver: &mut dyn Receiver) -> Result<()> {
        self.entries.count()?;
        let path = self.limits.path(&header.path)?;
        match header.kind {
            Kind::Folder => {
                header.check_empty(&path)?;
                // The root itself, as `tar .` writes it.
                if path.is_empty() {
                    return Ok(());
                }
                self.entries.folder(&path)?;
                receiver.folder(&path).map_err(|error| failed(&path, &error))
            }
            Kind::Link => {
                header.check_empty(&path)?;
                let link = self.limits.link(&path, &header.link)?;
                self.entries.add(path, BundleEntry::Link { link })
            }
            Kind::File => self.file(header, path, receiver),
            _ => Err(refused(format!(
                "{path:?} must be a file, a folder or a symbolic link (got {})",
                header.kind.name()
            ))),
        }
    }

    fn file(&mut self, header: &Header, path: String, receiver: &mut dyn Receiver) -> Result<()> {
        if path.is_empty() {
            return Err(refused("the path of a file must not be empty"));
        }
        self.entries.check(&path)?;
        let is_towerfile = path == TOWERFILE;
        if is_towerfile && header.bytes > self.limits.towerfile_bytes {
            let (max, bytes) = (self.limits.towerfile_bytes, header.bytes);
            return Err(refused(format!(
                "the Towerfile must have at most {max} bytes (got {bytes})"
            )));
        }
        let mut hasher = Hasher::new();
        let mut text = Vec::new();
        let mut file =
            receiver.file(&path, header.executable).map_err(|error| failed(&path, &error))?;
        self.tar.content(header.bytes, |piece| {
            hasher.update(piece);
            if is_towerfile {
                text.extend_from_slice(piece);
            }
            file.write_all(piece).map_err(|error| failed(&path, &error))
        })?;
        file.flush().map_err(|error| failed(&path, &error))?;
        drop(file);
        if is_towerfile {
            let text =
                String::from_utf8(text).map_err(|_| refused("the Towerfile must be UTF-8"))?;
            self.towerfile = Some(text);
        }
        self.unpacked_bytes += header.bytes;
        let (bytes, executable) = (header.bytes, header.executable);
        self.entries.add(path, BundleEntry::File { digest: hasher.finish(), bytes, executable })
    }

    fn finish(self, receiver: &mut dyn Receiver) -> Result<Inspection> {
        let artifact = self.tar.finish()?;
        let files = self.entries.into_files();
        for (path, entry) in &files {
            if let BundleEntry::Link { link } = entry {
                receiver.link(path, link).map_err(|error| failed(path, &error))?;
            }
        }
        Ok(Inspection {
            artifact,
            content: content_digest(&files),
            files,
            unpacked_bytes: self.unpacked_bytes,
            towerfile: self.towerfile,
        })
    }
}

fn failed(path: &str, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("bundle: cannot unpack {path:?}: {error}"))
}
