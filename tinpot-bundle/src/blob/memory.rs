//! Blobs in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use tinpot_core::{Result, Timestamp};

use super::{Blob, BlobInfo, BlobStore, Body, ByteRange, Check, MAX_LIST, PutOptions, body};
use crate::digest::Digest;

/// A [`BlobStore`] in memory, for tests and for a deployment in one process.
///
/// It holds all content in memory, so the bound of the contract applies only to additional memory.
#[derive(Debug, Default)]
pub struct MemoryBlobStore {
    blobs: Mutex<BTreeMap<Digest, (Bytes, Timestamp)>>,
}

impl MemoryBlobStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn blobs(&self) -> MutexGuard<'_, BTreeMap<Digest, (Bytes, Timestamp)>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn info_of(digest: &Digest, (content, used_at): &(Bytes, Timestamp)) -> BlobInfo {
    BlobInfo::new(*digest, content.len() as u64, *used_at)
}

#[async_trait]
impl BlobStore for MemoryBlobStore {
    async fn put(&self, mut body: Body, options: PutOptions) -> Result<BlobInfo> {
        let mut check = Check::new(options);
        let mut content = Vec::new();
        while let Some(piece) = body.next().await {
            let piece = piece?;
            check.take(&piece)?;
            content.extend_from_slice(&piece);
        }
        let (digest, bytes) = check.finish()?;
        let used_at = Timestamp::now();
        self.blobs().insert(digest, (content.into(), used_at));
        Ok(BlobInfo::new(digest, bytes, used_at))
    }

    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<Blob>> {
        let Some(blob) = self.blobs().get(digest).cloned() else { return Ok(None) };
        let info = info_of(digest, &blob);
        let range = range.within(info.bytes)?;
        // The content is in memory, so its length and every position fit.
        let content = blob.0.slice(range.start as usize..range.end as usize);
        Ok(Some(Blob { info, body: body(content) }))
    }

    async fn info(&self, digest: &Digest) -> Result<Option<BlobInfo>> {
        Ok(self.blobs().get(digest).map(|blob| info_of(digest, blob)))
    }

    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<BlobInfo>> {
        let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded(*after));
        let blobs = self.blobs();
        let after = blobs.range((start, Bound::Unbounded)).take(limit.min(MAX_LIST));
        Ok(after.map(|(digest, blob)| info_of(digest, blob)).collect())
    }

    async fn delete(&self, digest: &Digest, before: Timestamp) -> Result<bool> {
        let mut blobs = self.blobs();
        let unused = blobs.get(digest).is_some_and(|(_, used_at)| *used_at < before);
        if unused {
            blobs.remove(digest);
        }
        Ok(unused)
    }
}
