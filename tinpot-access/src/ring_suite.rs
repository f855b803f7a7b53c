//! The cryptography of sealed frames, by ring.

use std::sync::Arc;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey as PublicHalf, X25519};
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use tinpot_core::seal::{Digest, Ephemeral, PublicKey, SecretKey, SessionKeys, Signature, Suite};
use tinpot_core::{Error, ErrorKind, Result};

use crate::identity_key::IdentityKey;

/// The info of the derivation of session keys.
const KEYS: &[u8] = b"tinpot/1 TP1 keys";

/// The suite `TP1`: Ed25519, X25519, HKDF-SHA256 and ChaCha20-Poly1305.
///
/// ```
/// use tinpot_access::{IdentityKey, RingSuite};
/// use tinpot_core::seal::Suite;
///
/// let worker = RingSuite::new(&IdentityKey::generate()?);
/// let coordinator = RingSuite::new(&IdentityKey::generate()?);
/// let signature = worker.sign(b"hello");
/// assert!(coordinator.verify(&worker.public(), b"hello", &signature));
/// assert!(!coordinator.verify(&worker.public(), b"hullo", &signature));
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RingSuite {
    pair: Arc<Ed25519KeyPair>,
    public: PublicKey,
}

impl RingSuite {
    /// Creates the suite of the owner of this key.
    pub fn new(key: &IdentityKey) -> Self {
        let Some(pair) = key.pair() else { unreachable!("a key was checked when it was read") };
        let public = pair.public_key().as_ref().try_into().unwrap_or_default();
        Self { pair: Arc::new(pair), public: PublicKey(public) }
    }
}

impl Suite for RingSuite {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, text: &[u8]) -> Signature {
        match self.pair.sign(text).as_ref().try_into() {
            Ok(signature) => signature,
            Err(_) => unreachable!("signatures of Ed25519 have 64 bytes"),
        }
    }

    fn verify(&self, key: &PublicKey, text: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, key.0).verify(text, signature).is_ok()
    }

    fn digest(&self, text: &[u8]) -> Digest {
        digest(&SHA256, text).as_ref().try_into().unwrap_or_default()
    }

    fn ephemeral(&self) -> Result<Box<dyn Ephemeral>> {
        let no_randomness =
            |_| Error::new(ErrorKind::Unavailable, "the system has no randomness for a key");
        let secret =
            EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(no_randomness)?;
        let public = secret.compute_public_key().map_err(no_randomness)?;
        let public = public.as_ref().try_into().unwrap_or_default();
        Ok(Box::new(RingEphemeral { secret, public }))
    }

    fn derive(&self, shared: &SecretKey, salt: &Digest) -> SessionKeys {
        let mut keys = [0; 4 * 32];
        let extracted = Salt::new(HKDF_SHA256, salt).extract(&shared.0);
        let filled =
            extracted.expand(&[KEYS], Length(keys.len())).and_then(|okm| okm.fill(&mut keys));
        let Ok(()) = filled else { unreachable!("HKDF gives up to 8,160 bytes") };
        let key = |number: usize| {
            let mut key = [0; 32];
            key.copy_from_slice(&keys[32 * number..32 * (number + 1)]);
            SecretKey(key)
        };
        SessionKeys { up: [key(0), key(1)], down: [key(2), key(3)] }
    }

    fn seal(&self, key: &SecretKey, counter: u64, header: &[u8], body: &mut [u8]) -> [u8; 16] {
        let sealed =
            cipher(key).seal_in_place_separate_tag(nonce(counter), Aad::from(header), body);
        let tag = sealed.ok().and_then(|tag: Tag| tag.as_ref().try_into().ok());
        let Some(tag) = tag else { unreachable!("a frame has less than 256 GiB") };
        tag
    }

    fn open(&self, key: &SecretKey, counter: u64, header: &[u8], body: &mut [u8]) -> bool {
        cipher(key).open_in_place(nonce(counter), Aad::from(header), body).is_ok()
    }
}

#[derive(Debug)]
struct RingEphemeral {
    secret: EphemeralPrivateKey,
    public: [u8; 32],
}

impl Ephemeral for RingEphemeral {
    fn public(&self) -> [u8; 32] {
        self.public
    }

    fn agree(self: Box<Self>, peer: &[u8; 32]) -> Option<SecretKey> {
        let peer = PublicHalf::new(&X25519, peer);
        // It refuses a shared secret of zeros.
        let agreed = ring::agreement::agree_ephemeral(self.secret, &peer, |shared| {
            shared.try_into().map(SecretKey)
        });
        agreed.ok()?.ok()
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn cipher(key: &SecretKey) -> LessSafeKey {
    match UnboundKey::new(&CHACHA20_POLY1305, &key.0) {
        Ok(key) => LessSafeKey::new(key),
        Err(_) => unreachable!("keys of ChaCha20-Poly1305 have 32 bytes"),
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests;
