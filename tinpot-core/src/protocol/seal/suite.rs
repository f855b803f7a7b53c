//! The cryptography that sessions need, as an interface.

use std::fmt;
use std::str::FromStr;

use crate::model::error::{Error, ErrorKind, Result};

/// A public key that verifies the signatures of a worker or of a coordinator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// A signature.
pub type Signature = [u8; 64];

/// The SHA-256 of something.
pub type Digest = [u8; 32];

/// A secret of 32 bytes, which `Debug` does not show.
#[derive(Clone)]
pub struct SecretKey(pub [u8; 32]);

/// The keys of a session: one per direction and lane.
#[derive(Clone, Debug)]
pub struct SessionKeys {
    /// Worker to coordinator, by lane.
    pub up: [SecretKey; 2],
    /// Coordinator to worker, by lane.
    pub down: [SecretKey; 2],
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    /// Reads 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self> {
        let digits = text.as_bytes();
        let mut key = [0; 32];
        let mut read = digits.len() == 64;
        for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'));
            match pair.map(|pair| u8::from_str_radix(pair, 16)) {
                Some(Ok(value)) => *byte = value,
                _ => read = false,
            }
        }
        read.then_some(Self(key)).ok_or_else(|| {
            let message = format!("a public key must be 64 hexadecimal digits (got {text:?})");
            Error::new(ErrorKind::InvalidInput, message)
        })
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The cryptography of one participant: its identity key, and the functions of the suite `TP1`.
///
/// # Contract
/// - Nothing depends on time, and no call waits.
/// - The same inputs give the same outputs everywhere, except for `ephemeral`.
/// - Comparisons of secrets take the same time whatever they find.
pub trait Suite: fmt::Debug + Send + Sync + 'static {
    /// Returns the public half of the identity key.
    fn public(&self) -> PublicKey;

    /// Signs with the identity key: Ed25519.
    fn sign(&self, text: &[u8]) -> Signature;

    /// Returns true if the owner of `key` has signed the text.
    fn verify(&self, key: &PublicKey, text: &[u8], signature: &Signature) -> bool;

    /// Returns the SHA-256 of the text.
    fn digest(&self, text: &[u8]) -> Digest;

    /// Creates a random key pair for one agreement: X25519.
    ///
    /// # Errors
    /// `Unavailable` if the system has no randomness.
    fn ephemeral(&self) -> Result<Box<dyn Ephemeral>>;

    /// Derives the keys of a session: HKDF-SHA256 of the shared secret with this salt and the info
    /// `tinpot/1 TP1 keys`, cut into up control, up logs, down control, down logs.
    fn derive(&self, shared: &SecretKey, salt: &Digest) -> SessionKeys;

    /// Encrypts `body` in place and returns its tag: ChaCha20-Poly1305 with the header as
    /// associated data. The nonce is 4 zero bytes and the counter.
    fn seal(&self, key: &SecretKey, counter: u64, header: &[u8], body: &mut [u8]) -> [u8; 16];

    /// Decrypts `body`, a ciphertext and its tag, in place. Returns false if the tag is wrong; the
    /// contents of `body` mean nothing then.
    fn open(&self, key: &SecretKey, counter: u64, header: &[u8], body: &mut [u8]) -> bool;
}

/// The secret half of a key pair for one agreement.
pub trait Ephemeral: fmt::Debug + Send + Sync {
    /// Returns the public half.
    fn public(&self) -> [u8; 32];

    /// Returns the secret that is shared with the owner of the other key pair; `None` if it is all
    /// zero, which a peer can cause.
    fn agree(self: Box<Self>, peer: &[u8; 32]) -> Option<SecretKey>;
}
