//! The digest of content, by which bundles and blobs are named.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::error::{Error, ErrorKind};

/// The SHA-256 of some content. As text it is 64 lower-case hexadecimal digits.
///
/// `Hasher` of the crate `tinpot-bundle` computes it.
///
/// ```
/// use tinpot_core::Digest;
///
/// let digest = Digest::from([7; 32]);
/// assert_eq!(digest.short(), "070707070707");
/// assert_eq!(digest.to_string().parse::<Digest>()?, digest);
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the 32 bytes of the digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first 12 digits, for people.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = Error;

    /// Reads 64 hexadecimal digits, of either case.
    ///
    /// # Errors
    /// `InvalidInput` for any other text.
    fn from_str(text: &str) -> Result<Self, Error> {
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
        let bytes: Option<[u8; 32]> = digits.and_then(|digits| {
            let pairs: Vec<u8> =
                digits.chunks(2).map(|pair| pair[0] << 4 | pair[pair.len() - 1]).collect();
            (digits.len() == 64).then(|| pairs.try_into().ok()).flatten()
        });
        bytes.map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            let message = format!("a digest must be 64 hexadecimal digits (got {shown:?})");
            Error::new(ErrorKind::InvalidInput, message)
        })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
