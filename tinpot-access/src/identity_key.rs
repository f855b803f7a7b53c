//! The private keys of workers and namespaces, and their files.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::Ed25519KeyPair;
use tinpot_core::{Error, ErrorKind, Result};

use crate::private_file;

/// The bytes before the seed in PKCS#8 version 1, which every library reads.
const PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// The private key of a worker or of a namespace: Ed25519.
///
/// Its file is PEM with PKCS#8, as `openssl genpkey -algorithm ed25519` writes it.
///
/// ```
/// use tinpot_access::{IdentityKey, RingSuite};
/// use tinpot_core::seal::Suite;
///
/// let key = IdentityKey::generate()?;
/// let read = IdentityKey::from_pem(&key.to_pem())?;
/// assert_eq!(RingSuite::new(&read).public(), RingSuite::new(&key).public());
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone)]
pub struct IdentityKey {
    pkcs8: Vec<u8>,
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityKey(***)")
    }
}

impl IdentityKey {
    /// Creates a random key.
    ///
    /// # Errors
    /// `Unavailable` if the system has no randomness.
    pub fn generate() -> Result<Self> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| {
            Error::new(ErrorKind::Unavailable, "the system has no randomness for a key")
        })?;
        Ok(Self::from_seed(&seed))
    }

    /// Returns the key of a seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { pkcs8: [&PREFIX[..], seed].concat() }
    }

    /// Reads a key in PEM: PKCS#8, version 1 or 2.
    ///
    /// # Errors
    /// `InvalidInput` if the text is not such a key. The message has no part of the text.
    pub fn from_pem(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            let message = format!("not a private key of Ed25519 in PEM (PKCS#8): {what}");
            Error::new(ErrorKind::InvalidInput, message)
        };
        let inside = text
            .trim()
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.strip_suffix(END))
            .ok_or_else(|| wrong("it must begin and end with the lines of a private key"))?;
        let digits: String = inside.split_whitespace().collect();
        let pkcs8 = STANDARD.decode(digits).map_err(|_| wrong("it is not valid base64"))?;
        let key = Self { pkcs8 };
        key.pair().ok_or_else(|| wrong("it is damaged, or a key of another kind"))?;
        Ok(key)
    }

    /// Returns the key in PEM.
    pub fn to_pem(&self) -> String {
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(&self.pkcs8))
    }

    /// Reads a key from a file.
    ///
    /// # Errors
    /// `InvalidInput` if the file is not a key or if others may read it; `NotFound` if it does not
    /// exist; `Unavailable` if it cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let text = private_file::load(path)?;
        Self::from_pem(&text).map_err(|error| error.with_context(path.display().to_string()))
    }

    /// Writes the key to a new file, which only its owner may read.
    ///
    /// # Errors
    /// `Conflict` if the file exists; `Unavailable` if it cannot be written.
    pub fn create(&self, path: &Path) -> Result<()> {
        private_file::create(path, self.to_pem().as_bytes())
    }

    /// Returns the pair; `None` if this is not a key.
    pub(crate) fn pair(&self) -> Option<Ed25519KeyPair> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.pkcs8).ok()
    }
}

#[cfg(test)]
mod tests {
    use tinpot_core::ErrorKind;
    use tinpot_core::seal::Suite;

    use super::IdentityKey;
    use crate::RingSuite;

    #[test]
    fn a_key_survives_its_file_which_is_written_once_and_for_its_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("worker.key");
        let key = IdentityKey::generate().expect("a key");
        key.create(&path).expect("a file");
        let loaded = IdentityKey::load(&path).expect("a key");
        let public = |key: &IdentityKey| RingSuite::new(key).public();
        assert_eq!(public(&loaded), public(&key));
        let again = key.create(&path).expect_err("it exists");
        assert_eq!(again.kind(), ErrorKind::Conflict);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
        assert!(!format!("{key:?}").contains(&key.to_pem()[30..60]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |mode| {
                let permissions = std::fs::Permissions::from_mode(mode);
                std::fs::set_permissions(&path, permissions).expect("permissions");
            };
            let metadata = std::fs::metadata(&path).expect("a file");
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
            mode(0o644);
            let error = IdentityKey::load(&path).expect_err("others may read it").to_string();
            assert!(error.contains("may be read by others (0644): chmod 600 it"), "{error}");
        }
    }

    #[test]
    fn keys_of_other_programs_are_read_and_other_files_are_refused() {
        // `openssl genpkey -algorithm ed25519`, and version 2 as ring writes it.
        let openssl = "-----BEGIN PRIVATE KEY-----\n\
                       MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n\
                       -----END PRIVATE KEY-----\n";
        let read = IdentityKey::from_pem(openssl).expect("a key");
        assert_eq!(read.to_pem(), openssl);
        let random = ring::rand::SystemRandom::new();
        let second = ring::signature::Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        let second = IdentityKey { pkcs8: second.as_ref().to_vec() };
        assert!(IdentityKey::from_pem(&second.to_pem()).is_ok());
        for wrong in ["", "hello", &openssl.replace("MC4C", "MC4D"), &openssl.replace("Bw", "!!")] {
            let error = IdentityKey::from_pem(wrong).expect_err("no key");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }
}
