//! Equality of JSON values as JSON Schema defines it: numbers by value, objects in any order.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::number;

/// Returns true if both values are equal.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    compare(a, b) == Ordering::Equal
}

/// Returns true if no two of the values are equal.
pub(super) fn all_different(values: &[Value]) -> bool {
    // Sorted first, so that a long list costs little more than a short one.
    let mut sorted: Vec<&Value> = values.iter().collect();
    sorted.sort_by(|a, b| compare(a, b));
    sorted.windows(2).all(|pair| !equal(pair[0], pair[1]))
}

/// Orders any two values, so that equal ones stand side by side.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => number::compare(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let items = a.iter().zip(b).map(|(a, b)| compare(a, b));
            first_difference(items).then(a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let members =
                sorted(a).into_iter().zip(sorted(b)).map(|((name, value), (other, second))| {
                    name.cmp(other).then_with(|| compare(value, second))
                });
            first_difference(members).then(a.len().cmp(&b.len()))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut members: Vec<_> = map.iter().collect();
    members.sort_by_key(|(name, _)| *name);
    members
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}
