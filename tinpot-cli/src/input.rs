//! Files and standard input as values of the command line, within a bound.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

/// The largest file to read, in bytes: more than servers accept, so that they report the limit.
pub(crate) const INPUT_BYTES: u64 = 64 * 1024 * 1024;

/// True once standard input was read to its end.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Reads a file to its end.
///
/// # Errors
/// Fails with the reason, if the file cannot be read or is too large.
pub(crate) fn file(path: &str) -> Result<Vec<u8>, String> {
    let cannot = |e: std::io::Error| format!("cannot read {path}: {e}");
    let file = std::fs::File::open(path).map_err(cannot)?;
    read(file, path)
}

/// Reads standard input to its end.
///
/// # Errors
/// Fails with the reason, if it cannot be read, is too large, or was read already.
pub(crate) fn stdin() -> Result<Vec<u8>, String> {
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err("cannot read standard input twice".to_owned());
    }
    read(std::io::stdin().lock(), "standard input")
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
