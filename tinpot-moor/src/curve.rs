//! CURVE: the keys of a coordinator and of its workers, and their enrolment.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use omq_tokio::{CurveKeypair, CurvePublicKey, CurveSecretKey};
use tinpot_core::{Error, ErrorKind, Result};

/// Workers that may be enrolled.
const CLIENTS: usize = 10_000;
/// The characters that a line says about a worker.
const ABOUT: usize = 200;
/// The length of a key in Z85.
const KEY_CHARACTERS: usize = 40;

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

/// The secret CURVE key of a coordinator. Workers know its public key, in Z85.
///
/// ```
/// use tinpot_moor::CurveKey;
///
/// let key = CurveKey::generate();
/// assert_eq!(CurveKey::parse(&key.to_text())?.public(), key.public());
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone)]
pub struct CurveKey(CurveKeypair);

impl fmt::Debug for CurveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CurveKey({})", self.public())
    }
}

impl CurveKey {
    /// Creates a random key.
    pub fn generate() -> Self {
        Self(CurveKeypair::generate())
    }

    /// Reads the text of a file: a line `secret=`, with 40 characters of Z85.
    ///
    /// # Errors
    /// `InvalidInput` if the text has no such line. The message has no part of the text.
    pub fn parse(text: &str) -> Result<Self> {
        let secret = text.lines().find_map(|line| line.trim().strip_prefix("secret="));
        let secret = secret.and_then(|secret| CurveSecretKey::from_z85(secret.trim()).ok());
        let secret = secret.ok_or_else(|| {
            invalid(
                "not a secret CURVE key: there must be a line secret= with 40 characters of Z85, as \
                 \"tinpot moor curve-keygen\" writes it",
            )
        })?;
        let public = secret.derive_public();
        Ok(Self(CurveKeypair { public, secret }))
    }

    /// Returns the text of a file with both keys.
    pub fn to_text(&self) -> String {
        format!("public={}\nsecret={}\n", self.public(), self.0.secret.to_z85())
    }

    /// Returns the public key, in Z85.
    pub fn public(&self) -> String {
        self.0.public.to_z85()
    }

    pub(crate) fn pair(&self) -> CurveKeypair {
        self.0.clone()
    }
}

/// The workers that may connect by CURVE: their public keys, in a file.
///
/// A line has the key in Z85, and then anything. An enrolment adds a line.
#[derive(Clone, Debug)]
pub struct CurveClients {
    path: Option<PathBuf>,
    keys: Arc<Mutex<BTreeSet<[u8; 32]>>>,
}

impl CurveClients {
    /// Reads a file. One that does not exist has no keys yet.
    ///
    /// # Errors
    /// `InvalidInput` if the file cannot be read, or a line has no key.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |why: String| invalid(format!("{}: {why}", path.display()));
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error.to_string())),
        };
        let mut keys = BTreeSet::new();
        for (index, line) in text.lines().enumerate() {
            // As the files of workers have it.
            let line = line.trim();
            let line = line.strip_prefix("public=").unwrap_or(line);
            let Some(key) = line.split_whitespace().next() else { continue };
            if key.starts_with('#') && key.len() != KEY_CHARACTERS {
                continue;
            }
            let key = parse_public(key)
                .ok_or_else(|| failed(format!("line {} has no key in Z85", index + 1)))?;
            keys.insert(key);
        }
        Ok(Self { path: Some(path.to_owned()), keys: Arc::new(Mutex::new(keys)) })
    }

    /// Returns clients that are forgotten when the process ends.
    pub fn in_memory() -> Self {
        Self { path: None, keys: Arc::default() }
    }

    /// Admits a worker with this public key, in Z85. `about` is for people who read the file.
    ///
    /// # Errors
    /// `InvalidInput` if this is no key, or the file cannot be written; `Overloaded` if there are
    /// 10,000 keys.
    pub fn admit(&self, public: &str, about: &str) -> Result<()> {
        let key = parse_public(public)
            .ok_or_else(|| invalid("a CURVE key must be 40 characters of Z85"))?;
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.contains(&key) {
            return Ok(());
        }
        if keys.len() >= CLIENTS {
            let message = format!("there are {CLIENTS} workers already, which is the limit");
            return Err(Error::new(ErrorKind::Overloaded, message));
        }
        if let Some(path) = &self.path {
            let about = about.chars().filter(|c| !c.is_control()).take(ABOUT);
            let line = format!("{public} {}\n", about.collect::<String>());
            append(path, line)
                .map_err(|error| invalid(format!("cannot write {}: {error}", path.display())))?;
        }
        keys.insert(key);
        Ok(())
    }

    pub(crate) fn has(&self, public: &[u8; 32]) -> bool {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).contains(public)
    }
}

/// Adds a line to a file, whose last line may have no end.
fn append(path: &Path, mut line: String) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    if file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            line.insert(0, '\n');
        }
    }
    file.write_all(line.as_bytes())
}

fn parse_public(text: &str) -> Option<[u8; 32]> {
    CurvePublicKey::from_z85(text).ok().map(|key| *key.as_bytes())
}

/// The CURVE of a gateway: its key, and the workers that may connect.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pub(crate) key: CurveKey,
    pub(crate) clients: CurveClients,
}

#[cfg(test)]
mod tests {
    use super::{CurveClients, CurveKey};

    /// A pair that libzmq made.
    const PUBLIC: &str = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
    const SECRET: &str = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6";

    #[test]
    fn a_key_is_read_and_not_shown() {
        let key = CurveKey::parse(&format!("# ours\nsecret={SECRET}\n")).expect("a key");
        assert_eq!(key.public(), PUBLIC);
        assert_eq!(key.to_text(), format!("public={PUBLIC}\nsecret={SECRET}\n"));
        assert!(!format!("{key:?}").contains(SECRET));
        for wrong in ["", "secret=short", PUBLIC] {
            let error = CurveKey::parse(wrong).expect_err("no key").to_string();
            assert!(error.contains("40 characters"), "{error}");
        }
    }

    #[test]
    fn clients_are_kept_in_their_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("clients");
        let bytes = *super::CurvePublicKey::from_z85(PUBLIC).expect("a key").as_bytes();
        let clients = CurveClients::open(&path).expect("none yet");
        assert!(!clients.has(&bytes));
        clients.admit(PUBLIC, "id echo\nbox").expect("admitted");
        clients.admit(PUBLIC, "again").expect("admitted");
        assert!(clients.clone().has(&bytes));
        let text = std::fs::read_to_string(&path).expect("a file");
        assert_eq!(text, format!("{PUBLIC} id echobox\n"));
        std::fs::write(&path, format!("# those of the lab\n\npublic={PUBLIC}\n")).expect("written");
        assert!(CurveClients::open(&path).expect("clients").has(&bytes));
        // A file that a person wrote, without an end of its last line.
        let other = super::CurveKey::generate().public();
        std::fs::write(&path, format!("# ours\n{other} pump")).expect("written");
        let clients = CurveClients::open(&path).expect("clients");
        clients.admit(PUBLIC, &"x".repeat(1000)).expect("admitted");
        let text = std::fs::read_to_string(&path).expect("a file");
        assert_eq!(text, format!("# ours\n{other} pump\n{PUBLIC} {}\n", "x".repeat(200)));
        let clients = CurveClients::open(&path).expect("clients");
        let other = *super::CurvePublicKey::from_z85(&other).expect("a key").as_bytes();
        assert!(clients.has(&bytes) && clients.has(&other));
        std::fs::write(&path, "short\n").expect("written");
        let error = CurveClients::open(&path).expect_err("no key").to_string();
        assert!(error.contains("line 1 has no key"), "{error}");
        assert!(clients.admit("short", "").is_err());
    }
}
