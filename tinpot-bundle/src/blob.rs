//! Content that is addressed by its digest.

mod file;
mod memory;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tinpot_core::{Error, ErrorKind, Result, Timestamp};

pub use self::file::FileBlobStore;
pub use self::memory::MemoryBlobStore;
use crate::digest::{Digest, Hasher};

/// The content of a blob, in pieces. An error ends it.
pub type Body = BoxStream<'static, Result<Bytes>>;

/// The largest number of blobs that one call of [`BlobStore::list`] returns.
pub const MAX_LIST: usize = 1_000;
/// The default maximum size of a blob, in bytes: that of a packed bundle.
const MAX_BYTES: u64 = 100 * 1024 * 1024;
/// The size of the pieces in which the stores of this crate return content.
const PIECE: usize = 256 * 1024;

/// A blob, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobInfo {
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content.
    pub bytes: u64,
    /// The time of the last `put` of this content.
    pub used_at: Timestamp,
}

impl BlobInfo {
    /// Creates the description of a blob.
    pub fn new(digest: Digest, bytes: u64, used_at: Timestamp) -> Self {
        Self { digest, bytes, used_at }
    }
}

/// A blob, or the requested range of it.
pub struct Blob {
    /// The description of the whole blob, whatever the range.
    pub info: BlobInfo,
    /// The content within the range.
    pub body: Body,
}

impl Blob {
    /// Returns the content of the range as one piece.
    ///
    /// # Errors
    /// Those of the body; `InvalidInput` if there are more than `max_bytes`.
    pub async fn read(mut self, max_bytes: usize) -> Result<Bytes> {
        let mut all = Vec::new();
        while let Some(piece) = self.body.next().await {
            let piece = piece?;
            if piece.len() > max_bytes - all.len() {
                let message = format!("the content must have at most {max_bytes} bytes");
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob").field("info", &self.info).finish_non_exhaustive()
    }
}

/// The options of [`BlobStore::put`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PutOptions {
    /// The digest that the content must have, if the caller knows it.
    pub digest: Option<Digest>,
    /// The largest size of the content; 100 MiB by default.
    pub max_bytes: u64,
}

impl Default for PutOptions {
    fn default() -> Self {
        Self { digest: None, max_bytes: MAX_BYTES }
    }
}

impl PutOptions {
    /// Sets the digest that the content must have.
    #[must_use]
    pub fn digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Sets the largest size of the content.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }
}

/// A range of the bytes of a blob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The position after the last byte. If it is `None` or beyond the end of the blob, the range
    /// ends with the blob.
    pub end: Option<u64>,
}

impl ByteRange {
    /// All bytes.
    pub const ALL: Self = Self { start: 0, end: None };

    /// Returns all bytes from `start` on.
    pub fn from_start(start: u64) -> Self {
        Self { start, end: None }
    }

    /// Returns the positions in a blob of `bytes` bytes.
    ///
    /// # Errors
    /// `InvalidInput` if the range starts after the end of the blob, or after its own end.
    pub fn within(self, bytes: u64) -> Result<Range<u64>> {
        let end = self.end.unwrap_or(bytes);
        if self.start > bytes || self.start > end {
            let start = self.start;
            let message =
                format!("a range must start at most at byte {} (got {start})", end.min(bytes));
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(self.start..end.min(bytes))
    }
}

impl From<Range<u64>> for ByteRange {
    fn from(range: Range<u64>) -> Self {
        Self { start: range.start, end: Some(range.end) }
    }
}

/// A store of content that is addressed by its digest.
///
/// # Contract
/// - A blob becomes visible once its content is complete, checked and durable. A failed `put`
///   leaves nothing.
/// - Calls hold a bounded part of the content in memory, whatever its size.
/// - Calls may run at the same time. All `put`s of the same content succeed.
#[async_trait]
pub trait BlobStore: fmt::Debug + Send + Sync + 'static {
    /// Stores content, and returns its description.
    ///
    /// - Content that is already stored is still read and checked, and its `used_at` is renewed.
    /// - A future that is dropped before the end of the body stores nothing.
    ///
    /// # Errors
    /// That of the body; `Malformed` if the digest is not the expected one; `InvalidInput` for more
    /// than `max_bytes`; `StorageFull` if there is no space; `Unavailable` if the store cannot be
    /// written.
    async fn put(&self, body: Body, options: PutOptions) -> Result<BlobInfo>;

    /// Returns a blob with the content in this range, or `None` if there is no such blob.
    ///
    /// A body can be read to its end even if its blob is deleted meanwhile.
    ///
    /// # Errors
    /// `InvalidInput` for a range that starts after the end; `Unavailable` if the store cannot be
    /// read.
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<Blob>>;

    /// Returns the description of a blob, or `None` if there is no such blob.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be read.
    async fn info(&self, digest: &Digest) -> Result<Option<BlobInfo>>;

    /// Returns the blobs after a digest, in the order of their digests: at most `limit` of them, and
    /// at most [`MAX_LIST`].
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be read.
    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<BlobInfo>>;

    /// Deletes a blob whose last `put` was before this time. Returns false if there is no such
    /// blob, or if it was used since.
    ///
    /// A `put` of the same content either renews the blob, which then stays, or stores it again.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be written.
    async fn delete(&self, digest: &Digest, before: Timestamp) -> Result<bool>;
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<B: BlobStore + ?Sized> BlobStore for Arc<B> {
    async fn put(&self, body: Body, options: PutOptions) -> Result<BlobInfo> {
        (**self).put(body, options).await
    }

    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<Blob>> {
        (**self).get(digest, range).await
    }

    async fn info(&self, digest: &Digest) -> Result<Option<BlobInfo>> {
        (**self).info(digest).await
    }

    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<BlobInfo>> {
        (**self).list(after, limit).await
    }

    async fn delete(&self, digest: &Digest, before: Timestamp) -> Result<bool> {
        (**self).delete(digest, before).await
    }
}

/// Returns a body of these bytes.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    let bytes = bytes.into();
    let pieces = (0..bytes.len()).step_by(PIECE);
    let pieces: Vec<Bytes> =
        pieces.map(|at| bytes.slice(at..bytes.len().min(at + PIECE))).collect();
    stream::iter(pieces.into_iter().map(Ok)).boxed()
}

/// Hashes content and checks it against the options of a `put`.
#[derive(Debug)]
struct Check {
    hasher: Hasher,
    options: PutOptions,
}

impl Check {
    fn new(options: PutOptions) -> Self {
        Self { hasher: Hasher::new(), options }
    }

    fn take(&mut self, piece: &[u8]) -> Result<()> {
        let max = self.options.max_bytes;
        if piece.len() as u64 > max.saturating_sub(self.hasher.bytes()) {
            let message = format!("the content must have at most {max} bytes");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        self.hasher.update(piece);
        Ok(())
    }

    fn finish(self) -> Result<(Digest, u64)> {
        let bytes = self.hasher.bytes();
        let digest = self.hasher.finish();
        match self.options.digest {
            Some(expected) if expected != digest => {
                let message = format!(
                    "the content must have the digest {expected} (got {digest}, {bytes} bytes)"
                );
                Err(Error::new(ErrorKind::Malformed, message))
            }
            _ => Ok((digest, bytes)),
        }
    }
}
