//! The blobs of a team, and the files of versions.

use std::io::{self, Write};
use std::sync::PoisonError;

use bytes::Bytes;
use tinpot_core::access::records::Change;
use tinpot_core::{Error, ErrorKind, Result};

use super::documents::{BLOB, blob_id};
use super::{Apps, Version, invalid};
use crate::archive::{self, Receiver};
use crate::blob::{Blob, BlobInfo, Body, ByteRange, PutOptions};
use crate::digest::Digest;
use crate::failpoint::failpoint;
use crate::manifest::{BundleEntry, MAX_MANIFEST_BYTES, Manifest};
use crate::towerfile::{MAX_TOWERFILE_BYTES, TOWERFILE};

impl Apps {
    /// Stores content that a team uploads, of at most the size of an archive.
    ///
    /// # Errors
    /// Those of [`BlobStore::put`](crate::BlobStore::put) and of the records.
    pub async fn put_blob(&self, team: &str, body: Body, options: PutOptions) -> Result<BlobInfo> {
        let max = options.max_bytes.min(self.limits.packed_bytes);
        let info = self.blobs.put(body, options.max_bytes(max)).await?;
        failpoint("apps.blob-stored");
        let change = Change::create(BLOB, blob_id(team, &info.digest), "{}");
        match self.records.change(&[change]).await {
            Err(error) if error.kind() != ErrorKind::Conflict => return Err(error),
            // The team had it already.
            _ => {}
        }
        failpoint("apps.blob-recorded");
        Ok(info)
    }

    /// Returns a blob that a team has uploaded, with the content in this range; `None` if there is
    /// none, or if it is that of another team.
    ///
    /// # Errors
    /// Those of [`BlobStore::get`](crate::BlobStore::get) and of the records.
    pub async fn blob(
        &self,
        team: &str,
        digest: &Digest,
        range: ByteRange,
    ) -> Result<Option<Blob>> {
        match self.has_blob(team, digest).await? {
            true => self.blobs.get(digest, range).await,
            false => Ok(None),
        }
    }

    /// Returns the description of a blob, as [`blob`](Self::blob) does.
    ///
    /// # Errors
    /// Those of [`BlobStore::info`](crate::BlobStore::info) and of the records.
    pub async fn blob_info(&self, team: &str, digest: &Digest) -> Result<Option<BlobInfo>> {
        match self.has_blob(team, digest).await? {
            true => self.blobs.info(digest).await,
            false => Ok(None),
        }
    }

    /// Returns true if a blob is the manifest or the archive of a bundle.
    ///
    /// # Errors
    /// `NotFound` if the manifest is gone; `Malformed` if it is damaged; those of the blobs.
    pub async fn is_of_bundle(&self, bundle: &Digest, digest: &Digest) -> Result<bool> {
        if bundle == digest {
            return Ok(true);
        }
        let known = || self.archives.lock().unwrap_or_else(PoisonError::into_inner);
        let archive = known().iter().find(|(of, _)| of == bundle).map(|(_, archive)| *archive);
        if let Some(archive) = archive {
            return Ok(archive == *digest);
        }
        let manifest = Manifest::parse(&self.read_blob(bundle, MAX_MANIFEST_BYTES).await?)?;
        let archive = manifest.artifact.digest;
        let mut known = known();
        if known.len() >= ARCHIVES {
            known.pop_front();
        }
        known.push_back((*bundle, archive));
        Ok(archive == *digest)
    }

    async fn has_blob(&self, team: &str, digest: &Digest) -> Result<bool> {
        Ok(self.records.get(BLOB, &blob_id(team, digest)).await?.is_some())
    }

    /// Returns the manifest of a version.
    ///
    /// # Errors
    /// `NotFound` if it is gone; `Malformed` if it is damaged; those of the blobs.
    pub async fn manifest(&self, version: &Version) -> Result<Manifest> {
        Manifest::parse(&self.read_blob(&version.bundle, MAX_MANIFEST_BYTES).await?)
    }

    /// Returns the text of the Towerfile of a version.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn towerfile_text(&self, version: &Version) -> Result<String> {
        let text = self.read_blob(&version.towerfile, MAX_TOWERFILE_BYTES).await?;
        String::from_utf8(text.into()).map_err(|_| {
            Error::new(ErrorKind::Malformed, format!("the blob {} is damaged", version.towerfile))
        })
    }

    /// Returns the content of a file of a version.
    ///
    /// # Errors
    /// `NotFound` if there is no file of that path; `InvalidInput` if it has more than `max_bytes`;
    /// those of [`manifest`](Self::manifest).
    pub async fn file(&self, version: &Version, path: &str, max_bytes: u64) -> Result<Bytes> {
        let max = max_bytes.min(MAX_FILE_BYTES);
        if version.pruned_at.is_some() && path != TOWERFILE {
            let Version { app, number, .. } = version;
            let message = format!("version {number} of app {app:?} was pruned: its files are gone");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        match self.manifest(version).await?.files.get(path) {
            None => {
                let Version { app, number, .. } = version;
                let message = format!("version {number} of app {app:?} has no file {path:?}");
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            Some(BundleEntry::Link { link }) => {
                let message = format!("{path:?} is a link to {link:?}: ask for its target");
                return Err(invalid(message));
            }
            Some(BundleEntry::File { bytes, .. }) if *bytes > max => {
                return Err(invalid(format!(
                    "{path:?} must have at most {max} bytes to be shown (it has {bytes}): download \
                     the archive {}",
                    version.artifact.digest
                )));
            }
            Some(BundleEntry::File { .. }) => {}
        }
        if path == TOWERFILE {
            return self.read_blob(&version.towerfile, MAX_TOWERFILE_BYTES).await;
        }
        let (limits, wanted) = (self.limits.clone(), path.to_owned());
        self.read_archive(&version.artifact.digest, move |reader| {
            let mut one = One { wanted: &wanted, found: None, is_over: false };
            match archive::read(reader, &limits, &mut one) {
                // The error is ours, after the file.
                Err(_) if one.is_over => {}
                read => drop(read?),
            }
            let found = one.found.map(Bytes::from);
            found.ok_or_else(|| Error::new(ErrorKind::Malformed, format!("{wanted:?} is gone")))
        })
        .await
    }
}

/// The bundles whose archives are remembered, so that a resumed transfer does not read a manifest
/// again: 64 bytes each.
const ARCHIVES: usize = 256;
/// The largest file that is returned, which is held in memory.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Keeps one file, and ends the reading after it.
struct One<'a> {
    wanted: &'a str,
    found: Option<Vec<u8>>,
    is_over: bool,
}

impl Receiver for One<'_> {
    fn folder(&mut self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn file(&mut self, path: &str, _executable: bool) -> io::Result<Box<dyn Write + '_>> {
        if self.found.is_some() {
            self.is_over = true;
            return Err(io::ErrorKind::Other.into());
        }
        if path != self.wanted {
            return Ok(Box::new(io::sink()));
        }
        Ok(Box::new(self.found.insert(Vec::new())))
    }

    fn link(&mut self, _path: &str, _target: &str) -> io::Result<()> {
        Ok(())
    }
}
