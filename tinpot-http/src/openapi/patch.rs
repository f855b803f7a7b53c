//! What holds for the whole document, and would else stand at each of a hundred places.

use serde_json::{Value, json};

/// Shapes that are sent to the server: what may be null there may be left out as well.
const SENT: &[&str] = &["Options", "Rerun", "Submission"];

/// What any request may be answered.
const ALWAYS: &[(&str, &str)] = &[
    ("422", "Something in the request does not fit; `detail` names it."),
    ("500", "An internal error, which the server has logged."),
    ("503", "Not now: `Retry-After` says when to try again."),
];

/// What besides these can happen to whatever changes something.
const CHANGES: &[(&str, &str)] = &[("403", "A page of another site asks.")];

/// What besides these can happen to a submission.
const SUBMITTED: &[(&str, &str)] = &[
    ("400", "The body is not JSON."),
    ("409", "The idempotency key was used for something else."),
    ("413", "The body is too large."),
    ("415", "The body says that it is not JSON."),
    ("507", "The store is full."),
];

pub(super) fn completed(mut document: Value) -> Value {
    name_unsigned(&mut document);
    if let Some(schemas) =
        document.pointer_mut("/components/schemas").and_then(Value::as_object_mut)
    {
        for (name, schema) in schemas {
            any_of_with_null(schema);
            if !SENT.contains(&name.as_str()) {
                require_nullable(schema);
            }
            if SENT.contains(&name.as_str()) {
                // A mistyped name is refused.
                schema["additionalProperties"] = false.into();
            }
        }
    }
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        let operations = paths.values_mut().filter_map(Value::as_object_mut);
        for (method, operation) in operations.flatten() {
            // The names of handlers, which are the same in several files.
            if let (Some(tag), Some(name)) =
                (operation["tags"][0].as_str(), operation["operationId"].as_str())
            {
                operation["operationId"] = format!("{tag}_{name}").into();
            }
            name_body(operation);
            add_errors(method, operation);
        }
    }
    document
}

/// What is never below 0 has a bit more than the format of signed numbers says.
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

/// Null is any JSON value as well, so that it would be *two* of a shape or null.
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

/// What is null when there is nothing is always there; what may be left out is never null.
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

/// A body may be left out, which is not the same as being null.
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

fn add_errors(method: &str, operation: &mut Value) {
    let submitted = operation.get("requestBody").is_some();
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    let changes = if method == "get" { &[] } else { CHANGES };
    let extra = if submitted { SUBMITTED } else { &[] };
    for (status, description) in ALWAYS.iter().chain(changes).chain(extra) {
        responses.entry(*status).or_insert_with(|| json!({ "description": description }));
    }
    for (status, response) in responses {
        if status == "503" {
            response["headers"] = json!({ "Retry-After": { "description": "seconds", "required": true, "schema": { "type": "integer", "minimum": 0 } } });
        }
        if status.starts_with(['4', '5']) && response.get("content").is_none() {
            response["content"] = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } });
        }
    }
}
