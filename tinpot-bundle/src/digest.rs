//! Digests of content.

use std::fmt;

use sha2::{Digest as _, Sha256};
pub use tinpot_core::Digest;

/// Computes a [`Digest`] from content that arrives in pieces.
#[derive(Clone, Default)]
pub struct Hasher {
    state: Sha256,
    bytes: u64,
}

impl Hasher {
    /// Starts with no content.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut hasher = Self::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Returns the number of bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the digest of all pieces.
    pub fn finish(self) -> Digest {
        Digest::from(<[u8; 32]>::from(self.state.finalize()))
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
