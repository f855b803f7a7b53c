//! A suite for tests: small, fast, without security.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Random;
use crate::model::error::Result;
use crate::protocol::seal::{
    Digest, Ephemeral, PublicKey, SecretKey, SessionKeys, Signature, Suite,
};

/// A prime below 2^61, the modulus of key agreements.
const PRIME: u64 = (1 << 61) - 1;
const GENERATOR: u64 = 37;

/// A suite whose functions have the properties that sessions rely on among honest callers: what
/// was sealed or signed with one key opens or verifies with no other, and two key pairs agree on a
/// secret that depends on both.
///
/// Anyone can break it on purpose. In particular, a signature is a hash of the public key and the
/// text.
#[derive(Clone, Debug)]
pub struct ToySuite {
    public: PublicKey,
    random: Arc<AtomicU64>,
    sealed: Arc<Mutex<Sealed>>,
}

/// The nonces that were used.
#[derive(Debug, Default)]
struct Sealed {
    nonces: HashSet<([u8; 32], u64)>,
    is_one_reused: bool,
}

impl ToySuite {
    /// Creates the suite of the owner of this identity. `seed` determines its randomness.
    pub fn new(identity: u64, seed: u64) -> Self {
        let (random, sealed) = (Arc::new(AtomicU64::new(seed)), Default::default());
        Self { public: public(identity), random, sealed }
    }

    /// Returns the suite of the owner of another identity, with the same source of randomness.
    pub fn owned_by(&self, identity: u64) -> Self {
        Self { public: public(identity), ..self.clone() }
    }

    /// Returns true if any of the owners has sealed two frames with the same key and counter.
    pub fn has_reused_a_nonce(&self) -> bool {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner).is_one_reused
    }
}

fn public(identity: u64) -> PublicKey {
    PublicKey(hash(&[b"identity", &identity.to_be_bytes()]))
}

impl Suite for ToySuite {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, text: &[u8]) -> Signature {
        signature(&self.public, text)
    }

    fn verify(&self, key: &PublicKey, text: &[u8], given: &Signature) -> bool {
        signature(key, text) == *given
    }

    fn digest(&self, text: &[u8]) -> Digest {
        hash(&[text])
    }

    fn ephemeral(&self) -> Result<Box<dyn Ephemeral>> {
        let seed = self.random.fetch_add(1, Ordering::Relaxed);
        let exponent = Random::new(seed).number() % PRIME;
        Ok(Box::new(ToyEphemeral { exponent }))
    }

    fn derive(&self, shared: &SecretKey, salt: &Digest) -> SessionKeys {
        let key = |number: u8| SecretKey(hash(&[&shared.0, salt, &[number]]));
        SessionKeys { up: [key(0), key(1)], down: [key(2), key(3)] }
    }

    fn seal(&self, key: &SecretKey, counter: u64, header: &[u8], body: &mut [u8]) -> [u8; 16] {
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        sealed.is_one_reused |= !sealed.nonces.insert((key.0, counter));
        drop(sealed);
        encrypt(key, counter, body);
        tag(key, counter, header, body)
    }

    fn open(&self, key: &SecretKey, counter: u64, header: &[u8], body: &mut [u8]) -> bool {
        let Some((body, given)) = body.split_last_chunk_mut::<16>() else { return false };
        let right = tag(key, counter, header, body) == *given;
        encrypt(key, counter, body);
        right
    }
}

#[derive(Debug)]
struct ToyEphemeral {
    exponent: u64,
}

impl Ephemeral for ToyEphemeral {
    fn public(&self) -> [u8; 32] {
        wide(power(GENERATOR, self.exponent))
    }

    fn agree(self: Box<Self>, peer: &[u8; 32]) -> Option<SecretKey> {
        let shared = power(number(peer) % PRIME, self.exponent);
        (shared != 0).then(|| SecretKey(wide(shared)))
    }
}

fn power(base: u64, mut exponent: u64) -> u64 {
    let times = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(PRIME)) as u64;
    let (mut result, mut square) = (1, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = times(result, square);
        }
        square = times(square, square);
        exponent >>= 1;
    }
    result
}

fn wide(number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn number(bytes: &[u8]) -> u64 {
    let last = &bytes[bytes.len().saturating_sub(8)..];
    last.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn signature(key: &PublicKey, text: &[u8]) -> Signature {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&hash(&[b"signature", &key.0, text]));
    signature
}

/// Encrypts, and decrypts again.
fn encrypt(key: &SecretKey, counter: u64, body: &mut [u8]) {
    let mut stream = Random::new(number(&key.0) ^ counter.rotate_left(17));
    for chunk in body.chunks_mut(8) {
        let bytes = stream.number().to_be_bytes();
        chunk.iter_mut().zip(bytes).for_each(|(byte, mask)| *byte ^= mask);
    }
}

fn tag(key: &SecretKey, counter: u64, header: &[u8], body: &[u8]) -> [u8; 16] {
    let hash = hash(&[&key.0, &counter.to_be_bytes(), header, body]);
    hash.first_chunk().copied().unwrap_or_default()
}

/// Mixes the parts, and where each ends, into 32 bytes.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut mix = |value: u64| {
        state = (state ^ value).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 29;
    };
    for part in parts {
        part.chunks(8).for_each(|chunk| mix(number(chunk)));
        mix(part.len() as u64);
    }
    let mut last = Random::new(state);
    let mut bytes = [0; 32];
    bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&last.number().to_be_bytes()));
    bytes
}
