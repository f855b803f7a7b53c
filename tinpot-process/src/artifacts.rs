//! The files that a program keeps with its execution.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tinpot_core::{Context, Level, LogEvent, Stream};

/// The size of all artifacts of one attempt.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// The number of artifacts of one attempt.
const MAX_FILES: usize = 1000;
/// The part of an artifact in one line: with base64 below the maximum length of a line.
const PIECE_BYTES: usize = 36 * 1024;
/// Media types by the ending of the name.
const MEDIA_TYPES: [(&str, &str); 12] = [
    ("csv", "text/csv"),
    ("gz", "application/gzip"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("log", "text/plain"),
    ("md", "text/markdown"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
];

/// Keeps the files of a folder, in the order of their names. Folders in it are left out.
pub(crate) async fn keep(folder: &Path, context: &Context) {
    let mut files: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    files.sort_by_key(fs::DirEntry::file_name);
    let (mut number, mut bytes) = (0, 0);
    for file in files {
        let name = file.file_name().to_string_lossy().into_owned();
        let kept = match number < MAX_FILES {
            true => keep_one(&file.path(), &name, number + 1, MAX_BYTES - bytes, context).await,
            false => Err(io::Error::other(format!("there must be at most {MAX_FILES}"))),
        };
        match kept {
            Ok(None) => {}
            Ok(Some(size)) => (number, bytes) = (number + 1, bytes + size),
            Err(error) => {
                let line = format!("the artifact {name:?} is not kept: {error}");
                context.logs().write(Stream::System, Level::Warning, vec![line]).await;
                if number >= MAX_FILES {
                    return;
                }
            }
        }
    }
}

/// Keeps one file; returns its size, or `None` if it is no file.
async fn keep_one(
    path: &Path,
    name: &str,
    number: usize,
    left: u64,
    context: &Context,
) -> io::Result<Option<u64>> {
    let kind = fs::symlink_metadata(path)?;
    if !kind.is_file() {
        return Ok(None);
    }
    if kind.len() > left {
        let size = kind.len();
        let message = format!("it must have at most {left} of {MAX_BYTES} bytes (got {size})");
        return Err(io::Error::other(message));
    }
    // All processes of the attempt are dead: nothing replaces the file now.
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = File::options().read(true).custom_flags(flags).open(path)?.take(left);
    let mut sent = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        if (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece)? == 0 {
            break;
        }
        sent += piece.len() as u64;
        let line = format!("{}.{number} {}", context.attempt(), BASE64_STANDARD.encode(&piece));
        context.logs().write(Stream::Data, Level::Info, vec![line]).await;
    }
    let ending = Path::new(name).extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let known = MEDIA_TYPES.iter().find(|(known, _)| ending.as_deref() == Some(*known));
    let media_type = known.map_or("application/octet-stream", |(_, media_type)| media_type);
    let about = serde_json::json!({ "artifact": {
        "number": number,
        "attempt": context.attempt(),
        "name": name,
        "size_bytes": sent,
        "media_type": media_type,
    } });
    if let Ok(event) = serde_json::from_value::<LogEvent>(about) {
        context.logs().event(&event);
    }
    Ok(Some(sent))
}
