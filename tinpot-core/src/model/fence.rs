//! Fences: the right to report on one attempt.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::error::{Error, ErrorKind, Result};

/// One start of a coordinator on its store.
///
/// [`Fence`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// The history of the store. A store that was restored from a backup gets a new instance.
    pub instance: u32,
    /// The number of the start. It is incremented durably each time a coordinator opens the store.
    pub number: u32,
}

/// The identity of one attempt, and the right to report on it. The coordinator grants it; fences
/// strictly increase within an instance.
///
/// Messages carry it as text: `instance.epoch.number` (hexadecimal, decimal, decimal).
///
/// ```
/// use tinpot_core::Fence;
///
/// // A lock or a database that has seen the newer attempt refuses the older one, whose worker may
/// // still be alive behind a broken network.
/// let (older, newer): (Fence, Fence) = ("2a.4.17".parse()?, "2a.5.1".parse()?);
/// assert!(older < newer);
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// The epoch in which it was granted.
    pub epoch: Epoch,
    /// The number of the attempt within the epoch, from 1.
    pub number: u64,
}

impl Epoch {
    /// Returns true if this is a later start on the same store.
    pub(crate) fn is_after(self, other: Epoch) -> bool {
        self.instance == other.instance && self.number > other.number
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.instance, self.number)
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.number)
    }
}

impl FromStr for Epoch {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (instance, number) = text.split_once('.')?;
            Some(Epoch {
                instance: u32::from_str_radix(instance, 16).ok()?,
                number: number.parse().ok()?,
            })
        };
        parse().ok_or_else(|| Error::new(ErrorKind::Malformed, format!("{text:?} is not an epoch")))
    }
}

impl FromStr for Fence {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (epoch, number) = text.rsplit_once('.')?;
            Some(Fence { epoch: epoch.parse().ok()?, number: number.parse().ok()? })
        };
        parse().ok_or_else(|| Error::new(ErrorKind::Malformed, format!("{text:?} is not a fence")))
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(stringify!($type))
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

as_text!(Epoch);
as_text!(Fence);
