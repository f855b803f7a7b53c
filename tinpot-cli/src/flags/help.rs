//! The help text of a parameter.

use serde_json::Value;
use tinpot_core::action::Parameter;

use super::value::Kind;

/// Returns the description of a parameter, and the values it takes.
pub(super) fn of(parameter: &Parameter, kind: &Kind) -> String {
    let schema = &parameter.schema;
    let text =
        |name: &str| schema.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut notes = Vec::new();
    if parameter.required {
        notes.push("required".to_owned());
    }
    notes.extend(kind.note());
    notes.extend(bounds(schema));
    if let Some(pattern) = text("pattern") {
        notes.push(format!("pattern: {pattern}"));
    }
    match &parameter.default {
        None => {}
        Some(Value::String(text)) if text.is_empty() => notes.push("default: \"\"".to_owned()),
        Some(Value::String(text)) => notes.push(format!("default: {}", one_line(text))),
        Some(default) => notes.push(format!("default: {}", one_line(&default.to_string()))),
    }
    if let Some(example) = schema.get("examples").and_then(|examples| examples.get(0)) {
        let example = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        notes.push(format!("example: {}", one_line(&example)));
    }
    let mut out = one_line(text("description").or(text("title")).unwrap_or_default());
    for note in notes {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&format!("[{note}]"));
    }
    out
}

/// The longest default or example to show, in characters.
const SHOWN_CHARS: usize = 120;

fn one_line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = crate::output::clean(&text, false);
    match text.char_indices().nth(SHOWN_CHARS * 4) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn bounds(schema: &Value) -> Option<String> {
    let plain = |name: &str| {
        let value = schema.get(name)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let least = plain("minimum").or_else(|| plain("formatMinimum")).map(|n| format!("from {n}"));
    let least = least.or_else(|| {
        plain("exclusiveMinimum")
            .or_else(|| plain("formatExclusiveMinimum"))
            .map(|n| format!("above {n}"))
    });
    let most = plain("maximum").or_else(|| plain("formatMaximum")).map(|n| format!("to {n}"));
    let most = most.or_else(|| {
        plain("exclusiveMaximum")
            .or_else(|| plain("formatExclusiveMaximum"))
            .map(|n| format!("below {n}"))
    });
    let length = match (plain("minLength"), plain("maxLength")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most} characters")),
        // Every path and name has a character; that needs no note.
        (Some(least), None) if least == "1" => None,
        (Some(least), None) => Some(format!("at least {least} characters")),
        (None, Some(most)) => Some(format!("at most {most} characters")),
        (None, None) => None,
    };
    let items = match (plain("minItems"), plain("maxItems")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most} times")),
        (Some(least), None) => Some(format!("at least {least} times")),
        (None, Some(most)) => Some(format!("at most {most} times")),
        (None, None) => None,
    };
    let step = plain("multipleOf").map(|n| format!("a multiple of {n}"));
    let range = least.into_iter().chain(most).collect::<Vec<_>>().join(" ");
    let range = (!range.is_empty()).then_some(range);
    let all: Vec<String> = range.into_iter().chain(length).chain(items).chain(step).collect();
    (!all.is_empty()).then(|| all.join(", "))
}
