//! The key of a worker.

use std::path::PathBuf;

/// The file of the key, if the settings name none.
const KEY: &str = "worker.key";

/// The key of a worker, and the token with which it joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct IdentitySettings {
    /// The file with the private key of this worker, which `tinpot worker join` writes; worker.toml in
    /// the same directory has its coordinator. `memory` makes a key at each start, for workers that come
    /// and go. The default is worker.key, if that exists; without a key, frames are plain.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_WORKER_KEY", value_name = "FILE"))]
    pub worker_key: Option<PathBuf>,
    /// The file with a join token: a worker without a key joins with it when it starts.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_JOIN_TOKEN_FILE", value_name = "FILE"))]
    pub join_token_file: Option<PathBuf>,
    /// The age in days at which this worker replaces its key while it runs; 0 for never: an operator
    /// asks for it with "tinpot workers rotate". The former key is valid for 48 hours more.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_WORKER_KEY_DAYS", value_name = "DAYS", default_value_t)
    )]
    pub worker_key_days: u32,
}

impl IdentitySettings {
    /// Returns the path of the key; `None` if it is kept in memory.
    pub(crate) fn key_path(&self) -> Option<PathBuf> {
        let path = self.named().cloned().unwrap_or_else(|| KEY.into());
        (path.as_os_str() != "memory").then_some(path)
    }

    /// Returns true if the settings name a key.
    pub(crate) fn is_named(&self) -> bool {
        self.named().is_some()
    }

    fn named(&self) -> Option<&PathBuf> {
        // An environment variable that is set to nothing counts as not set.
        self.worker_key.as_ref().filter(|path| !path.as_os_str().is_empty())
    }
}
