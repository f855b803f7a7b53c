//! Rules of the whole document, which would otherwise be repeated at each of a hundred places.

use serde_json::{Value, json};
use tinpot_core::Right;

use crate::router::{Need, Route, is_about_apps, is_about_users, routes};

/// The errors of every operation.
const ALWAYS: &[(&str, &str)] = &[
    ("422", "The request is invalid; `detail` says why."),
    ("429", "Too many requests: retry after the seconds in `Retry-After`."),
    ("500", "An internal error, which the server logged."),
    ("503", "Unavailable: retry after the seconds in `Retry-After`."),
];

/// The errors of operations that change something, in addition to these.
const CHANGES: &[(&str, &str)] =
    &[("403", "The request comes from a page of another site, or the caller may not do this.")];

/// The errors of operations with a body, in addition to these.
const WITH_BODY: &[(&str, &str)] = &[
    ("400", "The body is not JSON."),
    ("413", "The body is too large."),
    ("415", "The content type is not JSON."),
    ("507", "The store is full."),
];

/// The errors of submissions, in addition to these.
const SUBMITTED: &[(&str, &str)] = &[("409", "The idempotency key was used for something else.")];

/// The errors of operations about users, in addition to those of all.
const ABOUT_USERS: &[(&str, &str)] = &[
    ("404", "The server has no users of its own, or a right is missing."),
    ("507", "The store is full."),
];

/// The errors of operations about apps, in addition to those of all.
const ABOUT_APPS: &[(&str, &str)] = &[
    ("404", "The server keeps no apps, there is no such object, or a right is missing."),
    ("507", "The store is full."),
];

pub(super) fn completed(mut document: Value) -> Value {
    name_unsigned(&mut document);
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        // The router marks a parameter that takes several segments; OpenAPI has no such mark.
        let marked: Vec<String> =
            paths.keys().filter(|path| path.contains("{*")).cloned().collect();
        for path in marked {
            if let Some(operations) = paths.remove(&path) {
                paths.insert(path.replace("{*", "{"), operations);
            }
        }
    }
    if let Some(schemas) =
        document.pointer_mut("/components/schemas").and_then(Value::as_object_mut)
    {
        for schema in schemas.values_mut() {
            any_of_with_null(schema);
            // Schemas that refuse unknown fields are those of requests, which may omit fields.
            if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
                require_nullable(schema);
            }
        }
    }
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        for (path, method, operation) in paths.iter_mut().flat_map(|(path, operations)| {
            let operations = operations.as_object_mut().into_iter().flatten();
            operations.map(move |(method, operation)| (path, method, operation))
        }) {
            add_rights(path, method, operation);
            // Handlers of different resources have the same names.
            if let (Some(tag), Some(name)) =
                (operation["tags"][0].as_str(), operation["operationId"].as_str())
            {
                operation["operationId"] = format!("{tag}_{name}").into();
            }
            name_body(operation);
            add_errors(path, method, operation);
        }
    }
    document
}

/// Renames the formats of unsigned integers, which utoipa gives the formats of signed ones.
fn name_unsigned(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let unsigned = object.get("minimum").and_then(Value::as_u64).is_some();
            if unsigned && let Some(Value::String(format)) = object.get_mut("format") {
                match format.as_str() {
                    "int32" => "uint32".clone_into(format),
                    "int64" => "uint64".clone_into(format),
                    _ => {}
                }
            }
            object.values_mut().for_each(name_unsigned);
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(name_unsigned),
        _ => {}
    }
}

/// Replaces `oneOf` by `anyOf` for nullable schemas: null also matches the schema of any JSON
/// value, so exactly one would never match it.
fn any_of_with_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let nullable = object
                .get("oneOf")
                .and_then(Value::as_array)
                .is_some_and(|schemas| schemas.iter().any(|schema| schema["type"] == "null"));
            if nullable && let Some(schemas) = object.remove("oneOf") {
                object.insert("anyOf".to_owned(), schemas);
            }
            object.values_mut().for_each(any_of_with_null);
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(any_of_with_null),
        _ => {}
    }
}

/// Makes nullable fields required. A field that is null if it has no value is always present; one
/// that may be absent is never null.
fn require_nullable(schema: &mut Value) {
    for part in ["oneOf", "allOf", "anyOf"] {
        for schema in schema.get_mut(part).and_then(Value::as_array_mut).into_iter().flatten() {
            require_nullable(schema);
        }
    }
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    let mut nullable = Vec::new();
    for (name, property) in properties {
        require_nullable(property);
        if is_nullable(property) {
            nullable.push(Value::from(name.clone()));
        }
    }
    if nullable.is_empty() {
        return;
    }
    if let Some(required) =
        schema.as_object_mut().map(|schema| schema.entry("required").or_insert(json!([])))
        && let Some(required) = required.as_array_mut()
    {
        nullable.retain(|name| !required.contains(name));
        required.extend(nullable);
    }
}

fn is_nullable(schema: &Value) -> bool {
    let null = Value::from("null");
    match &schema["type"] {
        Value::Array(types) => types.contains(&null),
        kind => {
            *kind == null
                || schema["anyOf"].as_array().is_some_and(|schemas| schemas.iter().any(is_nullable))
        }
    }
}

/// Removes null from the schema of a body: an optional body may be absent, and is never null.
fn name_body(operation: &mut Value) {
    let schema = operation.pointer_mut("/requestBody/content/application~1json/schema");
    let Some(schema) = schema else { return };
    let shape = ["anyOf", "oneOf"].iter().find_map(|part| {
        schema[*part].as_array()?.iter().find(|shape| shape.get("$ref").is_some()).cloned()
    });
    if let Some(shape) = shape {
        *schema = shape;
    }
}

/// Names the rights that an operation needs, and the errors without them.
fn add_rights(path: &str, method: &str, operation: &mut Value) {
    let is =
        |route: &&Route| route.path == path && route.method.as_str().eq_ignore_ascii_case(method);
    let Some(route) = routes().find(is).filter(|route| route.need != Need::Nothing) else {
        return;
    };
    let rights: &[Right] = match route.need {
        Need::Rights(rights) => rights,
        Need::Identity | Need::Nothing => &[],
    };
    let names: Vec<&str> = rights.iter().map(|right| right.as_str()).collect();
    operation["x-rights"] = names.into();
    operation["responses"]["401"] = json!({ "description": "The request is not authenticated." });
}

fn add_errors(path: &str, method: &str, operation: &mut Value) {
    let has_body = operation.get("requestBody").is_some();
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    let changes = if method == "get" { &[] } else { CHANGES };
    let extra = if has_body { WITH_BODY } else { &[] };
    let particular = match is_about_users(path) {
        true => ABOUT_USERS,
        false if is_about_apps(path) => ABOUT_APPS,
        false if has_body && !path.ends_with("/join") => SUBMITTED,
        false => &[],
    };
    let extra = extra.iter().chain(particular);
    for (status, description) in ALWAYS.iter().chain(changes).chain(extra) {
        responses.entry(*status).or_insert_with(|| json!({ "description": description }));
    }
    for (status, response) in responses {
        if status == "503" || status == "429" {
            response["headers"] = json!({ "Retry-After": { "description": "seconds", "required": true, "schema": { "type": "integer", "minimum": 0 } } });
        }
        if status.starts_with(['4', '5']) && response.get("content").is_none() {
            response["content"] = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } });
        }
    }
}
