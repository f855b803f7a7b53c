//! Files and standard input as values of the command line, within a bound.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tinpot_bundle::{Digest, Hasher};

/// The largest file to read, in bytes: more than servers accept, so that they report the limit.
pub(crate) const INPUT_BYTES: u64 = 64 * 1024 * 1024;
/// The bytes of files that a submission has inline, all together: in base64 they fit into the body
/// that a server admits by default.
const INLINE_BYTES: u64 = 512 * 1024;
/// The size of the pieces in which large files are read.
const PIECE: usize = 64 * 1024;

/// True once standard input was read to its end.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// The content of parameters of the type bytes that was read. The values of flags are read deep below
/// the command that knows the action, for which large files are uploaded.
static PARAMETERS: Mutex<Parameters> = Mutex::new(Parameters { inline: 0, large: Vec::new() });

#[derive(Debug)]
struct Parameters {
    /// The bytes that are inline.
    inline: u64,
    large: Vec<Large>,
}

/// A file that is too large for the body of a submission.
#[derive(Debug)]
pub(crate) struct Large {
    /// The file, or a copy of standard input.
    pub(crate) file: File,
    /// The name, for people.
    pub(crate) name: String,
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

/// The content of a parameter of the type bytes.
#[derive(Debug)]
pub(crate) enum Content {
    Inline(Vec<u8>),
    /// The content is among [`take_large`].
    Large(Digest),
}

/// Reads a file to its end.
///
/// # Errors
/// Fails with the reason, if the file cannot be read or is too large.
pub(crate) fn file(path: &str) -> Result<Vec<u8>, String> {
    let cannot = |e: std::io::Error| format!("cannot read {path}: {e}");
    let file = File::open(path).map_err(cannot)?;
    read(file, path)
}

/// Reads standard input to its end.
///
/// # Errors
/// Fails with the reason, if it cannot be read, is too large, or was read already.
pub(crate) fn stdin() -> Result<Vec<u8>, String> {
    take_stdin()?;
    read(std::io::stdin().lock(), "standard input")
}

fn take_stdin() -> Result<(), String> {
    match TAKEN.swap(true, Ordering::Relaxed) {
        true => Err("cannot read standard input twice".to_owned()),
        false => Ok(()),
    }
}

fn read(from: impl Read, name: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = from.take(INPUT_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| format!("cannot read {name}: {e}"))?;
    if bytes.len() as u64 > INPUT_BYTES {
        return Err(format!("cannot send {name}: it must have at most {INPUT_BYTES} bytes"));
    }
    Ok(bytes)
}

/// Reads a file for a parameter of the type bytes; `None` for standard input. A large one is not kept
/// in memory.
///
/// # Errors
/// Fails with the reason, if it cannot be read.
pub(crate) fn content(path: Option<&str>) -> Result<Content, String> {
    match path {
        None => {
            take_stdin()?;
            content_of(std::io::stdin().lock(), None, "standard input")
        }
        Some(path) => {
            let opened = File::open(path).map_err(|e| format!("cannot read {path}: {e}"))?;
            // A pipe can be read only once.
            let again = opened.metadata().is_ok_and(|metadata| metadata.is_file());
            let again = again.then(|| opened.try_clone().ok()).flatten();
            content_of(opened, again, path)
        }
    }
}

/// Reads content that is inline if it is small. A large one is that of the file `again`, or else of a
/// copy in a temporary file.
fn content_of(mut from: impl Read, again: Option<File>, name: &str) -> Result<Content, String> {
    let cannot = |e: std::io::Error| format!("cannot read {name}: {e}");
    let mut parameters = PARAMETERS.lock().unwrap_or_else(PoisonError::into_inner);
    let left = INLINE_BYTES - parameters.inline;
    let mut start = Vec::new();
    from.by_ref().take(left + 1).read_to_end(&mut start).map_err(cannot)?;
    if start.len() as u64 <= left {
        parameters.inline += start.len() as u64;
        return Ok(Content::Inline(start));
    }
    let (mut hasher, mut piece) = (Hasher::new(), vec![0; PIECE]);
    let mut copy = match again {
        Some(_) => None,
        None => Some(tempfile::tempfile().map_err(|e| format!("cannot copy {name}: {e}"))?),
    };
    let mut take = |bytes: &[u8]| {
        hasher.update(bytes);
        copy.as_mut().map_or(Ok(()), |copy| copy.write_all(bytes))
    };
    take(&start).map_err(cannot)?;
    loop {
        match from.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => take(&piece[..read]).map_err(cannot)?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(cannot(error)),
        }
    }
    let bytes = hasher.bytes();
    let digest = hasher.finish();
    let Some(mut file) = again.or(copy) else { return Err(format!("cannot read {name} twice")) };
    file.rewind().map_err(cannot)?;
    parameters.large.push(Large { file, name: name.to_owned(), digest, bytes });
    Ok(Content::Large(digest))
}

/// Returns the large files that [`content`] has read since the last call.
pub(crate) fn take_large() -> Vec<Large> {
    let mut parameters = PARAMETERS.lock().unwrap_or_else(PoisonError::into_inner);
    parameters.inline = 0;
    std::mem::take(&mut parameters.large)
}
