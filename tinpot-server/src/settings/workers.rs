//! The workers that a coordinator hears.

use std::path::{Path, PathBuf};

use tinpot_access::IdentityKey;
use tinpot_core::{Error, ErrorKind, Result};

use super::{Frames, StoreSettings};

/// The name of the namespace's key next to the store.
const KEY: &str = "namespace.key";
/// The end of the name of the next key, behind that one.
const NEXT: &str = ".next";
/// The same for the former one.
const FORMER: &str = ".former";

/// The workers that a coordinator hears, and the key by which they know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct EnrolmentSettings {
    /// The frames to take from workers: `require` takes sealed frames of workers that have joined,
    /// `allow` also plain ones of workers whose names never joined, and `plain` seals nothing.
    /// `auto` is `allow` while no worker has joined when the coordinator starts, and `require` then.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_FRAMES", value_name = "KIND", default_value_t = Frames::Auto)
    )]
    pub frames: Frames,
    /// The file with the private key of the namespace, by which workers know their coordinator; made
    /// if missing. The default is namespace.key in the directory of the store.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_NAMESPACE_KEY_FILE", value_name = "FILE")
    )]
    pub namespace_key_file: Option<PathBuf>,
}

impl EnrolmentSettings {
    /// Returns the key of the namespace. Reads it from its file, which is created if missing. With
    /// a store in memory, and no file in the settings, the key is in memory only.
    ///
    /// # Errors
    /// Those of [`IdentityKey::load`] and [`IdentityKey::create`].
    pub fn namespace_key(&self, store: &StoreSettings, default: &str) -> Result<IdentityKey> {
        let Some(path) = self.key_path(&store.path(default)) else {
            return IdentityKey::generate();
        };
        match IdentityKey::load(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            loaded => return loaded.map_err(failed),
        }
        let key = IdentityKey::generate()?;
        match key.create(&path) {
            Ok(()) => Ok(key),
            // Another process made it a moment ago.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                IdentityKey::load(&path).map_err(failed)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Returns the file of the key of the namespace if it is not there, as before the first start.
    pub(crate) fn missing_key(&self, store: &StoreSettings, default: &str) -> Option<PathBuf> {
        self.key_path(&store.path(default)).filter(|path| !path.exists())
    }

    /// Returns the key that the namespace gets next; `None` if none was prepared.
    ///
    /// # Errors
    /// Those of [`IdentityKey::load`].
    pub fn next_key(&self, store: &StoreSettings, default: &str) -> Result<Option<IdentityKey>> {
        self.other_key(store, default, NEXT)
    }

    /// Returns the key that the namespace had before; `None` if it was never replaced. The logins of
    /// workers at the broker that joined under it come from it.
    ///
    /// # Errors
    /// Those of [`IdentityKey::load`].
    pub fn former_key(&self, store: &StoreSettings, default: &str) -> Result<Option<IdentityKey>> {
        self.other_key(store, default, FORMER)
    }

    fn other_key(
        &self,
        store: &StoreSettings,
        default: &str,
        which: &str,
    ) -> Result<Option<IdentityKey>> {
        let Some(path) = self.key_path(&store.path(default)) else { return Ok(None) };
        match IdentityKey::load(&with(&path, which)) {
            Ok(key) => Ok(Some(key)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Makes the key that the namespace gets next. Returns its file. From its next start on, the
    /// coordinator tells workers of it.
    ///
    /// # Errors
    /// `InvalidInput` for a store in memory; `Conflict` if there is one; those of
    /// [`IdentityKey::create`].
    pub fn prepare_key(&self, store: &StoreSettings, default: &str) -> Result<PathBuf> {
        let path = self.present_key(store, default)?;
        let next = with(&path, NEXT);
        IdentityKey::generate()?.create(&next).map_err(failed)?;
        Ok(next)
    }

    /// Replaces the key of the namespace by the next one. Returns its file.
    ///
    /// # Errors
    /// `InvalidInput` for a store in memory; `NotFound` if there is no next key; those of
    /// [`IdentityKey::load`].
    pub fn replace_key(&self, store: &StoreSettings, default: &str) -> Result<PathBuf> {
        let path = self.present_key(store, default)?;
        let next = with(&path, NEXT);
        IdentityKey::load(&next).map_err(failed)?;
        let replaced = || {
            let former = with(&path, FORMER);
            match std::fs::remove_file(&former) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // Not renamed: there is a key at every moment.
            std::fs::hard_link(&path, &former)?;
            std::fs::rename(&next, &path)
        };
        replaced().map_err(|error| {
            let message = format!("cannot rename {}: {error}", next.display());
            Error::new(ErrorKind::Unavailable, message)
        })?;
        Ok(path)
    }

    /// Returns the file of the key that there is.
    fn present_key(&self, store: &StoreSettings, default: &str) -> Result<PathBuf> {
        let path = self.key_path(&store.path(default)).ok_or_else(|| {
            let message = "a store in memory keeps no key of a namespace: name a file with --store";
            Error::new(ErrorKind::InvalidInput, message)
        })?;
        IdentityKey::load(&path).map_err(failed)?;
        Ok(path)
    }

    /// Returns the file of the key; `None` if it is only in memory.
    fn key_path(&self, store: &Path) -> Option<PathBuf> {
        let named = self.namespace_key_file.clone().filter(|path| !path.as_os_str().is_empty());
        let default = || (store.as_os_str() != "memory").then(|| store.with_file_name(KEY));
        named.or_else(default)
    }
}

/// Returns the file of another key.
fn with(path: &Path, which: &str) -> PathBuf {
    let mut other = path.as_os_str().to_owned();
    other.push(which);
    other.into()
}

fn failed(error: Error) -> Error {
    error.with_context("the key of the namespace (--namespace-key-file)")
}
