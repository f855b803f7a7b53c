//! A strict reader: it reports, by path, everything on which JSON parsers disagree.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::model::violation::{Violations, clipped, push_name};

/// The maximum depth of nesting. Every JSON library supports this depth; many fail soon beyond it.
const DEPTH_MAX: usize = 100;
/// The number of times that reading continues behind a number that JSON does not have.
const PASSES: usize = 8;

/// A document and its faults.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// The value; `None` if the text is not JSON. Faulty parts are null or missing.
    pub(crate) value: Option<Value>,
    /// Duplicate keys, numbers that JSON or a float cannot represent, and values that are nested
    /// too deep.
    pub(crate) faults: Violations,
    /// The reason why the text is not JSON, and the path of the value that could not be read.
    pub(crate) syntax: Option<(String, serde_json::Error)>,
}

pub(crate) fn read(text: &str) -> Reading {
    let mut numbers = Violations::default();
    let mut patched: Option<String> = None;
    for _ in 0..PASSES {
        let current = patched.as_deref().unwrap_or(text);
        let mut state = State { path: String::new(), faults: std::mem::take(&mut numbers) };
        let before = state.faults.len();
        let mut deserializer = serde_json::Deserializer::from_str(current);
        let result = Seed { state: &mut state, depth: 0 }
            .deserialize(&mut deserializer)
            .and_then(|value| deserializer.end().map(|()| value));
        let error = match result {
            Ok(value) => {
                return Reading { value: Some(value), faults: state.faults, syntax: None };
            }
            Err(error) => error,
        };
        let Some((range, message)) = not_a_number(current, &error) else {
            return Reading {
                value: None,
                faults: state.faults,
                syntax: Some((state.path, error)),
            };
        };
        // The next pass reports the earlier faults again.
        state.faults.truncate(before);
        state.faults.push(&state.path, message);
        numbers = state.faults;
        let mut next = current.to_owned();
        next.replace_range(range, "null");
        patched = Some(next);
    }
    Reading { faults: numbers, ..Reading::default() }
}

/// Returns the position of the word at which reading ended, if it is another language's notation
/// for a number that JSON does not have (`NaN`, `Infinity`).
fn not_a_number(text: &str, error: &serde_json::Error) -> Option<(std::ops::Range<usize>, String)> {
    let line: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let at = (line + error.column()).saturating_sub(1).min(text.len());
    let bytes = text.as_bytes();
    let of_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let start = at - bytes[..at].iter().rev().take_while(|byte| of_word(byte)).count();
    let end = at + bytes[at..].iter().take_while(|byte| of_word(byte)).count();
    let word = &text[start..end];
    let bare = word.trim_start_matches(['+', '-']);
    let message = if ["nan", "inf", "infinity"].contains(&bare.to_ascii_lowercase().as_str()) {
        format!("must be a JSON number (got {word})")
    } else if bare.starts_with(|c: char| c.is_ascii_digit())
        && bare.parse::<f64>().is_ok_and(f64::is_infinite)
    {
        format!("must be between -1.8e308 and 1.8e308 (got {})", clipped(word, 40))
    } else {
        return None;
    };
    Some((start..end, message))
}

struct State {
    /// The path of the value that is being read, or that could not be read.
    path: String,
    faults: Violations,
}

struct Seed<'a> {
    state: &'a mut State,
    depth: usize,
}

impl Seed<'_> {
    fn too_deep(&mut self) -> bool {
        let too_deep = self.depth >= DEPTH_MAX;
        if too_deep {
            let message = format!("must be nested at most {DEPTH_MAX} levels deep");
            self.state.faults.push(&self.state.path, message);
        }
        too_deep
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<Value, A::Error> {
        if self.too_deep() {
            while values.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        }
        let here = self.state.path.len();
        let mut list = Vec::new();
        loop {
            use fmt::Write;
            let _ = write!(self.state.path, "[{}]", list.len());
            let seed = Seed { state: self.state, depth: self.depth + 1 };
            let value = values.next_element_seed(seed)?;
            self.state.path.truncate(here);
            match value {
                Some(value) => list.push(value),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        if self.too_deep() {
            while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        }
        let here = self.state.path.len();
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            push_name(&mut self.state.path, &name);
            let seed = Seed { state: self.state, depth: self.depth + 1 };
            let value = entries.next_value_seed(seed)?;
            if map.insert(name, value).is_some() {
                self.state.faults.push(&self.state.path, "must be given at most once");
            }
            self.state.path.truncate(here);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::model::error::{Error, ErrorKind};

    fn faults(text: &str) -> String {
        let reading = read(text);
        assert!(reading.syntax.is_none(), "{reading:?}");
        if reading.faults.is_empty() {
            return String::new();
        }
        Error::of_violations(ErrorKind::InvalidParameters, "", "document", reading.faults)
            .to_string()
    }

    #[test]
    fn values_that_every_parser_accepts_are_accepted() {
        for text in [
            "{}",
            "null",
            "[1,-2,3.5e3,true,\"ä\"]",
            r#"{"a":{"b":1},"c":{"b":18446744073709551615}}"#,
        ] {
            let reading = read(text);
            assert!(reading.faults.is_empty() && reading.syntax.is_none(), "{reading:?}");
            assert_eq!(reading.value, serde_json::from_str(text).ok());
        }
    }

    #[test]
    fn values_on_which_parsers_disagree_are_refused() {
        let text = "{\"a\":1,\n \"x\":[{\"b\":-Infinity,\"c\":NaN}], \"\\u0061\":2, \"y\":1e999, \"z\": [-1e400]}";
        let all = faults(text);
        for part in [
            "a must be given at most once",
            "x[0].b must be a JSON number (got -Infinity)",
            "x[0].c must be a JSON number (got NaN)",
            "y must be between -1.8e308 and 1.8e308 (got 1e999)",
            "z[0] must be between -1.8e308 and 1.8e308 (got -1e400)",
        ] {
            assert_eq!(all.matches(part).count(), 1, "{part:?} in {all:?}");
        }
    }

    #[test]
    fn values_nested_too_deep_are_refused() {
        let deep = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(faults(&deep(99)), "");
        for depth in [100, 1_000_000] {
            let all = faults(&deep(depth));
            assert!(
                all.starts_with("a[0][0]")
                    && all.ends_with("must be nested at most 100 levels deep"),
                "{all}"
            );
            assert!(all.len() < 1_000, "{all}");
        }
    }

    #[test]
    fn texts_that_are_not_json_are_refused() {
        for text in
            ["", "{", "nul", "{'a':1}", "1 2", "NaNo", "[1e9x]", r#""\ud800""#, "infinitely"]
        {
            let reading = read(text);
            assert!(reading.value.is_none() && reading.syntax.is_some(), "{text}: {reading:?}");
        }
    }
}
