//! Parameters against a schema, by the crate `jsonschema`; in our own words.

mod bounds;
mod formats;
mod messages;
mod union;

use jsonschema::{Draft, Keyword, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

use self::messages::Reporter;
use super::dereference::WHOLE;
use super::secrets;
use crate::model::violation::{Violations, clipped};

/// The most memory that a compiled pattern may take. A pattern comes from a worker.
const PATTERN_BYTES: usize = 1024 * 1024;

/// Compiles a dereferenced schema. Fails with a reason.
pub(super) fn compile(dereferenced: &Value) -> Result<Validator, String> {
    // The engine without backtracking: how long a match takes is bounded by pattern and text.
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
    let mut options = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true)
        .with_pattern_options(patterns)
        .with_keyword(WHOLE, |_, _, _| Ok(Box::new(Whole)));
    for name in bounds::names() {
        options = options.with_keyword(name, move |_, limit, _| bounds::compile(name, limit));
    }
    for (name, check) in formats::OURS {
        options = options.with_format(name, check);
    }
    options.build(dereferenced).map_err(|error| reason(&error))
}

/// Why something is not a schema, with the place in it.
fn reason(error: &ValidationError<'_>) -> String {
    let place = clipped(error.instance_path().as_str(), 200);
    let message = if place.ends_with("/type") {
        let given = error.instance().to_string();
        let names = "array, boolean, integer, null, number, object, string";
        format!("{} is no type: one of {names}, or a list of them", clipped(&given, 100))
    } else {
        clipped(&error.to_string(), 300).into_owned()
    };
    if place.is_empty() { message } else { format!("{place}: {message}") }
}

/// Puts everything that is wrong with `value` into `found`.
pub(super) fn check(validator: &Validator, schema: &Value, value: &Value, found: &mut Violations) {
    // Most submissions are fine, and to know that much is faster.
    if validator.is_valid(value) {
        return;
    }
    let reporter = Reporter { schema, value, secrets: secrets::places(schema, value) };
    let errors: Vec<ValidationError<'_>> = validator.iter_errors(value).collect();
    let errors: Vec<&ValidationError<'_>> = errors.iter().collect();
    reporter.report(&errors, found);
}

/// See [`WHOLE`].
struct Whole;

impl<'i> Keyword<'i> for Whole {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if !instance.is_f64() { Ok(()) } else { Err(ValidationError::custom("must be an integer")) }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        !instance.is_f64()
    }
}

/// The members of an object, for a list of what there is.
fn names_of(properties: Option<&Map<String, Value>>) -> String {
    const SHOWN: usize = 20;
    let names = properties.into_iter().flatten().map(|(name, _)| clipped(name, 60));
    let mut names: Vec<_> = names.collect();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let names = names.join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}
