//! The key of a store, and what it seals.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::hmac;
use tinpot_core::access::{SealedPlace, SecretSealer};
use tinpot_core::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

use crate::private_file;
use crate::secret::random;

/// The first word of each line of a key file.
const MARK: &str = "tinpot-store-key-1";
/// The keys of a file: the present one, and the one before it.
const KEYS: usize = 2;
/// The interval at which a key file is read again at most.
const AGAIN: Duration = Duration::from_secs(1);
/// The digits of the id of a key.
const ID_DIGITS: usize = 8;

/// The keys of a store: the present one, which seals, and the former one, which only opens.
///
/// The file has one line for each, the present one first. It may be in the directory of the store.
/// A copy of the store without this file reveals no secret.
///
/// ```
/// use tinpot_access::StoreKeys;
/// use tinpot_core::access::{SealedPlace, SecretSealer};
///
/// let keys = StoreKeys::generate()?;
/// let place = SealedPlace::new("secret", "default", "deploy-key", "1");
/// let sealed = keys.sealer().seal(&place, b"hunter2")?;
///
/// // After a rotation, the former key still opens.
/// let rotated = keys.rotated()?;
/// assert_eq!(rotated.sealer().open(&place, &sealed)?, b"hunter2");
/// assert!(!rotated.sealer().is_current(&sealed));
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone)]
pub struct StoreKeys {
    keys: Vec<Zeroizing<[u8; 32]>>,
}

impl fmt::Debug for StoreKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKeys(***)")
    }
}

impl StoreKeys {
    /// Creates a random key.
    ///
    /// # Errors
    /// `Other` if the system has no randomness.
    pub fn generate() -> Result<Self> {
        Ok(Self { keys: vec![random::<32>()?] })
    }

    /// Returns these keys with a new one, which seals from now on. The present key becomes the
    /// former one, and a former key is removed.
    ///
    /// # Errors
    /// `Other` if the system has no randomness.
    pub fn rotated(&self) -> Result<Self> {
        let mut keys = vec![random::<32>()?];
        keys.extend(self.keys.iter().take(KEYS - 1).cloned());
        Ok(Self { keys })
    }

    /// Returns true if there is a former key, which another rotation removes.
    pub fn has_former(&self) -> bool {
        self.keys.len() > 1
    }

    /// Reads the keys of a file.
    ///
    /// # Errors
    /// `InvalidInput` if the file has no keys or if others may read it; `NotFound` if it does not
    /// exist; `Unavailable` if it cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let text = private_file::load(path)?;
        Self::parse(&text).map_err(|why| {
            let message = format!("{} is no key of a store: {why}", path.display());
            Error::new(ErrorKind::InvalidInput, message)
        })
    }

    /// Reads the keys of a file. Creates the file with a new key if it does not exist.
    ///
    /// # Errors
    /// Those of [`load`](Self::load), and `Unavailable` if the file cannot be written.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        match Self::load(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        match private_file::create(path, Self::generate()?.to_text().as_bytes()) {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            created => created?,
        }
        Self::load(path)
    }

    /// Replaces the keys of a file.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be written.
    pub fn replace(&self, path: &Path) -> Result<()> {
        private_file::replace(path, self.to_text().as_bytes())
    }

    fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(256));
        for key in &self.keys {
            text.push_str(MARK);
            text.push(' ');
            STANDARD.encode_string(**key, &mut text);
            text.push('\n');
        }
        text
    }

    fn parse(text: &str) -> std::result::Result<Self, &'static str> {
        let mut keys = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let digits = line.strip_prefix(MARK).ok_or("a line does not begin as one of a key")?;
            let mut key = Zeroizing::new([0; 32]);
            // One byte more than the largest answer to a text of this length.
            let mut decoded = Zeroizing::new([0; 36]);
            let length = STANDARD.decode_slice(digits.trim(), &mut *decoded).unwrap_or_default();
            if length != key.len() {
                return Err("a line has no 32 bytes in base64");
            }
            key.copy_from_slice(&decoded[..32]);
            keys.push(key);
        }
        match keys.len() {
            0 => Err("it is empty"),
            1..=KEYS => Ok(Self { keys }),
            _ => Err("it has more than 2 keys"),
        }
    }

    /// Returns the sealer of these keys.
    pub fn sealer(&self) -> RingSealer {
        RingSealer { keys: self.derived(), newer: None }
    }

    fn derived(&self) -> Arc<[Key]> {
        self.keys.iter().map(|key| Key::new(key)).collect()
    }
}

/// Seals with ChaCha20-Poly1305, each object under a key of its own, which HKDF-SHA256 derives from
/// that of the store.
///
/// [`StoreKeys`] has an example.
#[derive(Clone)]
pub struct RingSealer {
    /// The one that seals is the first.
    keys: Arc<[Key]>,
    newer: Option<Arc<Newer>>,
}

/// The keys that came into a file later, which open and do not seal.
struct Newer {
    path: PathBuf,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    keys: Arc<[Key]>,
    read_at: Option<Instant>,
}

impl Newer {
    /// Returns the keys of the file, which is read if they lack the one with this id.
    fn with(&self, id: &str) -> Arc<[Key]> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = found.read_at.is_none_or(|at| at.elapsed() >= AGAIN);
        if is_due && !found.keys.iter().any(|key| key.id == id) {
            found.read_at = Some(Instant::now());
            // What cannot be read now is tried again.
            if let Ok(keys) = StoreKeys::load(&self.path) {
                found.keys = keys.derived();
            }
        }
        found.keys.clone()
    }
}

impl fmt::Debug for RingSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingSealer").field("key", &self.key_id()).finish_non_exhaustive()
    }
}

struct Key {
    id: String,
    root: Prk,
}

impl Key {
    fn new(bytes: &[u8; 32]) -> Self {
        let digest = digest(&SHA256, &[b"tinpot/1 store key id", &bytes[..]].concat());
        let mut id = URL_SAFE_NO_PAD.encode(digest);
        id.truncate(ID_DIGITS);
        Self { id, root: Salt::new(HKDF_SHA256, b"tinpot/1 store key").extract(bytes) }
    }

    fn derive(&self, info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let filled = self.root.expand(info, Length).and_then(|okm| okm.fill(&mut *key));
        let Ok(()) = filled else { unreachable!("HKDF gives up to 8,160 bytes") };
        key
    }

    fn cipher(&self, place: &SealedPlace<'_>) -> LessSafeKey {
        let info: [&[u8]; 5] =
            [b"tinpot/1 sealed\0", place.kind.as_bytes(), b"\0", place.id.as_bytes(), b""];
        match UnboundKey::new(&CHACHA20_POLY1305, &*self.derive(&info)) {
            Ok(key) => LessSafeKey::new(key),
            Err(_) => unreachable!("keys of ChaCha20-Poly1305 have 32 bytes"),
        }
    }
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

/// Returns the associated data of a place: its parts, each with its length.
fn bound_to(place: &SealedPlace<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    for part in [place.kind, place.team, place.id, place.path] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

impl RingSealer {
    /// Returns the id of the key that seals. It reveals nothing about the key.
    pub fn key_id(&self) -> &str {
        self.keys.first().map_or("", |key| &key.id)
    }

    /// Reads the file of the keys again for what it cannot open, at most once a second: the key may have
    /// been replaced meanwhile. The key that seals stays the same.
    #[must_use]
    pub fn read_again(mut self, path: impl Into<PathBuf>) -> Self {
        let found = Mutex::default();
        self.newer = Some(Arc::new(Newer { path: path.into(), found }));
        self
    }

    /// Returns true if it opens what the key with this id has sealed.
    pub fn has_key(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }
}

impl SecretSealer for RingSealer {
    fn seal(&self, place: &SealedPlace<'_>, value: &[u8]) -> Result<String> {
        let Some(key) = self.keys.first() else { unreachable!("there is a key") };
        // The key is that of one object, of which few values are sealed: 96 random bits never meet.
        let nonce = random::<NONCE_LEN>()?;
        let mut bytes = Zeroizing::new(value.to_vec());
        let sealed = key.cipher(place).seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(bound_to(place)),
            &mut bytes,
        );
        let Ok(tag) = sealed else { unreachable!("a value has less than 256 GiB") };
        let text = URL_SAFE_NO_PAD.encode([&nonce[..], &bytes, tag.as_ref()].concat());
        Ok(format!("{}.{text}", key.id))
    }

    fn open(&self, place: &SealedPlace<'_>, sealed: &str) -> Result<Vec<u8>> {
        let malformed = || Error::new(ErrorKind::Malformed, "a sealed secret does not open");
        let (id, text) = sealed.split_once('.').ok_or_else(malformed)?;
        let has_id = |key: &&Key| key.id == id;
        let mut newer: Arc<[Key]> = Arc::default();
        let key = self.keys.iter().find(has_id).or_else(|| {
            newer = self.newer.as_ref()?.with(id);
            newer.iter().find(has_id)
        });
        let Some(key) = key else {
            let message = "the key of a sealed secret is not in the key file of the store";
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed())?;
        let nonce = bytes.first_chunk::<NONCE_LEN>().copied().ok_or_else(malformed)?;
        let opened = key.cipher(place).open_within(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(bound_to(place)),
            &mut bytes,
            NONCE_LEN..,
        );
        let length = opened.map_err(|_| malformed())?.len();
        bytes.truncate(length);
        Ok(bytes)
    }

    fn is_current(&self, sealed: &str) -> bool {
        sealed.split_once('.').is_some_and(|(id, _)| id == self.key_id())
    }

    fn digest(&self, purpose: &str, text: &[u8]) -> [u8; 32] {
        let Some(key) = self.keys.first() else { unreachable!("there is a key") };
        let key = key.derive(&[b"tinpot/1 digest\0", purpose.as_bytes()]);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*key), text);
        tag.as_ref().try_into().unwrap_or_default()
    }
}
