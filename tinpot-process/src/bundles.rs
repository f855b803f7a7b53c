//! Bundles in the cache of this machine.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use tinpot_bundle::{
    BlobStore, Body, ByteRange, Digest, Hasher, Limits, MAX_MANIFEST_BYTES, Manifest, unpack,
};
use tinpot_core::{Error, ErrorKind, Result};

use crate::cache::{Cache, CacheEntry, Found, Kind};

/// The source of bundles.
#[async_trait]
pub trait FetchBlob: fmt::Debug + Send + Sync + 'static {
    /// Returns the content with this digest: a manifest, or the archive that a manifest names.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Unavailable` if the source cannot be reached.
    async fn fetch(&self, digest: &Digest) -> Result<Body>;
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
    async fn fetch(&self, digest: &Digest) -> Result<Body> {
        match self.0.get(digest, ByteRange::ALL).await? {
            Some(blob) => Ok(blob.body),
            None => Err(Error::new(ErrorKind::NotFound, format!("no blob {digest}"))),
        }
    }
}

/// An unpacked bundle in the cache, which stays there while this exists.
#[derive(Debug)]
pub(crate) struct Tree {
    entry: CacheEntry,
}

impl Tree {
    /// Returns the bundle with this digest of its manifest: from the cache, or fetched, checked and
    /// unpacked. One fetch at a time on this machine. Cancel safe.
    pub(crate) async fn of(
        cache: &Arc<Cache>,
        digest: &Digest,
        source: &dyn FetchBlob,
    ) -> Result<Self> {
        let build = match cache.find(Kind::Tree, &digest.to_string(), async || {}).await? {
            Found::Entry(entry) => return Ok(Self { entry }),
            Found::Missing(build) => build,
        };
        let limits = Limits::default();
        let manifest = fetch(source, digest, MAX_MANIFEST_BYTES as u64).await?;
        let manifest = blocking(move || {
            let bytes = io::read_to_string(manifest).map_err(|error| failed(&error))?;
            Manifest::parse(bytes.as_bytes())
        })
        .await?;
        if manifest.artifact.bytes > limits.packed_bytes {
            let (bytes, max) = (manifest.artifact.bytes, limits.packed_bytes);
            let message =
                format!("the archive of a bundle must have at most {max} bytes (got {bytes})");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let archive = fetch(source, &manifest.artifact.digest, manifest.artifact.bytes).await?;
        let (folder, short) = (build.path.clone(), digest.short());
        blocking(move || {
            let found = unpack(archive, &folder, &limits)?.manifest()?.1;
            if found.content == manifest.content {
                return Ok(());
            }
            let message =
                format!("the archive of bundle {short} has other files than its manifest");
            Err(Error::new(ErrorKind::Malformed, message))
        })
        .await?;
        Ok(Self { entry: build.finish().await? })
    }

    /// Returns the folder with its files, which must not be changed.
    pub(crate) fn path(&self) -> &Path {
        &self.entry.path
    }
}

/// Fetches content into a temporary file while checking its size and digest.
async fn fetch(source: &dyn FetchBlob, digest: &Digest, max_bytes: u64) -> Result<File> {
    let mut body = source.fetch(digest).await?;
    let mut file = blocking(|| tempfile::tempfile().map_err(|error| failed(&error))).await?;
    let mut hasher = Hasher::new();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        hasher.update(&piece);
        if hasher.bytes() > max_bytes {
            let message = format!("blob {} must have at most {max_bytes} bytes", digest.short());
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        file = blocking(move || {
            file.write_all(&piece).map_err(|error| failed(&error))?;
            Ok(file)
        })
        .await?;
    }
    let found = hasher.finish();
    if found != *digest {
        let message = format!("blob {} has the digest {found}", digest.short());
        return Err(Error::new(ErrorKind::Malformed, message));
    }
    file.seek(SeekFrom::Start(0)).map_err(|error| failed(&error))?;
    Ok(file)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed, "the runtime ends")))
}

fn failed(error: &io::Error) -> Error {
    crate::workspace::failed("use", Path::new("a temporary file"), error)
}
