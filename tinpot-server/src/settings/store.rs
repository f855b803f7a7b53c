//! The store of the executions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tinpot_access::{RingSealer, SecretStore, StoreKeys};
use tinpot_bundle::{Apps, Collection, FileBlobStore, MemoryBlobStore};
use tinpot_core::access::MemoryRecords;
use tinpot_core::store::{SealingStore, reseal_secrets};
use tinpot_core::{Error, ErrorKind, MemoryStore, Result, Store};
use tinpot_sqlite::{Retention, SqliteRecords, SqliteStore};

/// The store of the executions, and its retention.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct StoreSettings {
    /// The file that keeps executions, created if missing; `memory` keeps them until the process
    /// ends. The default is ./tinpot.db for a coordinator and `memory` for a server in one process.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_STORE", value_name = "PATH"))]
    pub store: Option<PathBuf>,
    /// The number of days for which the file keeps executions that have ended.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_KEEP_DAYS",
            value_name = "DAYS",
            default_value_t = 30,
            value_parser = clap::value_parser!(u64).range(1..=36_500)
        )
    )]
    pub keep_days: u64,
    /// The number of executions that have ended which the file keeps; the oldest are removed first.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_KEEP_EXECUTIONS",
            value_name = "NUMBER",
            default_value_t = 1_000_000
        )
    )]
    pub keep_executions: u64,
    /// The number of days for which the file keeps the audit; runs and calls in it are kept for 90
    /// days at most, and for 1 GiB.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_AUDIT_DAYS",
            value_name = "DAYS",
            default_value_t = 365,
            value_parser = clap::value_parser!(u64).range(1..=36_500)
        )
    )]
    pub audit_days: u64,
    /// The file with the key that seals secrets in the store, created if missing; store.key next
    /// to the store by default. Without it, secrets cannot be read: keep a copy of it, apart from those
    /// of the store.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_STORE_KEY_FILE", value_name = "FILE"))]
    pub store_key_file: Option<PathBuf>,
    /// Start although the key of the store is missing or another one: secrets that it has sealed are
    /// lost, and executions that wait with them fail. For one start.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_ACCEPT_LOST_SECRETS"))]
    pub accept_lost_secrets: bool,
    /// Erase the secret parameters of executions when these end. They cannot be rerun then. It holds for
    /// executions that are accepted from now on.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_FORGET_SECRETS"))]
    pub forget_secrets: bool,
    /// The directory that keeps the bundles of apps, created if missing; by default next to the
    /// store, with its name and .blobs. A store in memory keeps them in memory.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_BLOBS", value_name = "DIR"))]
    pub blobs: Option<PathBuf>,
    /// The number of versions of each app to keep; by default all. The active version stays, and so do
    /// those that ran in the last 30 days. Of the others, archives are removed.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_KEEP_VERSIONS",
            value_name = "NUMBER",
            value_parser = clap::value_parser!(u32).range(1..)
        )
    )]
    pub keep_versions: Option<u32>,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            store: None,
            keep_days: 30,
            keep_executions: 1_000_000,
            audit_days: 365,
            store_key_file: None,
            accept_lost_secrets: false,
            forget_secrets: false,
            blobs: None,
            keep_versions: None,
        }
    }
}

impl StoreSettings {
    /// Returns the store that the settings name, or that at `default`; a coordinator opens it. In a
    /// file, the secrets of executions are sealed.
    ///
    /// # Errors
    /// `InvalidInput` if the key file is not one, if others may read it, or if the store was sealed
    /// with another key; `Unavailable` if it cannot be read or created; those of the records.
    pub async fn store(&self, default: &str) -> Result<Box<dyn Store>> {
        let path = self.path(default);
        if path.as_os_str() == "memory" {
            return Ok(Box::new(MemoryStore::new()));
        }
        let days = Duration::from_secs(self.keep_days * 86_400);
        let retention = Retention::default().age(days).executions(self.keep_executions);
        let mut builder = SqliteStore::builder(path).retention(retention);
        Ok(match self.sealer(default).await? {
            Some(sealer) => {
                let again = sealer.clone();
                let mark = sealer.key_id().to_owned();
                builder = builder.rewrite_secrets(mark, move |found| reseal_secrets(&again, found));
                Box::new(SealingStore::new(builder.build(), sealer))
            }
            None => Box::new(builder.build()),
        })
    }

    /// Returns the sealer of the secrets in the file of the store. Creates its key if it is missing and
    /// nothing was sealed yet. `None` for a store in memory, and for one that cannot be opened.
    ///
    /// # Errors
    /// Those of [`store`](Self::store).
    pub async fn sealer(&self, default: &str) -> Result<Option<RingSealer>> {
        if let Some(sealer) = self.present_sealer(default).await? {
            return Ok(Some(sealer));
        }
        let Some(key) = self.key_file(&self.path(default)) else { return Ok(None) };
        let keys = StoreKeys::load_or_create(&key)?;
        let file = key.display();
        tracing::info!("created {file}, which seals secrets in the store: keep a copy of it");
        Ok(Some(keys.sealer().read_again(key)))
    }

    /// Returns what seals the secrets in the file of the store, as [`sealer`](Self::sealer) does, but
    /// creates nothing: `None` also if there is no key yet.
    ///
    /// # Errors
    /// Those of [`store`](Self::store).
    pub async fn present_sealer(&self, default: &str) -> Result<Option<RingSealer>> {
        let path = self.path(default);
        let Some(key) = self.key_file(&path) else { return Ok(None) };
        let sealer = match StoreKeys::load(&key) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            loaded => Some(loaded?.sealer().read_again(&key)),
        };
        if self.accept_lost_secrets {
            return Ok(sealer);
        }
        let known = self.sealed_under(default).await?;
        let has_one = |sealer: &RingSealer| known.iter().any(|id| sealer.has_key(id));
        let is_there = known.is_empty() || sealer.as_ref().is_some_and(has_one);
        if is_there || !self.has_secrets(default).await? {
            return Ok(sealer);
        }
        let what = if sealer.is_some() { "has another one" } else { "is missing" };
        let message = format!(
            "the store {} seals secrets with a key, and its file {} {what}: put the key there, or name \
             its file with --store-key-file (TINPOT_STORE_KEY_FILE). If the key is lost, start the \
             coordinator once with --accept-lost-secrets (TINPOT_ACCEPT_LOST_SECRETS): executions \
             that wait with secrets fail then, and secrets of actions must be set again",
            path.display(),
            key.display()
        );
        Err(Error::new(ErrorKind::InvalidInput, message))
    }

    /// Returns the ids of the keys of which one must be there: that of the last start, or those of the
    /// secrets that were set before the first.
    async fn sealed_under(&self, default: &str) -> Result<BTreeSet<String>> {
        let Some(records) = self.records(default) else { return Ok(BTreeSet::new()) };
        if !self.path(default).exists() {
            return Ok(BTreeSet::new());
        }
        match records.secrets_mark().await? {
            Some(mark) => Ok([mark].into()),
            None => SecretStore::keys_in(&records).await,
        }
    }

    /// Returns true if the file of the store has secrets: without any, its key can be another one.
    async fn has_secrets(&self, default: &str) -> Result<bool> {
        let Some(records) = self.records(default) else { return Ok(false) };
        Ok(!SecretStore::keys_in(&records).await?.is_empty()
            || records.has_executions_with_secrets().await?)
    }

    /// Returns the secrets in the file of the store; `None` for a store in memory.
    ///
    /// # Errors
    /// Those of [`store`](Self::store).
    pub async fn secrets(&self, default: &str) -> Result<Option<SecretStore>> {
        let sealer = self.sealer(default).await?;
        let (Some(records), Some(sealer)) = (self.records(default), sealer) else {
            return Ok(None);
        };
        Ok(Some(SecretStore::new(Arc::new(records), sealer)))
    }

    /// Returns the apps whose records are in the file of the store, and whose bundles are in the
    /// directory of the blobs. All of it is in memory for a store in memory.
    ///
    /// # Errors
    /// `InvalidInput` for a directory of blobs with a store in memory; `Unavailable` if the
    /// directory cannot be created or written.
    pub async fn apps(&self, default: &str) -> Result<Apps> {
        let rules = Collection::default().keep_versions(self.keep_versions);
        let named = self.blobs.clone().filter(|path| !path.as_os_str().is_empty());
        let Some(records) = self.records(default) else {
            if named.is_some() {
                let message = "--blobs (TINPOT_BLOBS) needs a store in a file, which has the \
                               records of apps: name one with --store (TINPOT_STORE)";
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
            let (blobs, records) = (MemoryBlobStore::new(), MemoryRecords::new());
            return Ok(Apps::new(Arc::new(blobs), Arc::new(records)).collection(rules));
        };
        let next_to = || {
            let mut path = self.path(default).into_os_string();
            path.push(".blobs");
            path.into()
        };
        let blobs = FileBlobStore::open(named.unwrap_or_else(next_to)).await?;
        Ok(Apps::new(Arc::new(blobs), Arc::new(records)).collection(rules))
    }

    /// Gives the store another key, which seals from the next start of its coordinator on. The
    /// former key stays in the file: that start opens with it what it has sealed, and seals it
    /// again. Returns the path of the file.
    ///
    /// # Errors
    /// `Conflict` if the coordinator was not started since the last rotation; `NotFound` without a
    /// key; those of [`store`](Self::store).
    pub async fn rotate_key(&self, default: &str) -> Result<PathBuf> {
        let path = self.path(default);
        let key = self.key_file(&path).unwrap_or_else(|| path.clone());
        let keys = StoreKeys::load(&key)?;
        if keys.has_former() {
            let present = keys.sealer().key_id().to_owned();
            let mark = match self.records(default) {
                Some(records) => records.secrets_mark().await?,
                None => None,
            };
            if mark != Some(present) {
                let message = "the coordinator of the store was not started since the last rotation: \
                               start it first, since it seals everything under the present key then";
                return Err(Error::new(ErrorKind::Conflict, message));
            }
        }
        keys.rotated()?.replace(&key)?;
        Ok(key)
    }

    /// Returns the path of the key; `None` without a file or a folder to put it in.
    fn key_file(&self, store: &Path) -> Option<PathBuf> {
        if store.as_os_str() == "memory" {
            return None;
        }
        let named = self.store_key_file.clone().filter(|path| !path.as_os_str().is_empty());
        let folder = match store.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        named.or_else(|| folder.is_dir().then(|| folder.join("store.key")))
    }

    /// Returns the records of access control in the file of the store; `None` if it is in memory.
    pub(crate) fn records(&self, default: &str) -> Option<SqliteRecords> {
        let path = self.path(default);
        (path.as_os_str() != "memory").then(|| SqliteRecords::open(path))
    }

    /// Returns the file of the store; `None` for one in memory.
    pub fn file(&self, default: &str) -> Option<PathBuf> {
        Some(self.path(default)).filter(|path| path.as_os_str() != "memory")
    }

    pub(crate) fn path(&self, default: &str) -> PathBuf {
        // An environment variable that is set to nothing counts as not set.
        let named = self.store.clone().filter(|path| !path.as_os_str().is_empty());
        named.unwrap_or_else(|| default.into())
    }
}
