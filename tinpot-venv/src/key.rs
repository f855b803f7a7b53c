//! The names of environments in the cache.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// A digest of everything that an environment depends on.
#[derive(Clone, Debug, Default)]
pub struct Key(Sha256);

impl Key {
    /// Adds one part. Parts cannot be mistaken for others, because their lengths count as well.
    pub fn part(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Returns the name: 64 hexadecimal digits.
    pub fn finish(self) -> String {
        let mut name = String::with_capacity(64);
        for byte in self.0.finalize() {
            // Cannot fail: it writes to memory.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }
}
