//! Bundles in the cache of this machine.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use tinpot_core::{BundleTicket, Error, ErrorKind, Result};
use tinpot_venv::{Cache, CacheEntry, Found, Kind};
use tokio::time::{Instant, timeout_at};

use super::{content, failed};
use crate::blob::{BlobStore, Body, ByteRange};
use crate::digest::{Digest, Hasher};
use crate::failpoint::failpoint;
use crate::limits::Limits;
use crate::manifest::{MAX_MANIFEST_BYTES, Manifest};
use crate::unpack::unpack;

/// The pause before a transfer that broke off goes on; it doubles until a byte arrives.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest time for one blob, however slowly its bytes arrive.
const LONGEST: Duration = Duration::from_secs(3600);

/// The source of bundles.
#[async_trait]
pub trait FetchBlob: fmt::Debug + Send + Sync + 'static {
    /// Returns the content with this digest: a manifest, or the archive that a manifest names. The
    /// caller checks the digest, and asks again for the rest if the body ends with `Unavailable`.
    ///
    /// # Errors
    /// `NotFound` if the source has removed it; `Forbidden` if it refuses the ticket; `Unavailable`
    /// if it cannot be reached now.
    async fn fetch(&self, digest: &Digest, options: FetchOptions) -> Result<Body>;
}

/// The options of [`FetchBlob::fetch`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FetchOptions {
    /// The right of the attempt to read its bundle.
    pub ticket: Option<BundleTicket>,
    /// The first byte to return.
    pub start: u64,
}

/// The bundles in a store of blobs that this process has itself.
#[derive(Clone, Debug)]
pub struct StoredBlobs(Arc<dyn BlobStore>);

impl StoredBlobs {
    /// Fetches from this store.
    pub fn new(store: Arc<dyn BlobStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl FetchBlob for StoredBlobs {
    async fn fetch(&self, digest: &Digest, options: FetchOptions) -> Result<Body> {
        match self.0.get(digest, ByteRange::from_start(options.start)).await? {
            Some(blob) => Ok(blob.body),
            None => Err(Error::new(ErrorKind::NotFound, format!("no blob {digest}"))),
        }
    }
}

/// An unpacked bundle in the cache, which stays there while this exists.
#[derive(Debug)]
pub struct Tree {
    entry: CacheEntry,
}

/// The fetch of one bundle for an attempt.
#[derive(Debug)]
pub struct Fetch<'a> {
    /// The source.
    pub source: &'a dyn FetchBlob,
    /// The right of the attempt to read the bundle.
    pub ticket: Option<&'a BundleTicket>,
    /// The longest time without a further byte.
    pub patience: Duration,
}

impl Tree {
    /// Returns the bundle with this digest of its manifest: from the cache, or fetched, checked and
    /// unpacked. One fetch at a time on this machine. Cancel safe.
    ///
    /// # Errors
    /// `NotFound` if the source has removed it; `Forbidden` if the source refuses the ticket;
    /// `Unavailable` if the source cannot be reached; `Malformed` if it sends something else;
    /// `StorageFull` if there is no space.
    ///
    /// A bundle from the cache is compared with its digest once in each process: what is on a disk
    /// for long may be damaged.
    pub async fn of(cache: &Arc<Cache>, digest: &Digest, fetch: &Fetch<'_>) -> Result<Self> {
        let key = digest.to_string();
        let build = loop {
            match cache.find(Kind::Tree, &key, async || {}).await? {
                Found::Missing(build) => break build,
                Found::Entry(entry) if cache.is_checked(&key) => return Ok(Self { entry }),
                Found::Entry(entry) => {
                    let checked = blocking(move || Ok((is_whole(&entry), entry))).await?;
                    let (is_whole, entry) = checked;
                    if is_whole {
                        cache.checked(&key);
                        return Ok(Self { entry });
                    }
                    tracing::warn!(
                        "bundle {} is damaged in the cache: it is fetched again",
                        digest.short()
                    );
                    // Only once those that use it are done with it.
                    entry.spoil();
                }
            }
        };
        let limits = Limits::default();
        let manifest = fetch.file(digest, MAX_MANIFEST_BYTES as u64).await?;
        failpoint("tree.manifest");
        let manifest = blocking(move || {
            let bytes = io::read_to_string(manifest).map_err(|error| unusable(&error))?;
            Manifest::parse(bytes.as_bytes())
        })
        .await?;
        if manifest.artifact.bytes > limits.packed_bytes {
            let (bytes, max) = (manifest.artifact.bytes, limits.packed_bytes);
            let message =
                format!("the archive of a bundle must have at most {max} bytes (got {bytes})");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let archive = fetch.file(&manifest.artifact.digest, manifest.artifact.bytes).await?;
        failpoint("tree.archive");
        let content = manifest.content;
        let (folder, short) = (build.path.clone(), digest.short());
        blocking(move || {
            let found = unpack(archive, &folder, &limits)?.manifest()?.1;
            failpoint("tree.unpacked");
            if found.content == manifest.content {
                return Ok(());
            }
            let message =
                format!("the archive of bundle {short} has other files than its manifest");
            Err(Error::new(ErrorKind::Malformed, message))
        })
        .await?;
        let entry = build.note(content.to_string()).finish().await?;
        cache.checked(&key);
        Ok(Self { entry })
    }

    /// Returns the folder with its files, which must not be changed.
    pub fn path(&self) -> &Path {
        &self.entry.path
    }
}

/// Returns true if the files of a bundle are those that were unpacked. Blocks the thread.
fn is_whole(entry: &CacheEntry) -> bool {
    let found = content(&entry.path);
    found.is_ok_and(|content| entry.note() == content.to_string())
}

impl Fetch<'_> {
    /// Fetches content into a new file at `path`, for this user alone, while checking its size and
    /// digest. Cancel safe; a failed fetch may leave a part there.
    ///
    /// # Errors
    /// As [`Tree::of`].
    pub async fn save(&self, digest: &Digest, max_bytes: u64, path: &Path) -> Result<()> {
        let path = path.to_owned();
        let create = || {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(true).mode(0o600);
            options.open(&path).map_err(|error| failed("create", &path, &error))
        };
        self.checked(digest, max_bytes, create).await.map(drop)
    }

    /// Fetches content into a temporary file while checking its size and digest.
    async fn file(&self, digest: &Digest, max_bytes: u64) -> Result<File> {
        self.checked(digest, max_bytes, || tempfile::tempfile().map_err(|e| unusable(&e))).await
    }

    /// Fetches content into a file that `create` makes, while checking its size and digest.
    ///
    /// A transfer that breaks off goes on where it ended, unless nothing arrives for too long. One
    /// that was resumed and has another digest is repeated from the start, once.
    async fn checked(
        &self,
        digest: &Digest,
        max_bytes: u64,
        create: impl Fn() -> Result<File> + Send,
    ) -> Result<File> {
        let mut is_repeated = false;
        loop {
            let (found, file, is_resumed) = self.content(digest, max_bytes, create()?).await?;
            if found == *digest {
                return Ok(file);
            }
            if is_repeated || !is_resumed {
                let message = format!("blob {} has the digest {found}", digest.short());
                return Err(Error::new(ErrorKind::Malformed, message));
            }
            is_repeated = true;
        }
    }

    async fn content(
        &self,
        digest: &Digest,
        max_bytes: u64,
        file: File,
    ) -> Result<(Digest, File, bool)> {
        let mut hasher = Hasher::new();
        let (mut until, mut pause, mut resumed) =
            (Instant::now() + self.patience, FIRST_PAUSE, false);
        let latest = Instant::now() + LONGEST;
        loop {
            let start = hasher.bytes();
            let transfer = self.transfer(digest, max_bytes, &file, &mut hasher);
            let why = match timeout_at(latest, transfer).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) if error.kind() == ErrorKind::Unavailable => error,
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let message = format!("a transfer must end within {LONGEST:?}");
                    return Err(Error::new(ErrorKind::Unavailable, message));
                }
            };
            if hasher.bytes() > start {
                (until, pause) = (Instant::now() + self.patience, FIRST_PAUSE);
            }
            if Instant::now() + pause > until {
                let context = format!("blob {} cannot be fetched", digest.short());
                return Err(why.with_context(context));
            }
            resumed |= hasher.bytes() > 0;
            tracing::debug!(bytes = hasher.bytes(), error = %why, "a transfer of a bundle breaks off");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok((hasher.finish(), file, resumed))
    }

    /// Appends what the source has behind the bytes that are there.
    async fn transfer(
        &self,
        digest: &Digest,
        max_bytes: u64,
        file: &File,
        hasher: &mut Hasher,
    ) -> Result<()> {
        let options = FetchOptions { ticket: self.ticket.cloned(), start: hasher.bytes() };
        let mut body = self.source.fetch(digest, options).await?;
        while let Some(piece) = body.next().await {
            let piece = piece?;
            if hasher.bytes() + piece.len() as u64 > max_bytes {
                let message =
                    format!("blob {} must have at most {max_bytes} bytes", digest.short());
                return Err(Error::new(ErrorKind::Malformed, message));
            }
            let to = file.try_clone().map_err(|error| unusable(&error))?;
            let (written, at) = (piece.clone(), hasher.bytes());
            // At its place: what is repeated after a failure replaces what was written of it.
            blocking(move || to.write_all_at(&written, at).map_err(|error| unusable(&error)))
                .await?;
            hasher.update(&piece);
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed, "the runtime ends")))
}

fn unusable(error: &io::Error) -> Error {
    failed("use", Path::new("a temporary file"), error)
}
