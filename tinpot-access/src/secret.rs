//! Texts that nothing may print, and their digests.

use std::fmt;
use std::hash::{Hash, Hasher};

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use tinpot_core::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

/// A secret text, such as a password or a token. `Debug` prints `***`, and its memory is
/// overwritten when it is dropped.
///
/// ```
/// use tinpot_access::Secret;
///
/// let password = Secret::new("correct horse battery");
/// assert_eq!(format!("{password:?}"), "***");
/// assert_eq!(password.expose().len(), 21);
/// ```
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Creates a secret from a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Returns true if the secret is this text. Takes the same time for all texts of the same
    /// length.
    pub fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }

    /// Returns the text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// The SHA-256 of a secret of 256 random bits: what is kept of it.
///
/// It is equal to another in constant time. As a key of a map it may be compared in other ways: an
/// attacker who measures them learns about digests, and not about secrets.
#[derive(Clone, Copy)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut found = [0; 32];
        found.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(found)
    }

    pub(crate) fn to_hex(self) -> String {
        let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }

    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl From<tinpot_core::Digest> for Digest {
    fn from(digest: tinpot_core::Digest) -> Self {
        Self(*digest.as_bytes())
    }
}

impl Default for Digest {
    /// Returns the digest that stands before the first one of a chain: zeros.
    fn default() -> Self {
        Self([0; 32])
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| D::Error::custom("a digest has 64 hexadecimal digits"))
    }
}

/// Returns random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    let failed = |_| Error::new(ErrorKind::Other, "the system has no random numbers");
    SystemRandom::new().fill(&mut *bytes).map_err(failed)?;
    Ok(bytes)
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Writes a number of big-endian bytes with this many digits of base 62.
pub(crate) fn base62(bytes: &[u8], digits: usize) -> Zeroizing<String> {
    let mut rest = Zeroizing::new(bytes.to_vec());
    let mut text = Zeroizing::new(vec![b'0'; digits]);
    for digit in text.iter_mut().rev() {
        let mut remainder = 0;
        for byte in rest.iter_mut() {
            let value = remainder * 256 + u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = BASE62[remainder as usize];
    }
    Zeroizing::new(String::from_utf8_lossy(&text).into_owned())
}

/// Returns a new id: 12 digits, 71 bits.
pub(crate) fn new_id() -> Result<String> {
    Ok(base62(&*random::<9>()?, 12).to_string())
}

/// Returns a new secret of 256 bits, as 43 digits.
pub(crate) fn new_secret() -> Result<Secret> {
    Ok(Secret(base62(&*random::<32>()?, 43)))
}

#[cfg(test)]
mod tests {
    use super::{Digest, Secret, base62, new_id, new_secret};

    #[test]
    fn secrets_and_digests_print_nothing() {
        let printed = format!("{:?} {:?}", Secret::new("pass"), Digest::of(b"pass"));
        assert_eq!(printed, "*** ***");
    }

    #[test]
    fn numbers_have_all_digits_in_base_62() {
        assert_eq!(*base62(&[0], 3), "000");
        assert_eq!(*base62(&[61], 1), "z");
        assert_eq!(*base62(&[1, 0], 3), "048");
        let largest = base62(&[0xff; 32], 43);
        assert!(largest.len() == 43 && !largest.starts_with('0'), "{}", *largest);
    }

    #[test]
    fn digests_are_read_as_they_are_written() {
        let digest = Digest::of(b"abc");
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_hex(), known);
        assert_eq!(Digest::from_hex(known), Some(digest));
        for wrong in ["", &known[1..], &known.replace('b', "x"), &"é".repeat(32)] {
            assert_eq!(Digest::from_hex(wrong), None);
        }
    }

    #[test]
    fn random_texts_differ() {
        assert_ne!(new_id().unwrap(), new_id().unwrap());
        assert_ne!(new_secret().unwrap().expose(), new_secret().unwrap().expose());
    }
}
