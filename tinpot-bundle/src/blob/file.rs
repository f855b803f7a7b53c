//! Blobs as files: `ab/cdef…`, named by the digits of their digests.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;
use tinpot_core::{Error, ErrorKind, Result, Timestamp};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::{Blob, BlobInfo, BlobStore, Body, ByteRange, Check, MAX_LIST, PIECE, PutOptions};
use crate::digest::Digest;
use crate::failpoint::failpoint;

/// The folder of incomplete content.
const DRAFTS: &str = "tmp";
/// The file that is locked while blobs are published or deleted.
const LOCK: &str = ".lock";
/// The pieces of one `put` that may wait for the disk. With the pieces of up to 1 MiB that bodies
/// come in, they stay below 4 MiB.
const WAITING: usize = 2;

/// A [`BlobStore`] in a folder: one file per blob, which only its owner may read.
///
/// Several stores and several processes can share a folder.
#[derive(Clone, Debug)]
pub struct FileBlobStore {
    root: Arc<Path>,
}

impl FileBlobStore {
    /// Opens the store in a folder, which it creates if needed. Removes what unfinished `put`s of
    /// earlier processes left.
    ///
    /// # Errors
    /// `Unavailable` if the folder cannot be created or written.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root: PathBuf = root.into();
        let store = Self { root: root.into() };
        store
            .blocking("open", |store| {
                create_folder(&store.root)?;
                create_folder(&store.root.join(DRAFTS))?;
                store.remove_drafts()
            })
            .await?;
        Ok(store)
    }

    /// Runs `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.clone();
        let done =
            spawn_blocking(move || work(&store).map_err(|error| failed(what, &store.root, error)));
        done.await.map_err(interrupted)?
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let digits = digest.to_string();
        self.root.join(&digits[..2]).join(&digits[2..])
    }

    /// Takes the lock of the folder, against other calls and other processes.
    fn lock(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let file = options.create(true).write(true).truncate(false).mode(0o600);
        let file = file.open(self.root.join(LOCK))?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }

    /// Creates a file for content, which is locked while it is written.
    fn draft(&self) -> io::Result<NamedTempFile> {
        // With the lock, so that no opening finds the draft before it is locked itself.
        let _lock = self.lock()?;
        let draft = NamedTempFile::new_in(self.root.join(DRAFTS))?;
        flock(draft.as_file(), FlockOperation::LockExclusive)?;
        Ok(draft)
    }

    fn remove_drafts(&self) -> io::Result<()> {
        let _lock = self.lock()?;
        for draft in fs::read_dir(self.root.join(DRAFTS))? {
            let path = draft?.path();
            let Ok(file) = File::open(&path) else { continue };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                ignore_missing(fs::remove_file(&path))?;
            }
        }
        Ok(())
    }

    /// Gives a complete draft its name.
    fn publish(&self, draft: NamedTempFile, digest: Digest, bytes: u64) -> io::Result<BlobInfo> {
        let path = self.path(&digest);
        let folder = path.parent().unwrap_or(&self.root);
        let _lock = self.lock()?;
        // Set with the lock held, so that the time is that of the publication: a `delete` that
        // waits for the lock meanwhile finds it used.
        let used_at = Timestamp::now();
        draft.as_file().set_modified(UNIX_EPOCH + Duration::from_micros(used_at.as_micros()))?;
        draft.as_file().sync_all()?;
        let is_new = create_folder(folder)?;
        failpoint("blob.before-rename");
        // Also replaces a file of that name, which may have been damaged since.
        draft.persist(&path).map_err(|error| error.error)?;
        failpoint("blob.after-rename");
        File::open(folder)?.sync_all()?;
        if is_new {
            File::open(&self.root)?.sync_all()?;
        }
        Ok(BlobInfo::new(digest, bytes, used_at))
    }

    /// Writes pieces to a draft, and publishes it after [`Piece::End`]. Without that, the draft is
    /// removed.
    fn write(&self, mut pieces: mpsc::Receiver<Piece>, options: PutOptions) -> Result<BlobInfo> {
        let full = |error| failed("write", &self.root, error);
        let mut draft = self.draft().map_err(full)?;
        failpoint("blob.draft");
        let mut check = Check::new(options);
        while let Some(piece) = pieces.blocking_recv() {
            let Piece::Content(bytes) = piece else {
                let (digest, bytes) = check.finish()?;
                // The bulk of the writing, outside the lock.
                draft.as_file().sync_data().map_err(full)?;
                failpoint("blob.complete");
                return self.publish(draft, digest, bytes).map_err(full);
            };
            check.take(&bytes)?;
            draft.write_all(&bytes).map_err(full)?;
            failpoint("blob.piece");
        }
        Err(Error::new(ErrorKind::Malformed, "the content was cut off"))
    }

    fn stat(&self, digest: &Digest) -> io::Result<Option<BlobInfo>> {
        match fs::metadata(self.path(digest)) {
            Ok(metadata) => info_of(*digest, &metadata).map(Some),
            Err(error) => ignore_missing(Err(error)).map(|()| None),
        }
    }

    fn names(&self, after: Option<&Digest>, limit: usize) -> io::Result<Vec<BlobInfo>> {
        let mut found = Vec::new();
        for first in sorted_names(&self.root)? {
            let is_before = after.is_some_and(|after| *first < after.to_string()[..2]);
            if first.len() != 2 || is_before {
                continue;
            }
            for rest in sorted_names(&self.root.join(&first))? {
                let Ok(digest) = format!("{first}{rest}").parse::<Digest>() else { continue };
                if after.is_some_and(|after| digest <= *after) {
                    continue;
                }
                if found.len() == limit {
                    return Ok(found);
                }
                found.extend(self.stat(&digest)?);
            }
        }
        Ok(found)
    }
}

#[derive(Debug)]
enum Piece {
    Content(Bytes),
    End,
}

#[async_trait]
impl BlobStore for FileBlobStore {
    async fn put(&self, mut body: Body, options: PutOptions) -> Result<BlobInfo> {
        let (sender, pieces) = mpsc::channel(WAITING);
        let store = self.clone();
        let writing = spawn_blocking(move || store.write(pieces, options));
        while let Some(piece) = body.next().await {
            // The writer stops early only with an error, which is then returned.
            if sender.send(Piece::Content(piece?)).await.is_err() {
                break;
            }
        }
        drop(sender.send(Piece::End).await);
        writing.await.map_err(interrupted)?
    }

    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<Blob>> {
        let digest = *digest;
        let opened = self.blocking("read", move |store| match File::open(store.path(&digest)) {
            Ok(file) => info_of(digest, &file.metadata()?).map(|info| Some((file, info))),
            Err(error) => ignore_missing(Err(error)).map(|()| None),
        });
        let Some((mut file, info)) = opened.await? else { return Ok(None) };
        let range = range.within(info.bytes)?;
        file.seek(SeekFrom::Start(range.start))
            .map_err(|error| failed("read", &self.root, error))?;
        let root = Arc::clone(&self.root);
        let left = range.end - range.start;
        let body = stream::try_unfold((file, left), move |(file, left)| {
            let root = Arc::clone(&root);
            async move {
                if left == 0 {
                    return Ok(None);
                }
                let read = spawn_blocking(move || {
                    let piece = read_piece(&file, left);
                    piece.map(|piece| (file, piece)).map_err(|error| failed("read", &root, error))
                });
                let (file, piece) = read.await.map_err(interrupted)??;
                let left = left - piece.len() as u64;
                Ok::<_, Error>(Some((piece, (file, left))))
            }
        });
        Ok(Some(Blob { info, body: body.boxed() }))
    }

    async fn info(&self, digest: &Digest) -> Result<Option<BlobInfo>> {
        let digest = *digest;
        self.blocking("read", move |store| store.stat(&digest)).await
    }

    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<BlobInfo>> {
        let after = after.copied();
        self.blocking("list", move |store| store.names(after.as_ref(), limit.min(MAX_LIST))).await
    }

    async fn delete(&self, digest: &Digest, before: Timestamp) -> Result<bool> {
        let digest = *digest;
        self.blocking("delete from", move |store| {
            let _lock = store.lock()?;
            let Some(info) = store.stat(&digest)? else { return Ok(false) };
            if info.used_at >= before {
                return Ok(false);
            }
            failpoint("blob.before-delete");
            fs::remove_file(store.path(&digest))?;
            failpoint("blob.after-delete");
            Ok(true)
        })
        .await
    }
}

fn read_piece(mut file: &File, left: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; left.min(PIECE as u64) as usize];
    file.read_exact(&mut piece)?;
    Ok(piece.into())
}

/// Creates a folder that only its owner may enter. Returns false if it exists.
fn create_folder(path: &Path) -> io::Result<bool> {
    if path.is_dir() {
        return Ok(false);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    Ok(true)
}

fn sorted_names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn info_of(digest: Digest, metadata: &fs::Metadata) -> io::Result<BlobInfo> {
    let used = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let used_at = Timestamp(u64::try_from(used.as_micros()).unwrap_or(u64::MAX));
    Ok(BlobInfo::new(digest, metadata.len(), used_at))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn failed(what: &str, root: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
        io::ErrorKind::UnexpectedEof => ErrorKind::Malformed,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot {what} the blobs in {}: {error}", root.display()))
        .with_source(error)
}

fn interrupted(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Closed, "the work on a blob was interrupted").with_source(error)
}
