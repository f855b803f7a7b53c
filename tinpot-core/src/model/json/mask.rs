//! Masking of values in documents, by place or by content.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Json;

/// The replacement of a masked value.
pub(crate) const MASK: &str = "***";
const MASK_JSON: &str = "\"***\"";

/// Returns the document with `"***"` in place of the values at these JSON pointers. The rest keeps
/// its text. Pointers that lead nowhere are ignored.
pub(crate) fn at_places(document: &Json, pointers: &[String]) -> Json {
    let out = each_place(document, pointers, |_, _| Some(MASK_JSON.to_owned()));
    // The text consists of valid parts. If it is invalid nevertheless, show nothing rather than a
    // secret.
    Json::parse(out).unwrap_or_else(|_| Json::constant(MASK_JSON))
}

/// Returns the text of the document with what `with` returns in place of the values at these JSON
/// pointers, of which it gets each with its value. Where it returns nothing, the value stays. The
/// rest keeps its text. Pointers that lead nowhere are ignored, as are those below others.
pub(crate) fn each_place(
    document: &Json,
    pointers: &[String],
    mut with: impl FnMut(&str, &str) -> Option<String>,
) -> String {
    let segments: Vec<Vec<String>> = pointers.iter().map(|pointer| segments(pointer)).collect();
    let pointers = pointers.iter().map(String::as_str);
    let places: Vec<Place<'_>> = pointers.zip(segments.iter().map(Vec::as_slice)).collect();
    let mut out = String::with_capacity(document.as_str().len());
    write(document.as_str(), &places, &mut out, &mut with);
    out
}

/// A pointer, and its segments below the present value.
type Place<'a> = (&'a str, &'a [String]);

fn segments(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")).collect()
}

fn write(
    text: &str,
    places: &[Place<'_>],
    out: &mut String,
    with: &mut impl FnMut(&str, &str) -> Option<String>,
) {
    if let Some((pointer, _)) = places.iter().find(|(_, rest)| rest.is_empty()) {
        return out.push_str(with(pointer, text).as_deref().unwrap_or(text));
    }
    let children = match (places.is_empty(), serde_json::from_str(text)) {
        (false, Ok(Children(Some(children)))) => children,
        _ => return out.push_str(text),
    };
    let is_list = text.trim_start().starts_with('[');
    out.push(if is_list { '[' } else { '{' });
    for (at, (name, value)) in children.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        if !is_list {
            out.push_str(&serde_json::Value::from(name.as_str()).to_string());
            out.push(':');
        }
        let below: Vec<Place<'_>> = places
            .iter()
            .filter_map(|(pointer, place)| Some((*pointer, place.split_first()?)))
            .filter(|(_, (first, _))| *first == name)
            .map(|(pointer, (_, rest))| (pointer, rest))
            .collect();
        write(value.get(), &below, out, with);
    }
    out.push(if is_list { ']' } else { '}' });
}

/// The members of a list or an object in their original text, each with its name or index; `None`
/// for other values.
struct Children<'a>(Option<Vec<(String, &'a RawValue)>>);

impl<'de> Deserialize<'de> for Children<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Find;
        impl<'de> Visitor<'de> for Find {
            type Value = Children<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list or an object")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut children = Vec::new();
                while let Some(value) = seq.next_element()? {
                    children.push((children.len().to_string(), value));
                }
                Ok(Children(Some(children)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut children = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    children.push(entry);
                }
                Ok(Children(Some(children)))
            }
        }
        deserializer.deserialize_any(Find)
    }
}

/// Returns the document with `mask` applied to each string and number, names included. The rest
/// keeps its text.
pub(crate) fn in_texts(document: &Json, mask: impl Fn(&str) -> Option<String>) -> Json {
    let text = document.as_str();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let is_text = rest.starts_with('"');
        let end = if is_text { end_of_string(rest) } else { end_of_number(rest) };
        let (token, after) = rest.split_at(end);
        let masked = if is_text {
            serde_json::from_str::<String>(token).ok().and_then(|value| mask(&value))
        } else {
            mask(token)
        };
        match masked.and_then(|masked| serde_json::to_string(masked.as_str()).ok()) {
            Some(masked) => out.push_str(&masked),
            None => out.push_str(token),
        }
        rest = after;
    }
    out.push_str(rest);
    Json::parse(out).unwrap_or_else(|_| Json::constant(MASK_JSON))
}

fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn end_of_number(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::{at_places, in_texts};
    use crate::model::json::Json;

    fn json(text: &str) -> Json {
        Json::parse(text).expect("JSON")
    }

    #[test]
    fn values_are_masked_at_their_place_and_the_rest_stays_as_it_was() {
        let document =
            json(r#"{"z": 1.50, "a/b": {"~": "x", "k": ["s1", {"p": "s2"}]}, "n": {"s": [1]}}"#);
        let places =
            ["/a~1b/k/0", "/a~1b/k/1/p", "/n/s", "/not/there", "/a~1b/~0"].map(str::to_owned);
        let shown = at_places(&document, &places);
        assert_eq!(
            shown.as_str(),
            r#"{"z":1.50,"a/b":{"~":"***","k":["***",{"p":"***"}]},"n":{"s":"***"}}"#
        );
        assert_eq!(at_places(&document, &[String::new()]).as_str(), "\"***\"");
        assert_eq!(at_places(&json("7"), &places).as_str(), "7");
    }

    #[test]
    fn texts_are_masked_wherever_they_stand() {
        let document =
            json(r#"{"se\u0063ret": [ "a secret\n", 1234, -1.5e3, true ], "x": "\"secret\""}"#);
        let mask = |text: &str| {
            (text.contains("secret") || text == "1234")
                .then(|| text.replace("secret", "***").replace("1234", "***"))
        };
        assert_eq!(
            in_texts(&document, mask).as_str(),
            r#"{"***": [ "a ***\n", "***", -1.5e3, true ], "x": "\"***\""}"#
        );
    }
}
