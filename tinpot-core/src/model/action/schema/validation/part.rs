//! The rules of a compiled schema.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Number, Value};

use super::formats::Check;

/// One schema within the schema: the rules that a value must keep.
#[derive(Debug)]
pub(super) struct Part {
    /// JSON pointer to it.
    pub(super) path: String,
    pub(super) rules: Rules,
}

#[derive(Debug)]
pub(super) enum Rules {
    Always(bool),
    Keywords(Box<Keywords>),
}

/// The rules of a part, by the kind of value that they concern.
#[derive(Debug, Default)]
pub(super) struct Keywords {
    /// The types that are admitted; empty means all.
    pub(super) types: Vec<Type>,
    /// If true, a number must be written as an integer.
    pub(super) whole: bool,
    pub(super) options: Option<Value>,
    pub(super) constant: Option<Value>,
    pub(super) numbers: Vec<NumberRule>,
    pub(super) texts: Vec<TextRule>,
    pub(super) list: Option<ListRules>,
    pub(super) object: Option<ObjectRules>,
    pub(super) all_of: Vec<Part>,
    pub(super) any_of: Option<Vec<Part>>,
    pub(super) one_of: Option<Vec<Part>>,
    pub(super) not: Option<Part>,
    pub(super) condition: Option<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

#[derive(Debug)]
pub(super) enum NumberRule {
    Minimum(Number),
    Maximum(Number),
    ExclusiveMinimum(Number),
    ExclusiveMaximum(Number),
    MultipleOf(Number),
}

#[derive(Debug)]
pub(super) enum TextRule {
    MinLength(u64),
    /// That of bytes in base64, which an upload need not have.
    MinBase64(u64),
    MaxLength(u64),
    Pattern(String, Regex),
    Format(String, Check),
    Date(DateBound),
}

/// A bound of dates, which JSON Schema itself does not have: `formatMinimum` and its siblings.
#[derive(Debug)]
pub(super) struct DateBound {
    pub(super) limit: String,
    /// Compares a date with the limit. Dates sort as texts.
    pub(super) fits: fn(&str, &str) -> bool,
    /// The words for the comparison.
    pub(super) words: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct ListRules {
    pub(super) prefix: Vec<Part>,
    pub(super) items: Option<Part>,
    pub(super) contains: Option<Contains>,
    pub(super) unique: bool,
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
    pub(super) unevaluated: Option<Part>,
}

#[derive(Debug)]
pub(super) struct Contains {
    pub(super) part: Part,
    pub(super) min: u64,
    pub(super) max: u64,
}

#[derive(Debug, Default)]
pub(super) struct ObjectRules {
    pub(super) properties: BTreeMap<String, Part>,
    pub(super) patterns: Vec<(Regex, Part)>,
    pub(super) additional: Option<Part>,
    pub(super) names: Option<Part>,
    pub(super) required: Vec<String>,
    pub(super) dependent_required: Vec<(String, Vec<String>)>,
    pub(super) dependent: Vec<(String, Part)>,
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
    pub(super) unevaluated: Option<Part>,
}

#[derive(Debug)]
pub(super) struct Condition {
    pub(super) test: Part,
    pub(super) then: Option<Part>,
    pub(super) otherwise: Option<Part>,
}

impl Part {
    /// Returns true if the part admits no value at all.
    pub(super) fn is_false(&self) -> bool {
        matches!(self.rules, Rules::Always(false))
    }
}
