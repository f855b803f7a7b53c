//! The secret values: those whose schema has `"writeOnly": true`.

use serde_json::{Map, Value};

use crate::model::json::Json;

/// The largest number of secrets that are named one by one. With more, the whole document is secret.
const PLACES_MAX: usize = 1_000;

/// Returns true if a schema can have secrets. It only scans the text, which is cheap.
pub(super) fn may_have(schema: &Json) -> bool {
    // JSON may write the keyword with escapes.
    schema.as_str().contains("writeOnly") || schema.as_str().contains("\\u")
}

/// Returns true if a part of a schema says itself that its values are of some kind.
pub(super) type Marked = fn(&Map<String, Value>) -> bool;

/// Returns true if a dereferenced schema has secrets.
pub(super) fn has(schema: &Value) -> bool {
    has_marked(schema, is_secret)
}

/// Returns true if a dereferenced schema has a part of a kind.
pub(super) fn has_marked(schema: &Value, is_marked: Marked) -> bool {
    match schema {
        Value::Object(map) => {
            is_marked(map) || map.values().any(|inner| has_marked(inner, is_marked))
        }
        Value::Array(values) => values.iter().any(|inner| has_marked(inner, is_marked)),
        _ => false,
    }
}

fn is_secret(schema: &Map<String, Value>) -> bool {
    schema.get("writeOnly") == Some(&Value::Bool(true))
}

/// Returns JSON pointers to the secrets among the parameters.
pub(super) fn places(schema: &Value, parameters: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut path = String::new();
    walk(schema, parameters, &mut path, is_secret, &mut |path, _| {
        if found.len() <= PLACES_MAX && !found.iter().rev().take(8).any(|known| known == path) {
            found.push(path.to_owned());
        }
    });
    if found.len() > PLACES_MAX {
        return vec![String::new()];
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Returns the texts and numbers of the secrets among the parameters.
pub(super) fn texts(schema: &Value, parameters: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut take = |_: &str, value: &Value| leaves(value, &mut found);
    walk(schema, parameters, &mut String::new(), is_secret, &mut take);
    found
}

/// Returns the texts and numbers at these JSON pointers.
pub(super) fn texts_at(parameters: &Value, pointers: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for value in pointers.iter().filter_map(|pointer| parameters.pointer(pointer)) {
        leaves(value, &mut found);
    }
    found
}

fn leaves(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Number(number) => found.push(number.to_string()),
        Value::Array(values) => values.iter().for_each(|value| leaves(value, found)),
        Value::Object(map) => map.values().for_each(|value| leaves(value, found)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Calls `found` for each value that any part of the schema marks, as secret for example. In a union,
/// that includes the alternatives that the value does not match: it is safer to hide too much.
pub(super) fn walk(
    schema: &Value,
    value: &Value,
    path: &mut String,
    is_marked: Marked,
    found: &mut dyn FnMut(&str, &Value),
) {
    let Value::Object(schema) = schema else { return };
    // Null hides nothing, and shows that the secret was not given.
    if value.is_null() {
        return;
    }
    if is_marked(schema) {
        return found(path, value);
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for part in list(schema, keyword) {
            walk(part, value, path, is_marked, found);
        }
    }
    for part in ["if", "then", "else"].iter().filter_map(|keyword| schema.get(*keyword)) {
        walk(part, value, path, is_marked, found);
    }
    match value {
        Value::Object(map) => {
            for part in
                schema.get("dependentSchemas").and_then(Value::as_object).into_iter().flatten()
            {
                walk(part.1, value, path, is_marked, found);
            }
            let properties = schema.get("properties").and_then(Value::as_object);
            let patterns = schema.get("patternProperties").and_then(Value::as_object);
            for (name, value) in map {
                let own = properties.and_then(|properties| properties.get(name));
                let further = ["additionalProperties", "unevaluatedProperties"]
                    .iter()
                    .filter(|_| own.is_none())
                    .filter_map(|keyword| schema.get(*keyword));
                let patterned = patterns.into_iter().flatten().map(|(_, part)| part);
                let name = name.replace('~', "~0").replace('/', "~1");
                for part in own.into_iter().chain(further).chain(patterned) {
                    below(path, &name, |path| walk(part, value, path, is_marked, found));
                }
            }
        }
        Value::Array(values) => {
            let first = list(schema, "prefixItems");
            let further: Vec<&Value> = ["items", "unevaluatedItems", "contains"]
                .iter()
                .filter_map(|keyword| schema.get(*keyword))
                .collect();
            for (index, value) in values.iter().enumerate() {
                let name = index.to_string();
                if let Some(part) = first.get(index) {
                    below(path, &name, |path| walk(part, value, path, is_marked, found));
                    continue;
                }
                for part in &further {
                    below(path, &name, |path| walk(part, value, path, is_marked, found));
                }
            }
        }
        _ => {}
    }
}

fn below(path: &mut String, name: &str, walk: impl FnOnce(&mut String)) {
    let here = path.len();
    path.push('/');
    path.push_str(name);
    walk(path);
    path.truncate(here);
}

fn list<'a>(schema: &'a Map<String, Value>, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{places, texts};

    #[test]
    fn secrets_are_found_at_any_depth() {
        let secret = json!({"type": "string", "writeOnly": true});
        let schema = json!({"properties": {
            "plain": {"type": "string"},
            "password": secret,
            "maybe": {"anyOf": [secret, {"type": "null"}]},
            "list": {"items": secret},
            "pair": {"prefixItems": [{}, secret]},
            "by/name": {"additionalProperties": {"properties": {"key": secret}}},
            "whole": {"type": "object", "writeOnly": true}}});
        let parameters = json!({"plain": "p", "password": "s1", "maybe": null, "list": ["s2", "s3"],
            "pair": ["p", "s4"], "by/name": {"~": {"key": "s5", "other": "p"}}, "whole": {"x": "s6", "n": [77, true]}});
        assert_eq!(
            places(&schema, &parameters),
            ["/by~1name/~0/key", "/list/0", "/list/1", "/pair/1", "/password", "/whole"]
        );
        let mut found = texts(&schema, &parameters);
        found.sort();
        assert_eq!(found, ["77", "s1", "s2", "s3", "s4", "s5", "s6"]);
        let maybe = places(&schema, &json!({"maybe": "s"}));
        assert_eq!(maybe, ["/maybe"]);
    }

    #[test]
    fn too_many_secrets_hide_the_whole_document() {
        let schema = json!({"properties": {"list": {"items": {"writeOnly": true}}}});
        let parameters = json!({"list": vec!["s"; 2_000]});
        assert_eq!(places(&schema, &parameters), [""]);
    }
}
