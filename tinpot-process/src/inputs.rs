//! Inputs as environment variables, in the format of MiniTower's runner.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The longest variable with its name: the kernel refuses a longer one.
const VARIABLE_BYTES: usize = 128 * 1024 - 2;
/// The size of all variables together: the kernel takes at least 2 MiB with the arguments, and the
/// environment of the worker needs room, too.
const ALL_BYTES: usize = 1024 * 1024;
/// Names that change what the program is, or how it is found.
const RESERVED: [&str; 5] = ["PATH", "HOME", "IFS", "ENV", "BASH_ENV"];
/// The beginnings of such names.
const RESERVED_BEGIN: [&str; 4] = ["LD_", "DYLD_", "PYTHON", "TINPOT_"];

/// The variables of an attempt, and why others are only in the file of the inputs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inputs {
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) warnings: Vec<String>,
}

impl Inputs {
    /// Formats inputs, which are sorted by name.
    pub(crate) fn of(input: &Map<String, Value>) -> Self {
        let mut inputs = Self::default();
        let mut bytes = 0;
        for (name, value) in input {
            let text = variable(value);
            let size = name.len() + text.len();
            let why = if is_reserved(name) {
                "its name is reserved".to_owned()
            } else if name.is_empty() || name.contains(['=', '\0']) {
                "a variable cannot have its name".to_owned()
            } else if text.contains('\0') {
                "a variable cannot contain NUL".to_owned()
            } else if size > VARIABLE_BYTES {
                format!(
                    "a variable with its name must have at most {VARIABLE_BYTES} bytes (got {size})"
                )
            } else if bytes + size > ALL_BYTES {
                format!("all variables must have at most {ALL_BYTES} bytes")
            } else {
                bytes += size;
                inputs.variables.push((name.clone(), text));
                continue;
            };
            inputs.warnings.push(format!(
                "the input {name:?} is in the file TINPOT_INPUT only, and not in a variable: {why}"
            ));
        }
        inputs
    }
}

/// Returns true for a variable that an input must not set.
fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || RESERVED_BEGIN.iter().any(|begin| name.starts_with(begin))
}

/// Returns the text of a variable with this value.
fn variable(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => {
            let mut text = String::new();
            write_json(other, &mut text);
            text
        }
    }
}

/// Writes compact JSON as Go's `encoding/json` does: with sorted keys, numbers as 64-bit floats,
/// and characters of HTML escaped.
fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&float(number.as_f64().unwrap_or_default())),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (at, (key, value)) in entries.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push(':');
                write_json(value, out);
            }
            out.push('}');
        }
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                // Cannot fail: it writes to memory.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Returns the shortest text of a number: with an exponent from 1e21 up, and below 1e-6.
fn float(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    if size >= 1.0 { text.replacen('e', "e+", 1) } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ALL_BYTES, Inputs, VARIABLE_BYTES};

    fn inputs(input: Value) -> Inputs {
        let Value::Object(input) = input else { panic!("an object") };
        Inputs::of(&input)
    }

    /// The values of MiniTower's own tests, and the corners of Go's formats.
    #[test]
    fn values_are_formatted_as_by_minitower() {
        for (value, expected) in [
            (r#""text""#, "text"),
            (r#""""#, ""),
            (r#""a\n\"b\" <ü>""#, "a\n\"b\" <ü>"),
            ("null", ""),
            ("true", "true"),
            ("false", "false"),
            ("10", "10"),
            ("-3", "-3"),
            ("0", "0"),
            ("-0.0", "-0"),
            ("0.1", "0.1"),
            ("3.0", "3"),
            ("3.5", "3.5"),
            ("1e20", "100000000000000000000"),
            ("123456789012345678901", "123456789012345680000"),
            ("1e21", "1e+21"),
            ("-1.5e300", "-1.5e+300"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("-2.5e-10", "-2.5e-10"),
            ("5e-324", "5e-324"),
            ("9007199254740993", "9007199254740992"),
            ("18446744073709551615", "18446744073709552000"),
            ("[]", "[]"),
            ("{}", "{}"),
            (r#"[1, 2.0, "a", null, true]"#, r#"[1,2,"a",null,true]"#),
            (r#"{"b": 1, "a": {"d": [], "c": "x"}}"#, r#"{"a":{"c":"x","d":[]},"b":1}"#),
            (r#"["<a>&\u2028\u2029"]"#, r#"["\u003ca\u003e\u0026\u2028\u2029"]"#),
            (r#"["\"\\\n\r\t\b\f\u0001\u007fü/"]"#, "[\"\\\"\\\\\\n\\r\\t\\b\\f\\u0001\u{7f}ü/\"]"),
        ] {
            let value: Value = serde_json::from_str(value).expect("JSON");
            let found = inputs(json!({ "name": value }));
            assert_eq!(found.variables, [("name".to_owned(), expected.to_owned())], "{value}");
            assert_eq!(found.warnings, Vec::<String>::new());
        }
    }

    #[test]
    fn names_and_values_that_no_variable_can_have_are_in_the_file_only() {
        for (name, value, part) in [
            ("", json!("x"), "its name"),
            ("a=b", json!("x"), "its name"),
            ("a\0b", json!("x"), "its name"),
            ("nul", json!("a\0b"), "NUL"),
            ("long", json!("x".repeat(VARIABLE_BYTES)), "at most 131070 bytes"),
            ("PATH", json!("x"), "reserved"),
            ("HOME", json!("x"), "reserved"),
            ("IFS", json!("x"), "reserved"),
            ("ENV", json!("x"), "reserved"),
            ("BASH_ENV", json!("x"), "reserved"),
            ("LD_PRELOAD", json!("x"), "reserved"),
            ("DYLD_INSERT_LIBRARIES", json!("x"), "reserved"),
            ("PYTHONPATH", json!("x"), "reserved"),
            ("TINPOT_RESULT", json!("x"), "reserved"),
        ] {
            let found = inputs(json!({ name: value }));
            assert_eq!(found.variables, [], "{name:?}");
            assert!(found.warnings[0].contains(part), "{:?}", found.warnings);
        }
        for name in ["path", "LDX", "PYLON", "a b", "1", "ü", "MINITOWER_INPUT"] {
            assert_eq!(inputs(json!({ name: "x" })).variables.len(), 1, "{name:?}");
        }
    }

    #[test]
    fn variables_fit_into_an_environment() {
        let many: serde_json::Map<_, _> =
            (0..20).map(|at| (format!("input{at:02}"), json!("x".repeat(100_000)))).collect();
        let found = Inputs::of(&many);
        let bytes: usize = found.variables.iter().map(|(name, text)| name.len() + text.len()).sum();
        assert!(bytes <= ALL_BYTES && found.variables.len() == 10, "{bytes}");
        assert_eq!(found.warnings.len(), 10);
    }
}
