//! Values as JSON, without loss.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::obj::Obj;
use super::{DEPTH_MAX, ErrorCode, ErrorValue, Flyweight, Var};
use crate::fault::Fault;

/// The largest integer that JavaScript keeps.
const EXACT: i64 = (1 << 53) - 1;

impl Var {
    /// Writes the value as JSON.
    ///
    /// # Errors
    /// A value that is nested deeper than [`DEPTH_MAX`].
    pub fn to_json(&self) -> Result<String, Fault> {
        let mut out = String::new();
        write(self, &mut out, 1)?;
        Ok(out)
    }

    /// Writes values as an array of JSON.
    ///
    /// # Errors
    /// Those of [`to_json`](Self::to_json).
    pub fn list_to_json(values: &[Var]) -> Result<String, Fault> {
        let mut out = String::new();
        write_list(values, &mut out, 0)?;
        Ok(out)
    }

    /// Reads a value from JSON.
    ///
    /// # Errors
    /// Text that is not JSON, a value nested deeper than [`DEPTH_MAX`], an integer beyond 64 bits, a
    /// repeated key, and a key that begins with `$` and is no mark of a value.
    pub fn from_json(text: &str) -> Result<Self, Fault> {
        let raw = serde_json::from_str(text)
            .map_err(|error| Fault::new(format!("must be JSON: {error}")))?;
        read(raw, 1)
    }
}

fn too_deep() -> Fault {
    Fault::new(format!("a value must be nested at most {DEPTH_MAX} deep"))
}

fn quoted(text: &str, out: &mut String) {
    // A text has a form in JSON, and a string can be written to.
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn joined<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut String,
    mut each: impl FnMut(T, &mut String) -> Result<(), Fault>,
) -> Result<(), Fault> {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        each(item, out)?;
    }
    Ok(())
}

fn marked(mark: &str, text: &str, out: &mut String) {
    out.push_str("{\"");
    out.push_str(mark);
    out.push_str("\":");
    quoted(text, out);
    out.push('}');
}

fn write_list(values: &[Var], out: &mut String, depth: usize) -> Result<(), Fault> {
    out.push('[');
    joined(values, out, |value, out| write(value, out, depth + 1))?;
    out.push(']');
    Ok(())
}

fn write(value: &Var, out: &mut String, depth: usize) -> Result<(), Fault> {
    if depth > DEPTH_MAX {
        return Err(too_deep());
    }
    match value {
        Var::None => out.push_str("null"),
        Var::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Var::Int(value) if (-EXACT..=EXACT).contains(value) => out.push_str(&value.to_string()),
        Var::Int(value) => marked("$int", &value.to_string(), out),
        // This form always has a point or an exponent, and is read back as the same number.
        Var::Float(value) if value.is_finite() => out.push_str(&format!("{value:?}")),
        Var::Float(value) => {
            let name = match value {
                value if value.is_nan() => "nan",
                value if *value > 0.0 => "inf",
                _ => "-inf",
            };
            marked("$float", name, out);
        }
        Var::Str(text) => quoted(text, out),
        Var::Obj(obj) => marked("$obj", &obj.to_string(), out),
        Var::Anonymous(obj) => marked("$anon", &obj.to_string(), out),
        Var::Sym(name) => marked("$sym", name, out),
        Var::Binary(bytes) => marked("$binary", &STANDARD.encode(bytes), out),
        Var::List(values) => write_list(values, out, depth)?,
        Var::Map(pairs) => write_map(pairs, out, depth)?,
        Var::Err(error) => write_error(error, out, depth)?,
        Var::Flyweight(flyweight) => write_flyweight(flyweight, out, depth)?,
    }
    Ok(())
}

fn write_map(pairs: &[(Var, Var)], out: &mut String, depth: usize) -> Result<(), Fault> {
    let mut seen = HashSet::with_capacity(pairs.len());
    let is_plain = pairs.iter().all(|(key, _)| match key {
        Var::Str(key) => !key.starts_with('$') && seen.insert(key.as_str()),
        _ => false,
    });
    if is_plain {
        out.push('{');
        joined(pairs, out, |(key, value), out| {
            write(key, out, depth + 1)?;
            out.push(':');
            write(value, out, depth + 1)
        })?;
        out.push('}');
        return Ok(());
    }
    out.push_str("{\"$map\":[");
    joined(pairs, out, |(key, value), out| {
        out.push('[');
        write(key, out, depth + 1)?;
        out.push(',');
        write(value, out, depth + 1)?;
        out.push(']');
        Ok(())
    })?;
    out.push_str("]}");
    Ok(())
}

fn write_error(error: &ErrorValue, out: &mut String, depth: usize) -> Result<(), Fault> {
    out.push_str("{\"$err\":{\"code\":");
    match &error.code {
        ErrorCode::BuiltIn(code) => {
            let name = ErrorCode::NAMES.get(usize::from(*code));
            let name = name.ok_or_else(|| Fault::new(format!("there is no error {code}")))?;
            quoted(name, out);
        }
        ErrorCode::Custom(name) => {
            quoted(name, out);
            if ErrorCode::built_in(name).is_some() {
                out.push_str(",\"custom\":true");
            }
        }
    }
    if let Some(message) = &error.message {
        out.push_str(",\"msg\":");
        quoted(message, out);
    }
    if let Some(value) = &error.value {
        out.push_str(",\"value\":");
        write(value, out, depth + 1)?;
    }
    out.push_str("}}");
    Ok(())
}

fn write_flyweight(flyweight: &Flyweight, out: &mut String, depth: usize) -> Result<(), Fault> {
    out.push_str("{\"$flyweight\":{\"delegate\":");
    quoted(&flyweight.delegate.to_string(), out);
    out.push_str(",\"slots\":[");
    joined(&flyweight.slots, out, |(name, value), out| {
        out.push('[');
        quoted(name, out);
        out.push(',');
        write(value, out, depth + 1)?;
        out.push(']');
        Ok(())
    })?;
    out.push_str("],\"contents\":");
    // As on the wire, where the contents are one level deeper.
    write_list(&flyweight.contents, out, depth)?;
    out.push_str("}}");
    Ok(())
}

/// The entries of an object, in their order, with repeated keys.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entries<'de>, M::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    entries.push((key.0, map.next_value()?));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

fn part<'a, T: Deserialize<'a>>(raw: &'a RawValue, expected: &str) -> Result<T, Fault> {
    serde_json::from_str(raw.get()).map_err(|error| {
        // What serde says about the type is less clear than what is expected.
        let why = if error.is_data() { String::new() } else { format!(": {error}") };
        Fault::new(format!("must be {expected}{why}"))
    })
}

fn entries(raw: &RawValue) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Fault> {
    let Entries(entries) = part(raw, "an object")?;
    let mut seen = HashSet::with_capacity(entries.len());
    for (key, _) in &entries {
        if !seen.insert(&**key) {
            return Err(Fault::new("the key is there twice").within(key));
        }
    }
    Ok(entries)
}

fn read(raw: &RawValue, depth: usize) -> Result<Var, Fault> {
    if depth > DEPTH_MAX {
        return Err(too_deep());
    }
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'n') => Ok(Var::None),
        Some(b't') => Ok(Var::Bool(true)),
        Some(b'f') => Ok(Var::Bool(false)),
        Some(b'"') => Ok(Var::Str(string(raw)?)),
        Some(b'[') => Ok(Var::List(list(raw, depth)?)),
        Some(b'{') => object(raw, depth),
        _ if text.contains(['.', 'e', 'E']) => float(text).map(Var::Float),
        _ => int(text).map(Var::Int),
    }
}

fn string(raw: &RawValue) -> Result<String, Fault> {
    part(raw, "a string")
}

fn int(text: &str) -> Result<i64, Fault> {
    text.parse().map_err(|_| {
        Fault::new(format!("an integer must be {} to {} (got {text})", i64::MIN, i64::MAX))
    })
}

fn float(text: &str) -> Result<f64, Fault> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(Fault::new(format!("a number must be finite, and have at most 64 bits ({text})"))),
    }
}

/// Reads an array, whose elements are one level deeper.
fn list(raw: &RawValue, depth: usize) -> Result<Vec<Var>, Fault> {
    let elements: Vec<&RawValue> = part(raw, "an array")?;
    let values = elements.into_iter().enumerate();
    values
        .map(|(index, raw)| read(raw, depth + 1).map_err(|fault| fault.within_element(index)))
        .collect()
}

fn object(raw: &RawValue, depth: usize) -> Result<Var, Fault> {
    let entries = entries(raw)?;
    if let [(mark, value)] = &entries[..]
        && let Some(marked) = marked_value(mark, value, depth)
    {
        return marked.map_err(|fault| fault.within(mark));
    }
    let pairs = entries.into_iter().map(|(key, raw)| {
        if key.starts_with('$') {
            let problem = "a key must not begin with $, unless it marks a value and is alone: write \
                           {\"$map\": [[key, value], …]}";
            return Err(Fault::new(problem).within(&key));
        }
        let value = read(raw, depth + 1).map_err(|fault| fault.within(&key))?;
        Ok((Var::Str(key.into_owned()), value))
    });
    pairs.collect::<Result<_, _>>().map(Var::Map)
}

/// Reads the value behind a mark; `None` if it is not a mark.
fn marked_value(mark: &str, raw: &RawValue, depth: usize) -> Option<Result<Var, Fault>> {
    Some(match mark {
        "$int" => string(raw)
            .or_else(|_| Ok(raw.get().to_owned()))
            .and_then(|text| int(&text).map(Var::Int)),
        "$float" => match raw.get() {
            "\"nan\"" => Ok(Var::Float(f64::NAN)),
            "\"inf\"" => Ok(Var::Float(f64::INFINITY)),
            "\"-inf\"" => Ok(Var::Float(f64::NEG_INFINITY)),
            text => float(text)
                .map(Var::Float)
                .map_err(|_| Fault::new("must be \"nan\", \"inf\", \"-inf\" or a number")),
        },
        "$obj" => obj(raw).map(Var::Obj),
        "$anon" => obj(raw).map(Var::Anonymous),
        "$sym" => string(raw).map(Var::Sym),
        "$binary" => string(raw).and_then(|text| {
            let bytes = STANDARD.decode(text);
            bytes.map(Var::Binary).map_err(|error| Fault::new(format!("must be base64: {error}")))
        }),
        "$map" => map(raw, depth),
        "$err" => error(raw, depth).map(|error| Var::Err(Box::new(error))),
        "$flyweight" => flyweight(raw, depth).map(|flyweight| Var::Flyweight(Box::new(flyweight))),
        _ => return None,
    })
}

fn obj(raw: &RawValue) -> Result<Obj, Fault> {
    string(raw)?.parse()
}

fn map(raw: &RawValue, depth: usize) -> Result<Var, Fault> {
    let pairs: Vec<&RawValue> = part(raw, "an array of pairs")?;
    let pairs = pairs.into_iter().enumerate().map(|(index, pair)| {
        let read = || {
            let (key, value): (&RawValue, &RawValue) = part(pair, "a pair: [key, value]")?;
            Ok((self::read(key, depth + 1)?, self::read(value, depth + 1)?))
        };
        read().map_err(|fault: Fault| fault.within_element(index))
    });
    pairs.collect::<Result<_, _>>().map(Var::Map)
}

fn error(raw: &RawValue, depth: usize) -> Result<ErrorValue, Fault> {
    let (mut code, mut custom) = (None, false);
    let mut error = ErrorValue::new(ErrorCode::BuiltIn(0));
    for (key, raw) in entries(raw)? {
        let mut read = || {
            match &*key {
                "code" => code = Some(string(raw)?),
                "custom" => custom = part(raw, "true or false")?,
                "msg" => error.message = Some(string(raw)?),
                "value" => error.value = Some(self::read(raw, depth + 1)?),
                _ => return Err(Fault::new("an error has code, custom, msg and value")),
            }
            Ok(())
        };
        read().map_err(|fault| fault.within(&key))?;
    }
    let code = code.ok_or_else(|| Fault::new("required, and missing").within("code"))?;
    error.code = match ErrorCode::built_in(&code) {
        Some(built_in) if !custom => built_in,
        _ => ErrorCode::Custom(code),
    };
    Ok(error)
}

fn flyweight(raw: &RawValue, depth: usize) -> Result<Flyweight, Fault> {
    let mut delegate = None;
    let mut flyweight = Flyweight::new(Obj::NOTHING);
    for (key, raw) in entries(raw)? {
        let mut read = || {
            match &*key {
                "delegate" => delegate = Some(obj(raw)?),
                "slots" => flyweight.slots = flyweight_slots(raw, depth)?,
                "contents" => flyweight.contents = list(raw, depth)?,
                _ => return Err(Fault::new("a flyweight has delegate, slots and contents")),
            }
            Ok(())
        };
        read().map_err(|fault: Fault| fault.within(&key))?;
    }
    flyweight.delegate =
        delegate.ok_or_else(|| Fault::new("required, and missing").within("delegate"))?;
    Ok(flyweight)
}

fn flyweight_slots(raw: &RawValue, depth: usize) -> Result<Vec<(String, Var)>, Fault> {
    let pairs: Vec<&RawValue> = part(raw, "an array of pairs")?;
    let pairs = pairs.into_iter().enumerate().map(|(index, pair)| {
        let read = || {
            let (name, value): (&RawValue, &RawValue) = part(pair, "a pair: [name, value]")?;
            Ok((string(name)?, self::read(value, depth + 1)?))
        };
        read().map_err(|fault: Fault| fault.within_element(index))
    });
    pairs.collect()
}
