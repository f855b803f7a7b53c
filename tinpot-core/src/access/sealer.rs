//! Sealing of what is stored: secrets that a copy of the store must not tell.

use std::fmt;
use std::sync::Arc;

use crate::model::error::Result;

/// The place to which a sealed value is bound: it does not open at another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealedPlace<'a> {
    /// The kind of object that has the value, such as `execution`.
    pub kind: &'a str,
    /// The team of the object.
    pub team: &'a str,
    /// The id of the object.
    pub id: &'a str,
    /// The place of the value in the object, such as a JSON pointer.
    pub path: &'a str,
}

impl<'a> SealedPlace<'a> {
    /// Creates a place.
    pub fn new(kind: &'a str, team: &'a str, id: &'a str, path: &'a str) -> Self {
        Self { kind, team, id, path }
    }
}

/// Seals values that are stored, under a key that is not in the store.
///
/// # Contract
/// - **Bound**: a value opens at the place at which it was sealed, and nowhere else.
/// - **Whole**: a value that was changed does not open.
/// - **Fresh**: the same value sealed twice makes two different texts.
/// - **Quiet**: neither `Debug` nor an error has a part of a value or key.
/// - **Keyed**: without the key, no reader finds the digest of a text, or the text of a digest by
///   trying.
pub trait SecretSealer: fmt::Debug + Send + Sync + 'static {
    /// Seals a value, as a text of printable ASCII.
    ///
    /// # Errors
    /// `Unavailable` if the system has no randomness.
    fn seal(&self, place: &SealedPlace<'_>, value: &[u8]) -> Result<String>;

    /// Opens what [`seal`](Self::seal) has returned.
    ///
    /// # Errors
    /// `NotFound` if its key is not here, `Malformed` if it does not open.
    fn open(&self, place: &SealedPlace<'_>, sealed: &str) -> Result<Vec<u8>>;

    /// Returns true if the text was sealed under the key that seals now.
    fn is_current(&self, sealed: &str) -> bool;

    /// Returns a digest of a text for one purpose: equal for equal texts.
    fn digest(&self, purpose: &str, text: &[u8]) -> [u8; 32];
}

macro_rules! forward {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<T: SecretSealer + ?Sized> SecretSealer for $pointer<T> {
            fn seal(&self, place: &SealedPlace<'_>, value: &[u8]) -> Result<String> {
                (**self).seal(place, value)
            }

            fn open(&self, place: &SealedPlace<'_>, sealed: &str) -> Result<Vec<u8>> {
                (**self).open(place, sealed)
            }

            fn is_current(&self, sealed: &str) -> bool {
                (**self).is_current(sealed)
            }

            fn digest(&self, purpose: &str, text: &[u8]) -> [u8; 32] {
                (**self).digest(purpose, text)
            }
        }
    };
}

forward!(Arc);
forward!(Box);
