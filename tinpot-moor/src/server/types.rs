//! The types of workers that may attach, and what they become.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tinpot_core::action::check_label;

use super::signature::Signature;

/// The most requests that a worker may have at once.
const SLOTS_MAX: u32 = 100;
const FORM: &str = "write it as TYPE, TYPE:SLOTS, TYPE:sequential or TYPE(PARAMETER, …):SLOTS";

/// A type of workers that may attach: `echo`, `curl:4` or `echo:sequential`. With parameters in
/// parentheses, such as `weather(city: str, days: int?):4`, its action has these in place of a list.
///
/// ```
/// use tinpot_moor::MoorType;
///
/// let curl: MoorType = "curl:4".parse()?;
/// assert_eq!((curl.slots, curl.sequential), (4, false));
/// assert!("curl:0".parse::<MoorType>().is_err());
/// # Ok::<_, String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MoorType {
    /// The name, compared without case. It is the name of the action as well.
    pub name: String,
    /// The requests that one worker may have at once.
    pub slots: u32,
    /// If true, workers of this type do one thing after the other, pongs included. A pong that comes
    /// in place of an answer then means that the request has failed.
    pub sequential: bool,
    /// The names of the arguments.
    pub(crate) signature: Option<Signature>,
}

impl MoorType {
    /// Returns a type with one slot.
    ///
    /// # Errors
    /// A name that no action can have.
    pub fn new(name: &str) -> Result<Self, String> {
        check_label("the type of a worker", name).map_err(|error| error.to_string())?;
        Ok(Self { name: name.to_owned(), slots: 1, sequential: false, signature: None })
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name.to_lowercase() == name.to_lowercase()
    }
}

impl FromStr for MoorType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, signature, rest) = match text.split_once('(') {
            Some((name, rest)) => {
                let (inside, rest) = rest
                    .split_once(')')
                    .ok_or_else(|| format!("there is no ) after the parameters: {FORM}"))?;
                (name, Some(inside.parse()?), rest.trim())
            }
            None => {
                let at = text.find(':').unwrap_or(text.len());
                (&text[..at], None, &text[at..])
            }
        };
        let option = match rest.strip_prefix(':') {
            Some(option) => Some(option.trim()),
            None if rest.is_empty() => None,
            None => return Err(format!("unknown option {rest:?}: {FORM}")),
        };
        let kind = Self { signature, ..Self::new(name.trim())? };
        match option {
            None => Ok(kind),
            Some("sequential") => Ok(Self { sequential: true, ..kind }),
            Some(slots) => match slots.parse() {
                Ok(slots) if (1..=SLOTS_MAX).contains(&slots) => Ok(Self { slots, ..kind }),
                Ok(slots) => Err(format!("slots must be 1 to {SLOTS_MAX} (got {slots})")),
                Err(_) => Err(format!("unknown option {slots:?}: {FORM}")),
            },
        }
    }
}

impl fmt::Display for MoorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(signature) = &self.signature {
            write!(f, "{signature}")?;
        }
        match (self.sequential, self.slots) {
            (true, _) => f.write_str(":sequential"),
            (false, 1) => Ok(()),
            (false, slots) => write!(f, ":{slots}"),
        }
    }
}

/// The types that may attach.
#[derive(Clone, Debug)]
pub(crate) enum Types {
    /// Any, with one slot.
    Any,
    /// These.
    Only(Vec<Arc<MoorType>>),
}

impl Types {
    /// Returns the type with this name, if it may attach.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<MoorType>> {
        match self {
            Self::Any => MoorType::new(name).ok().map(Arc::new),
            Self::Only(types) => types.iter().find(|kind| kind.is_called(name)).cloned(),
        }
    }

    pub(crate) fn names(&self) -> String {
        match self {
            Self::Any => "a type must be the name of an action".to_owned(),
            Self::Only(types) => {
                let names: Vec<_> = types.iter().map(|kind| &*kind.name).collect();
                format!("the types are {} (--moor-types)", names.join(", "))
            }
        }
    }
}
