//! Schemas without references, identifiers and descriptions, as validation needs them.
//!
//! References are followed here and nowhere else, which bounds the cost of a schema. A recursive
//! reference is followed once. Values below that are left to the executor.

use serde_json::{Map, Value};

/// The largest number of parts of a schema, with its references followed.
const PARTS_MAX: usize = 10_000;
/// The deepest nesting of parts.
const DEPTH_MAX: usize = 64;

/// Keywords whose value is copied.
const PLAIN: [&str; 21] = [
    "type",
    "enum",
    "const",
    "required",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minContains",
    "maxContains",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "writeOnly",
];
/// Keywords whose value is a schema.
const ONE: [&str; 10] = [
    "items",
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is a list of schemas.
const MANY: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is an object of schemas.
const NAMED: [&str; 3] = ["properties", "patternProperties", "dependentSchemas"];

/// Formats that are checked. Others are hints for forms.
const FORMATS: [&str; 12] = [
    "date",
    "time",
    "date-time",
    "duration",
    "uuid",
    "decimal",
    "path",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
];

/// Bounds of dates. The executor checks those of times and durations, which do not sort as texts.
const DATES: [&str; 4] =
    ["formatMinimum", "formatMaximum", "formatExclusiveMinimum", "formatExclusiveMaximum"];

/// A keyword for integers. Unlike `integer` itself, it refuses `3.0`, which is not an integer in
/// Python.
pub(super) const WHOLE: &str = "tinpot:whole";

/// Replaces each reference of a schema by its target and drops what validation does not need.
pub(super) fn dereference(schema: &Value) -> Result<Value, String> {
    Dereferencer { root: schema, parts: 0, references: Vec::new() }.part(schema, 0)
}

struct Dereferencer<'a> {
    root: &'a Value,
    parts: usize,
    /// The references that are being followed.
    references: Vec<&'a str>,
}

impl<'a> Dereferencer<'a> {
    fn part(&mut self, schema: &'a Value, depth: usize) -> Result<Value, String> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(format!(
                "schema must have at most {PARTS_MAX} parts with its references followed"
            ));
        }
        if depth > DEPTH_MAX {
            return Err(format!("schema must be nested at most {DEPTH_MAX} levels deep"));
        }
        let Value::Object(schema) = schema else {
            return match schema {
                Value::Bool(_) => Ok(schema.clone()),
                _ => Err("a schema must be an object, true or false".to_owned()),
            };
        };
        let mut out = Map::new();
        for (keyword, value) in schema {
            let keyword = keyword.as_str();
            if PLAIN.contains(&keyword) {
                out.insert(keyword.to_owned(), value.clone());
            } else if ONE.contains(&keyword) && !value.is_array() {
                out.insert(keyword.to_owned(), self.part(value, depth + 1)?);
            } else if MANY.contains(&keyword) || keyword == "items" {
                self.many(keyword, value, depth, &mut out)?;
            } else if NAMED.contains(&keyword) {
                let Value::Object(named) = value else {
                    return Err(format!("{keyword} must be an object"));
                };
                let mut parts = Map::new();
                for (name, value) in named {
                    parts.insert(name.clone(), self.part(value, depth + 1)?);
                }
                out.insert(keyword.to_owned(), Value::Object(parts));
            }
        }
        // The form of lists of schemas in drafts before 2020-12.
        if schema.get("items").is_some_and(Value::is_array)
            && let Some(further) = schema.get("additionalItems")
        {
            out.insert("items".to_owned(), self.part(further, depth + 1)?);
        }
        format(schema, &mut out);
        if schema.get("format").is_some_and(|format| format == "date") {
            for (keyword, bound) in
                schema.iter().filter(|(keyword, _)| DATES.contains(&&***keyword))
            {
                out.insert(keyword.clone(), bound.clone());
            }
        }
        if has_type(schema, "integer") && !has_type(schema, "number") {
            out.insert(WHOLE.to_owned(), Value::Bool(true));
        }
        if ["$dynamicRef", "$recursiveRef"].iter().any(|keyword| schema.contains_key(*keyword)) {
            return Err("$dynamicRef and $recursiveRef are not supported; use $ref".to_owned());
        }
        match schema.get("$ref") {
            Some(reference) => self.reference(reference, out, depth),
            None => Ok(Value::Object(out)),
        }
    }

    fn many(
        &mut self,
        keyword: &str,
        value: &'a Value,
        depth: usize,
        out: &mut Map<String, Value>,
    ) -> Result<(), String> {
        let Value::Array(parts) = value else { return Err(format!("{keyword} must be a list")) };
        let parts: Result<Vec<Value>, String> =
            parts.iter().map(|part| self.part(part, depth + 1)).collect();
        let keyword = if keyword == "items" { "prefixItems" } else { keyword };
        out.insert(keyword.to_owned(), Value::Array(parts?));
        Ok(())
    }

    /// Combines the target of a reference with the keywords next to the reference.
    fn reference(
        &mut self,
        reference: &'a Value,
        mut siblings: Map<String, Value>,
        depth: usize,
    ) -> Result<Value, String> {
        let reference = reference.as_str().ok_or("$ref must be text")?;
        if self.references.contains(&reference) {
            return Ok(if siblings.is_empty() {
                Value::Bool(true)
            } else {
                Value::Object(siblings)
            });
        }
        let pointer =
            reference.strip_prefix('#').filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let target = pointer.and_then(|pointer| self.root.pointer(pointer)).ok_or_else(|| {
            let reference = crate::model::violation::clipped(reference, 200);
            format!(
                "$ref must point to a part of the schema, such as #/$defs/name (got {reference:?})"
            )
        })?;
        self.references.push(reference);
        let target = self.part(target, depth + 1);
        self.references.pop();
        let target = target?;
        if siblings.is_empty() {
            return Ok(target);
        }
        match siblings.entry("allOf").or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(parts) => parts.push(target),
            _ => return Err("allOf must be a list".to_owned()),
        }
        Ok(Value::Object(siblings))
    }
}

/// Keeps the formats that are checked, with base64 as one of them.
fn format(schema: &Map<String, Value>, out: &mut Map<String, Value>) {
    let format = match schema.get("format").and_then(Value::as_str) {
        _ if schema.get("contentEncoding").and_then(Value::as_str) == Some("base64") => "base64",
        Some("binary") => "base64",
        Some(format) if FORMATS.contains(&format) => format,
        _ => return,
    };
    out.insert("format".to_owned(), format.into());
}

fn has_type(schema: &Map<String, Value>, name: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(only)) => only == name,
        Some(Value::Array(names)) => names.iter().any(|other| other == name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::dereference;

    #[test]
    fn references_are_followed_and_recursive_ones_once() {
        let schema = json!({"$schema": "x", "title": "t", "properties": {"a": {"$ref": "#/$defs/node", "description": "d"}},
            "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "n": {"$ref": "#/$defs/n", "minimum": 1}}},
                "n": {"type": "number"}}});
        let expected = json!({"properties": {"a": {"type": "object", "properties": {
            "next": true, "n": {"minimum": 1, "allOf": [{"type": "number"}]}}}}});
        assert_eq!(dereference(&schema), Ok(expected));
    }

    #[test]
    fn a_schema_that_grows_without_bound_is_refused() {
        let mut defs = serde_json::Map::new();
        for level in 0..30 {
            let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
            defs.insert(format!("d{level}"), json!({"anyOf": [next, next]}));
        }
        defs.insert("d30".to_owned(), Value::Bool(true));
        let error =
            dereference(&json!({"$ref": "#/$defs/d0", "$defs": defs})).expect_err("too large");
        assert!(error.contains("at most 10000 parts"), "{error}");
        let deep = (0..100).fold(json!({}), |inner, _| json!({"items": inner}));
        assert!(dereference(&deep).expect_err("too deep").contains("at most 64 levels"));
    }

    #[test]
    fn references_to_other_documents_are_refused() {
        for reference in ["#/nowhere", "https://example.org/x", "other.json", "#anchor"] {
            let error = dereference(&json!({"$ref": reference})).expect_err(reference);
            assert!(
                error.contains(reference) && error.contains("must point to a part of the schema"),
                "{error}"
            );
        }
        assert!(dereference(&json!({"properties": {"x": 5}})).is_err());
    }
}
