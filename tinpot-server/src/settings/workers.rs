//! The workers that a coordinator hears.

use std::path::PathBuf;

use tinpot_access::IdentityKey;
use tinpot_core::{Error, ErrorKind, Result};

use super::{Frames, StoreSettings};

/// The name of the namespace's key next to the store.
const KEY: &str = "namespace.key";

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
        let named = self.namespace_key_file.clone().filter(|path| !path.as_os_str().is_empty());
        let store = store.path(default);
        let path = match named {
            Some(path) => path,
            None if store.as_os_str() == "memory" => return IdentityKey::generate(),
            None => store.with_file_name(KEY),
        };
        let failed =
            |error: Error| error.with_context("the key of the namespace (--namespace-key-file)");
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
}
