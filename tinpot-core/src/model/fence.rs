//! Fences: the right to report on one attempt.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::error::{Error, ErrorKind, Result};

/// One life of a coordinator on its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Which store; a store restored from a backup gets a new one.
    pub instance: u32,
    /// Incremented, and made durable, at every start of a coordinator on that store.
    pub number: u32,
}

/// Identifies one attempt: strictly increasing within an instance, granted by the coordinator.
///
/// Its text, `instance.epoch.number` (hexadecimal, decimal, decimal), is what stands in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// The coordinator's life that granted it.
    pub epoch: Epoch,
    /// Counts the attempts of that life, from 1.
    pub number: u64,
}

impl Epoch {
    /// Whether it is a later life of a coordinator on the same store.
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
