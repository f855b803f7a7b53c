//! The check of parameters against a schema.

mod check;
mod compile;
mod equality;
mod fault;
mod formats;
mod messages;
mod number;
mod part;
mod union;

use serde_json::{Map, Value};

use self::messages::Reporter;
use self::part::Part;
use super::secrets;
use crate::model::violation::{Violations, clipped};

/// A compiled schema.
#[derive(Debug)]
pub(super) struct Validator(Part);

/// Compiles a dereferenced schema.
///
/// # Errors
/// The JSON pointer of a part of the schema and the reason why it is invalid, as one sentence.
pub(super) fn compile(dereferenced: &Value) -> Result<Validator, String> {
    let reason = |(place, message): (String, String)| {
        let (place, message) = (clipped(&place, 200), clipped(&message, 300));
        if place.is_empty() { message.into_owned() } else { format!("{place} {message}") }
    };
    Part::compile(dereferenced, String::new()).map(Validator).map_err(reason)
}

/// Adds the violations of `value` to `found`.
pub(super) fn check(validator: &Validator, schema: &Value, value: &Value, found: &mut Violations) {
    // Most submissions are valid, which is faster to check.
    if check::is_valid(&validator.0, value) {
        return;
    }
    let reporter = Reporter { schema, value, secrets: secrets::places(schema, value) };
    reporter.report(&check::faults(&validator.0, value), found);
}

/// Lists the members of an object for a message.
fn names_of(properties: Option<&Map<String, Value>>) -> String {
    const SHOWN: usize = 20;
    let names = properties.into_iter().flatten().map(|(name, _)| clipped(name, 60));
    let mut names: Vec<_> = names.collect();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let names = names.join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}
