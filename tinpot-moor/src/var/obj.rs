//! References to objects.

use std::fmt;
use std::str::FromStr;

use crate::fault::Fault;

/// The text before the digits of an anonymous object.
const ANONYMOUS: &str = "#anon_";
/// The low bits of a packed number: milliseconds.
const LOW: u64 = (1 << 40) - 1;

/// A reference to an object.
///
/// ```
/// use tinpot_moor::Obj;
///
/// assert_eq!("#12".parse(), Ok(Obj::Id(12)));
/// assert_eq!("#048D05-1234567890".parse(), Ok(Obj::Uu(0x048D05 << 40 | 0x1234567890)));
/// assert_eq!(Obj::Id(-1).to_string(), "#-1");
/// assert!("12".parse::<Obj>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Obj {
    /// A numbered object.
    Id(i32),
    /// An object with a unique id: counter, random bits and time.
    Uu(u64),
    /// An anonymous object, with such an id.
    Anonymous(u64),
}

impl Obj {
    /// The object that stands for none.
    pub const NOTHING: Self = Self::Id(-1);
}

impl fmt::Display for Obj {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packed = |f: &mut fmt::Formatter<'_>, mark: &str, packed: u64| {
            write!(f, "{mark}{:06X}-{:010X}", packed >> 40, packed & LOW)
        };
        match *self {
            Self::Id(id) => write!(f, "#{id}"),
            Self::Uu(id) => packed(f, "#", id),
            Self::Anonymous(id) => packed(f, ANONYMOUS, id),
        }
    }
}

impl FromStr for Obj {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let packed = |digits: &str| {
            let (high, low) = digits.split_once('-')?;
            let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if high.len() != 6 || low.len() != 10 || !is_hex(high) || !is_hex(low) {
                return None;
            }
            let (high, low) = (u64::from_str_radix(high, 16), u64::from_str_radix(low, 16));
            Some(high.ok()? << 40 | low.ok()?)
        };
        let parsed = match (text.strip_prefix(ANONYMOUS), text.strip_prefix('#')) {
            (Some(digits), _) => packed(digits).map(Self::Anonymous),
            (None, Some(id)) => match packed(id) {
                Some(id) => Some(Self::Uu(id)),
                None if id.starts_with('+') => None,
                None => id.parse().ok().map(Self::Id),
            },
            (None, None) => None,
        };
        parsed.ok_or_else(|| {
            Fault::new(format!(
                "an object must be like #12, #048D05-1234567890 or #anon_048D05-1234567890 (got \
                 {text:?})"
            ))
        })
    }
}
