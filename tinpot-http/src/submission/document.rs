//! What `serde_json` does not say about a document by itself: keys that are given twice, and fields as raw text.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Reads a whole document and forgets it. Fails on what is not JSON, is nested deeper than `serde_json` goes (128 levels), or has a
/// number beyond the range of a float; and with an error of category `Data` when an object has a key twice, which parsers disagree about.
pub(super) fn check(text: &str) -> serde_json::Result<()> {
    serde_json::from_str::<Checked>(text).map(|Checked| ())
}

struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Check;
        impl<'de> Visitor<'de> for Check {
            type Value = Checked;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
                Ok(Checked)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
                Ok(Checked)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
                Ok(Checked)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
                Ok(Checked)
            }

            fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
                Ok(Checked)
            }

            fn visit_unit<E>(self) -> Result<Checked, E> {
                Ok(Checked)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Checked, A::Error> {
                while let Some(Checked) = values.next_element()? {}
                Ok(Checked)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Checked, A::Error> {
                let mut keys: HashSet<String> = HashSet::new();
                while let Some(key) = map.next_key::<String>()? {
                    if keys.contains(&key) {
                        return Err(A::Error::custom(format_args!("{key:?} is given twice")));
                    }
                    keys.insert(key);
                    let Checked = map.next_value()?;
                }
                Ok(Checked)
            }
        }
        deserializer.deserialize_any(Check)
    }
}

/// The fields of an object, in their order, each value as the text it came in.
pub(super) struct Entries<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Entries(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_parsers_agree_on_passes() {
        for text in ["{}", "null", "[1, -2, 3.5e3, true, \"ä\"]", r#"{"a":{"b":1},"c":{"b":2}}"#] {
            check(text).expect(text);
        }
    }

    #[test]
    fn a_key_that_is_given_twice_is_named_at_any_depth() {
        for text in [r#"{"a":1,"a":2}"#, r#"{"x":[{"a":1,"b":2,"a":3}]}"#, r#"{"a":1,"\u0061":2}"#]
        {
            let error = check(text).expect_err(text);
            assert!(
                error.is_data() && error.to_string().contains("\"a\" is given twice"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_json_is_a_syntax_error() {
        let deep = "[".repeat(100_000);
        for text in ["{", "NaN", "{'a':1}", "1 2", "1e999", r#""\ud800""#, &deep] {
            assert!(!check(text).expect_err(text).is_data());
        }
    }
}
