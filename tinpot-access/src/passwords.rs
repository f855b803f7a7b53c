//! Passwords: their rules, and their hashes by argon2id.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tinpot_core::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;

use crate::secret::{Secret, random};

/// The bounds of the length of a password, in bytes.
const LENGTH: std::ops::RangeInclusive<usize> = 12..=1_024;
/// Calls that may wait for their turn.
const WAITING: usize = 32;
/// The longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most memory that a stored hash may ask for, in KiB: hashes may be imported.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
/// The most passes that a stored hash may ask for.
const MOST_PASSES: u32 = 16;

/// The first characters of the hashes of bcrypt.
#[cfg(feature = "bcrypt")]
const BCRYPT: &str = "$2";
/// The most bytes of a password that bcrypt takes into account.
#[cfg(feature = "bcrypt")]
const BCRYPT_BYTES: usize = 72;
/// The largest cost of bcrypt that a stored hash may ask for: 2 s on a server of 2023.
#[cfg(feature = "bcrypt")]
const BCRYPT_COST: u32 = 15;

/// The cost of a hash.
///
/// [`Passwords`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasswordCost {
    /// The memory in KiB; 19,456 by default.
    pub memory_kib: u32,
    /// The passes over the memory; 2 by default.
    pub passes: u32,
}

impl Default for PasswordCost {
    /// Returns the cost that OWASP recommends for argon2id (2025): 26 ms on a server of 2023.
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2 }
    }
}

impl PasswordCost {
    /// Sets the memory in KiB.
    #[must_use]
    pub fn memory_kib(mut self, memory_kib: u32) -> Self {
        self.memory_kib = memory_kib;
        self
    }

    /// Sets the passes over the memory.
    #[must_use]
    pub fn passes(mut self, passes: u32) -> Self {
        self.passes = passes;
        self
    }
}

/// The result of a comparison.
///
/// [`Passwords`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordMatch {
    /// The password is another one, or the user has none.
    Mismatch,
    /// It is the password.
    Matches,
    /// It is the password, and its hash has another cost than new ones: hash it again.
    Outdated,
}

/// Hashes and compares passwords on blocking threads: half as many at a time as there are cores.
///
/// 32 more may wait for 2 s. Beyond that, calls fail with `Overloaded`, so that a storm of passwords
/// costs neither memory nor the other requests.
///
/// ```
/// use tinpot_access::{PasswordCost, PasswordMatch, Passwords, Secret};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let cost = PasswordCost::default().memory_kib(64).passes(1);
/// let passwords = Passwords::new(cost)?;
/// let hash = passwords.hash("ada", Secret::new("correct horse battery")).await?;
///
/// let typed = Secret::new("correct horse");
/// assert_eq!(passwords.compare(typed, Some(&hash)).await?, PasswordMatch::Mismatch);
/// let typed = Secret::new("correct horse battery");
/// assert_eq!(passwords.compare(typed, Some(&hash)).await?, PasswordMatch::Matches);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Passwords {
    cost: PasswordCost,
    min_bytes: usize,
    hasher: Argon2<'static>,
    /// The hash that an unknown user is compared with.
    dummy: Arc<str>,
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl Passwords {
    /// Creates a hasher with this cost for new hashes. Hashes one password, for unknown users.
    ///
    /// # Errors
    /// `InvalidInput` if argon2 does not allow the cost.
    pub fn new(cost: PasswordCost) -> Result<Self> {
        let PasswordCost { memory_kib, passes } = cost;
        let invalid = |why: &dyn fmt::Display| {
            Error::new(ErrorKind::InvalidInput, format!("the cost of passwords: {why}"))
        };
        if memory_kib > MOST_MEMORY_KIB || passes > MOST_PASSES {
            let bounds = format!("at most {MOST_MEMORY_KIB} KiB and {MOST_PASSES} passes");
            return Err(invalid(&bounds));
        }
        let params = Params::new(memory_kib, passes, 1, None).map_err(|error| invalid(&error))?;
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let at_a_time = (cores / 2).max(1);
        let dummy = hash(&hasher, "a password that no user has")?.into();
        let turns = Arc::new(Semaphore::new(at_a_time));
        let places = Arc::new(Semaphore::new(at_a_time + WAITING));
        Ok(Self { cost, min_bytes: *LENGTH.start(), hasher, dummy, turns, places })
    }

    /// Sets the length that new passwords must have; 12 bytes by default. Shorter ones are for clients
    /// that have them already.
    #[must_use]
    pub fn min_bytes(self, min_bytes: usize) -> Self {
        Self { min_bytes: min_bytes.max(1), ..self }
    }

    /// Hashes the new password of a user, as a text of the PHC format.
    ///
    /// # Errors
    /// `InvalidInput` if it is too short or too long, or is the user's name; `Overloaded`.
    pub async fn hash(&self, user: &str, password: Secret) -> Result<String> {
        check(user, password.expose(), self.min_bytes)?;
        let hasher = self.hasher.clone();
        self.run(move || hash(&hasher, password.expose())).await?
    }

    /// Compares a password with the stored hash of a user. Without a hash, it takes the same time.
    ///
    /// With the feature `bcrypt`, the hash may be one of bcrypt with a cost of at most 15.
    ///
    /// # Errors
    /// `Malformed` if the hash cannot be read, `Overloaded`.
    pub async fn compare(&self, password: Secret, stored: Option<&str>) -> Result<PasswordMatch> {
        if password.expose().len() > *LENGTH.end() {
            return Ok(PasswordMatch::Mismatch);
        }
        let is_known = stored.is_some();
        let stored: Arc<str> = stored.map_or_else(|| self.dummy.clone(), Arc::from);
        let (hasher, cost) = (self.hasher.clone(), self.cost);
        let found = self.run(move || compare(&hasher, cost, password.expose(), &stored)).await??;
        Ok(if is_known { found } else { PasswordMatch::Mismatch })
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let overloaded = || {
            let message = "too many passwords are being checked: try again in a few seconds";
            Error::new(ErrorKind::Overloaded, message)
        };
        let place = self.places.clone().try_acquire_owned().map_err(|_| overloaded())?;
        let turn = tokio::time::timeout(PATIENCE, self.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| overloaded())?.map_err(|_| overloaded())?;
        // The turn ends with the work, also if the caller is dropped.
        let work = move || {
            let done = work();
            drop((turn, place));
            done
        };
        let failed = |_| Error::new(ErrorKind::Other, "the check of a password did not end");
        tokio::task::spawn_blocking(work).await.map_err(failed)
    }
}

/// Checks the rules of a new password.
fn check(user: &str, password: &str, least: usize) -> Result<()> {
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
    let most = LENGTH.end();
    match password.len() {
        length if length < least => {
            invalid(format!("a password must have at least {least} bytes (got {length})"))
        }
        length if length > *most => {
            invalid(format!("a password must have at most {most} bytes (got {length})"))
        }
        _ if password.to_lowercase() == user.to_lowercase() => {
            invalid("a password must not be the name of its user".to_owned())
        }
        _ => Ok(()),
    }
}

fn hash(hasher: &Argon2<'_>, password: &str) -> Result<String> {
    let salt = random::<16>()?;
    let hash: PasswordHash = hasher
        .hash_password_with_salt(password.as_bytes(), &*salt)
        .map_err(|error| Error::new(ErrorKind::Other, format!("hashing a password: {error}")))?;
    Ok(hash.to_string())
}

fn compare(
    hasher: &Argon2<'_>,
    cost: PasswordCost,
    password: &str,
    stored: &str,
) -> Result<PasswordMatch> {
    let malformed = |why: &dyn fmt::Display| {
        Error::new(ErrorKind::Malformed, format!("the stored hash of a password: {why}"))
    };
    #[cfg(feature = "bcrypt")]
    if stored.starts_with(BCRYPT) {
        return compare_bcrypt(password, stored).map_err(|why| malformed(&why));
    }
    let hash = PasswordHash::new(stored).map_err(|error| malformed(&error))?;
    let params = Params::try_from(&hash).map_err(|error| malformed(&error))?;
    if params.m_cost() > MOST_MEMORY_KIB || params.t_cost() > MOST_PASSES || params.p_cost() > 4 {
        return Err(malformed(&"it costs too much"));
    }
    let is_current = hash.algorithm.as_str() == "argon2id"
        && (params.m_cost(), params.t_cost()) == (cost.memory_kib, cost.passes);
    match hasher.verify_password(password.as_bytes(), &hash) {
        Ok(()) if is_current => Ok(PasswordMatch::Matches),
        Ok(()) => Ok(PasswordMatch::Outdated),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(PasswordMatch::Mismatch),
        Err(error) => Err(malformed(&error)),
    }
}

/// Compares a password with a hash that another system has made. A match is always outdated, so that
/// the next sign-in replaces the hash.
#[cfg(feature = "bcrypt")]
fn compare_bcrypt(password: &str, stored: &str) -> Result<PasswordMatch, String> {
    // `$2a$12$…`: the version, the cost, and salt and hash.
    let cost = stored.split('$').nth(2).and_then(|cost| cost.parse::<u32>().ok());
    match cost {
        None => return Err("it is not one of bcrypt".to_owned()),
        Some(cost) if cost > BCRYPT_COST => return Err("it costs too much".to_owned()),
        Some(_) => {}
    }
    // Bytes after these were never part of the hash: such a password cannot have been accepted.
    if password.len() > BCRYPT_BYTES {
        return Ok(PasswordMatch::Mismatch);
    }
    match bcrypt::verify(password, stored) {
        Ok(true) => Ok(PasswordMatch::Outdated),
        Ok(false) => Ok(PasswordMatch::Mismatch),
        Err(error) => Err(error.to_string()),
    }
}
