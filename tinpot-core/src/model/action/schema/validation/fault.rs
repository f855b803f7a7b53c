//! Faults: where a value does not fit its schema.

use serde_json::{Number, Value};

use super::part::DateBound;

/// One place at which a value does not fit.
#[derive(Debug)]
pub(super) struct Fault<'a> {
    pub(super) kind: FaultKind<'a>,
    /// JSON pointer to the value.
    pub(super) instance_path: String,
    /// JSON pointer to the part of the schema that it does not fit.
    pub(super) part_path: &'a str,
    pub(super) instance: &'a Value,
}

/// The rule that a value breaks.
#[derive(Debug)]
pub(super) enum FaultKind<'a> {
    /// The schema `false` admits no value.
    FalseSchema,
    Type,
    /// A number with a fraction, or written as one, where an integer is expected.
    Whole,
    Enum(&'a Value),
    Constant(&'a Value),
    Minimum(&'a Number),
    Maximum(&'a Number),
    ExclusiveMinimum(&'a Number),
    ExclusiveMaximum(&'a Number),
    MultipleOf(&'a Number),
    MinLength(u64),
    MaxLength(u64),
    Pattern(&'a str),
    Format(&'a str),
    DateBound(&'a DateBound),
    MinItems(u64),
    MaxItems(u64),
    UniqueItems,
    Contains,
    UnevaluatedItems,
    MinProperties(u64),
    MaxProperties(u64),
    Required(&'a str),
    /// Names that no rule of the schema knows.
    UnknownProperties(Vec<&'a str>),
    /// A name that does not fit, and the rule that it breaks.
    PropertyName(&'a str, Box<FaultKind<'a>>),
    Not,
    /// No alternative fits; the faults of each.
    NoAlternative(Vec<Vec<Fault<'a>>>),
    /// More than one alternative fits where exactly one must.
    SeveralAlternatives,
}

/// The way to a value, from the inside out.
#[derive(Clone, Copy)]
pub(super) enum Location<'a> {
    Root,
    Name(&'a Location<'a>, &'a str),
    Index(&'a Location<'a>, usize),
}

impl Location<'_> {
    /// Returns the JSON pointer (RFC 6901).
    pub(super) fn pointer(&self) -> String {
        match self {
            Location::Root => String::new(),
            Location::Name(parent, name) => {
                format!("{}/{}", parent.pointer(), name.replace('~', "~0").replace('/', "~1"))
            }
            Location::Index(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }
}
