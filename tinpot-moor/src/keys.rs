//! The keys of workers, and the tokens that they sign.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use tinpot_access::{IdentityKey, RingSuite};
use tinpot_core::seal::Suite;
use tinpot_core::{Error, ErrorKind, Result};
use uuid::Uuid;

/// The footer of the token of a worker. That of a host is another, and must not pass.
const FOOTER: &[u8] = b"key-id:moor_worker";
/// The length of every token: the payload is the id as text.
const TOKEN_BYTES: usize = 169;
/// The bytes before a public key of Ed25519 in SubjectPublicKeyInfo.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
/// The place of the seed in PKCS#8, which both versions share, and that of the version.
const SEED: std::ops::Range<usize> = 16..48;
const VERSION: usize = 4;

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

/// Returns the bytes between the lines of a PEM file with this label.
fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let inside = text.trim().strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let inside = inside.strip_suffix(&format!("-----END {label}-----"))?;
    STANDARD.decode(inside.split_whitespace().collect::<String>()).ok()
}

/// The private key with which workers sign their tokens: Ed25519 in PEM (PKCS#8).
///
/// mooR shares one pair among a daemon, its hosts and its workers.
#[derive(Clone)]
pub struct SigningKey {
    key: IdentityKey,
    seed: [u8; 32],
    is_version_2: bool,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

impl SigningKey {
    /// Creates a random key.
    ///
    /// # Errors
    /// `Unavailable` if the system has no randomness.
    pub fn generate() -> Result<Self> {
        Self::of(IdentityKey::generate()?)
    }

    /// Reads a key in PEM: PKCS#8, version 1 or 2.
    ///
    /// # Errors
    /// `InvalidInput` if the text is not such a key. The message has no part of the text.
    pub fn from_pem(text: &str) -> Result<Self> {
        if pem(text, "PUBLIC KEY").is_some() {
            return Err(invalid("this is a public key; a private key is needed"));
        }
        Self::of(IdentityKey::from_pem(text)?)
    }

    fn of(key: IdentityKey) -> Result<Self> {
        let der = pem(&key.to_pem(), "PRIVATE KEY");
        let seed = der.as_deref().and_then(|der| der.get(SEED)?.try_into().ok());
        let (Some(der), Some(seed)) = (&der, seed) else {
            return Err(invalid("the key has no seed"));
        };
        Ok(Self { is_version_2: der[VERSION] != 0, key: IdentityKey::from_seed(&seed), seed })
    }

    /// Returns true if the key was read from PKCS#8 version 2, with its public key inside. The
    /// command of mooR writes such files; OpenSSL 3.0 and Python refuse them, and with them workers
    /// in Python. [`to_pem`](Self::to_pem) writes version 1, which everyone reads.
    pub fn is_version_2(&self) -> bool {
        self.is_version_2
    }

    /// Returns the key in PEM: PKCS#8 version 1.
    pub fn to_pem(&self) -> String {
        self.key.to_pem()
    }

    /// Returns the key as a file that only its owner may read can have it.
    pub fn identity(&self) -> &IdentityKey {
        &self.key
    }

    /// Returns the public key.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(RingSuite::new(&self.key).public().0)
    }

    /// Signs the token of a worker. A worker has one token, which is valid for ever.
    ///
    /// # Errors
    /// `Other` if the library cannot sign.
    pub fn token(&self, worker: Uuid) -> Result<String> {
        let failed = |error| Error::new(ErrorKind::Other, format!("cannot sign: {error:?}"));
        let pair = [self.seed, self.verifying_key().0].concat();
        let key = AsymmetricSecretKey::<V4>::from(&pair).map_err(failed)?;
        PublicToken::sign(&key, worker.to_string().as_bytes(), Some(FOOTER), None).map_err(failed)
    }
}

/// The public key that proves the tokens of workers: Ed25519 in PEM (SubjectPublicKeyInfo).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// Reads a key in PEM.
    ///
    /// # Errors
    /// `InvalidInput` if the text is not such a key.
    pub fn from_pem(text: &str) -> Result<Self> {
        if pem(text, "PRIVATE KEY").is_some() {
            return Err(invalid(
                "this is a private key, which the coordinator does not need: give it the public one",
            ));
        }
        let der = pem(text, "PUBLIC KEY").ok_or_else(|| {
            invalid(
                "not a public key in PEM: it must begin and end with the lines of a PUBLIC KEY, as \
                 \"openssl pkey -pubout\" writes it",
            )
        })?;
        match der.strip_prefix(&SPKI).map(<[u8; 32]>::try_from) {
            Some(Ok(key)) => Ok(Self(key)),
            _ => Err(invalid("the public key is damaged, or not one of Ed25519")),
        }
    }

    /// Returns the key in PEM.
    pub fn to_pem(&self) -> String {
        let der = STANDARD.encode([&SPKI[..], &self.0].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
    }

    /// Returns the 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the worker whose token this is; `None` if it is not the token of a worker by this
    /// key.
    pub fn worker_of(&self, token: &str) -> Option<Uuid> {
        if token.len() != TOKEN_BYTES {
            return None;
        }
        let token = UntrustedToken::try_from(token).ok()?;
        let key = AsymmetricPublicKey::<V4>::from(&self.0).ok()?;
        // Without the footer, the library would take the token of a host as well.
        let trusted = PublicToken::verify(&key, &token, Some(FOOTER), None).ok()?;
        let worker = Uuid::parse_str(trusted.payload()).ok()?;
        // One id has one text: hyphens, and lower case.
        (worker.to_string() == trusted.payload()).then_some(worker)
    }
}
