//! Bounds of dates, which JSON Schema itself does not have: `formatMinimum` and its sisters.

use jsonschema::{Keyword, ValidationError};
use serde_json::Value;

use super::formats::is_date;

/// Whether a date fits a bound.
type Fits = fn(&str, &str) -> bool;

/// The keywords, how a date may compare with the bound, and the words for it. Dates sort as texts.
const KEYWORDS: [(&str, Fits, &str); 4] = [
    ("formatMinimum", |date, bound| date >= bound, "at least"),
    ("formatMaximum", |date, bound| date <= bound, "at most"),
    ("formatExclusiveMinimum", |date, bound| date > bound, "later than"),
    ("formatExclusiveMaximum", |date, bound| date < bound, "earlier than"),
];

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KEYWORDS.iter().map(|(name, _, _)| *name)
}

struct Bound {
    limit: String,
    fits: Fits,
    words: &'static str,
}

/// Makes the check of one keyword.
pub(super) fn compile<'a>(
    name: &str,
    limit: &'a Value,
) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
    let row = KEYWORDS.iter().find(|(other, _, _)| *other == name);
    match (row, limit.as_str()) {
        (Some((_, fits, words)), Some(limit)) if is_date(limit) => {
            Ok(Box::new(Bound { limit: limit.to_owned(), fits: *fits, words }))
        }
        _ => Err(ValidationError::schema(format!("{name} must be a date such as 2024-12-31"))),
    }
}

impl<'i> Keyword<'i> for Bound {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        match instance {
            // What is no date is said by `format`.
            Value::String(date) if is_date(date) && !(self.fits)(date, &self.limit) => {
                Err(ValidationError::custom(format!("must be {} {}", self.words, self.limit)))
            }
            _ => Ok(()),
        }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.validate(instance).is_ok()
    }
}
