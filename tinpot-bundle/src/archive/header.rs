//! The headers of entries, and the extended headers before them.

use tar::{EntryType, PaxExtensions};
use tinpot_core::Result;

use crate::limits::{Limits, refused};

/// The size of a block, and so of a header.
pub(super) const BLOCK: usize = 512;
/// The largest extended header: some paths and attributes.
pub(super) const MAX_EXTENSION_BYTES: u64 = 64 * 1024;
/// The bits of the mode of which one makes a file executable.
const EXECUTABLE: u32 = 0o100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    /// Pax: the attributes of the next entry.
    Pax,
    /// Pax: attributes of all entries.
    PaxGlobal,
    /// GNU: the path of the next entry.
    LongPath,
    /// GNU: the target of the next link.
    LongLink,
    HardLink,
    Device,
    Fifo,
    Sparse,
    Other(u8),
}

impl Kind {
    fn of(entry_type: EntryType) -> Self {
        match entry_type {
            EntryType::Regular => Self::File,
            EntryType::Directory => Self::Folder,
            EntryType::Symlink => Self::Link,
            EntryType::XHeader => Self::Pax,
            EntryType::XGlobalHeader => Self::PaxGlobal,
            EntryType::GNULongName => Self::LongPath,
            EntryType::GNULongLink => Self::LongLink,
            EntryType::Link => Self::HardLink,
            EntryType::Char | EntryType::Block => Self::Device,
            EntryType::Fifo => Self::Fifo,
            EntryType::GNUSparse => Self::Sparse,
            other => Self::Other(other.as_byte()),
        }
    }

    pub(super) fn is_extension(self) -> bool {
        matches!(self, Self::Pax | Self::PaxGlobal | Self::LongPath | Self::LongLink)
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::HardLink => "a hard link".to_owned(),
            Self::Device => "a device".to_owned(),
            Self::Fifo => "a FIFO".to_owned(),
            Self::Sparse => "a sparse file".to_owned(),
            Self::Other(kind) => format!("the type {:?}", char::from(kind)),
            kind => format!("{kind:?}"),
        }
    }
}

#[derive(Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) bytes: u64,
    pub(super) executable: bool,
}

impl Header {
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self> {
        let header = tar::Header::from_byte_slice(block);
        let mut checked = header.clone();
        checked.set_cksum();
        if header.cksum().ok() != checked.cksum().ok() {
            return Err(refused("the archive is damaged, or not a tar file: a checksum is wrong"));
        }
        let number =
            |what: &str| refused(format!("the archive is damaged: a header has no valid {what}"));
        let bytes = header.entry_size().map_err(|_| number("size"))?;
        let path = header.path_bytes().into_owned();
        let mut kind = Kind::of(header.entry_type());
        // tar wrote folders like this before it had a type for them.
        if kind == Kind::File && path.ends_with(b"/") {
            kind = Kind::Folder;
        }
        // Extended headers, and those of links, need none.
        let executable =
            kind == Kind::File && header.mode().map_err(|_| number("mode"))? & EXECUTABLE != 0;
        let link = header.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default();
        Ok(Self { kind, path, link, bytes, executable })
    }

    /// Refuses content in an entry that must have none.
    pub(super) fn check_empty(&self, path: &str) -> Result<()> {
        match self.bytes {
            0 => Ok(()),
            bytes => Err(refused(format!(
                "the folder or link {path:?} must have no content (got {bytes} bytes)"
            ))),
        }
    }
}

/// The values that extended headers set for the next entry.
#[derive(Debug, Default)]
pub(super) struct Pending {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    bytes: Option<u64>,
    is_some: bool,
}

impl Pending {
    /// Reads the content of an extended header.
    pub(super) fn take(&mut self, header: &Header, content: &[u8], limits: &Limits) -> Result<()> {
        match header.kind {
            Kind::LongPath => {
                let path = set_once(&mut self.path, long_name(content));
                path.ok_or_else(|| repeated("path"))?;
            }
            Kind::LongLink => {
                let link = set_once(&mut self.link, long_name(content));
                link.ok_or_else(|| repeated("link"))?;
            }
            Kind::PaxGlobal => return Self::check_global(content),
            _ => self.take_pax(content, limits)?,
        }
        self.is_some = true;
        Ok(())
    }

    fn take_pax(&mut self, content: &[u8], limits: &Limits) -> Result<()> {
        for extension in PaxExtensions::new(content) {
            let extension = extension.map_err(|_| refused("an extended header is damaged"))?;
            let key = extension.key_bytes();
            let value = extension.value_bytes();
            match key {
                b"path" => {
                    set_once(&mut self.path, value.to_vec()).ok_or_else(|| repeated("path"))?
                }
                b"linkpath" => {
                    set_once(&mut self.link, value.to_vec()).ok_or_else(|| repeated("link"))?
                }
                b"size" => {
                    let bytes = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    let bytes: u64 = bytes
                        .ok_or_else(|| refused("the size in an extended header is invalid"))?;
                    if bytes > limits.unpacked_bytes {
                        return Err(refused(format!(
                            "the content must have at most {} bytes",
                            limits.unpacked_bytes
                        )));
                    }
                    set_once(&mut self.bytes, bytes).ok_or_else(|| repeated("size"))?;
                }
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(refused("sparse files are not allowed: pack without --sparse"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Refuses attributes that would change every entry. Comments, such as those of git, may stay.
    fn check_global(content: &[u8]) -> Result<()> {
        for extension in PaxExtensions::new(content) {
            let extension = extension.map_err(|_| refused("an extended header is damaged"))?;
            let key = extension.key_bytes();
            if [&b"path"[..], b"linkpath", b"size"].contains(&key)
                || key.starts_with(b"GNU.sparse.")
            {
                let key = String::from_utf8_lossy(key);
                return Err(refused(format!("a global header must not set {key}")));
            }
        }
        Ok(())
    }

    pub(super) fn apply(self, mut header: Header) -> Result<Header> {
        // Two readers could disagree where the next entry starts.
        if self.bytes.is_some_and(|bytes| bytes != header.bytes) {
            let bytes = header.bytes;
            return Err(refused(format!(
                "the size in an extended header must be that of its entry ({bytes})"
            )));
        }
        if let Some(path) = self.path {
            if header.kind == Kind::File && path.ends_with(b"/") {
                header.kind = Kind::Folder;
            }
            header.path = path;
        }
        header.link = self.link.unwrap_or(header.link);
        Ok(header)
    }

    pub(super) fn check_end(&self) -> Result<()> {
        if self.is_some {
            return Err(refused("the archive ends early: an extended header has no entry"));
        }
        Ok(())
    }
}

fn set_once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

fn repeated(what: &str) -> tinpot_core::Error {
    refused(format!("an entry must have one extended {what} (it is repeated)"))
}

/// Returns a name without the zero at its end.
fn long_name(content: &[u8]) -> Vec<u8> {
    content.strip_suffix(b"\0").unwrap_or(content).to_vec()
}
