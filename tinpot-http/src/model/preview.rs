//! Parameters as short text, for lists.

use std::fmt;

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use tinpot_core::Execution;

/// The longest preview, and the longest value in it, in characters.
const PREVIEW_CHARS: usize = 200;
const VALUE_CHARS: usize = 60;

/// Returns the parameters as `name=value`, separated by blanks, with `***` in place of secrets;
/// `None` without parameters. Texts have no quotes if they have no blanks.
pub(super) fn parameters_preview(execution: &Execution) -> Option<String> {
    let shown = execution.shown_parameters();
    let mut reader = serde_json::Deserializer::from_str(shown.as_str());
    let mut preview = reader.deserialize_map(Preview(String::new())).ok()?;
    cut(&mut preview, PREVIEW_CHARS);
    (!preview.is_empty()).then_some(preview)
}

/// Reads members until there is enough text.
struct Preview(String);

impl<'de> Visitor<'de> for Preview {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<String, A::Error> {
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            if self.0.len() > 4 * PREVIEW_CHARS {
                continue;
            }
            if !self.0.is_empty() {
                self.0.push(' ');
            }
            self.0.push_str(&name);
            self.0.push('=');
            let mut text = shown(value.get());
            cut(&mut text, VALUE_CHARS);
            self.0.push_str(&text);
        }
        Ok(self.0)
    }
}

fn shown(value: &str) -> String {
    let text = serde_json::from_str::<String>(value).ok();
    let is_word = |text: &String| {
        !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    match text {
        Some(text) if is_word(&text) => text,
        // Written again: the client may have escaped every letter.
        Some(text) => serde_json::Value::String(text).to_string(),
        // Line ends between tokens of the client's JSON.
        None => {
            value.chars().take(VALUE_CHARS + 1).map(|c| if c < ' ' { ' ' } else { c }).collect()
        }
    }
}

fn cut(text: &mut String, chars: usize) {
    if let Some((end, _)) = text.char_indices().nth(chars) {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use tinpot_core::{Execution, ExecutionId, Json};

    use super::{PREVIEW_CHARS, parameters_preview};

    fn preview(parameters: &str, secrets: &[&str]) -> Option<String> {
        let parameters = Json::parse(parameters).expect("JSON");
        let mut execution = Execution::new(ExecutionId::from_u128(1), "act", parameters);
        execution.secrets = secrets.iter().map(|place| (*place).to_owned()).collect();
        parameters_preview(&execution)
    }

    #[test]
    fn a_preview_is_short_and_has_no_secrets() {
        assert_eq!(preview("{}", &[]), None);
        let escaped = r#"{"name": "J\u00fcrgen M\u00fcller"}"#;
        assert_eq!(preview(escaped, &[]).as_deref(), Some("name=\"Jürgen Müller\""));
        let text = "{\"host\": \"web-1\", \"n\": 1.50, \"list\": [1,\n2], \"note\": \"two words\", \"empty\": \"\", \"token\": \"hunter2\"}";
        assert_eq!(
            preview(text, &["/token"]).as_deref(),
            Some("host=web-1 n=1.50 list=[1, 2] note=\"two words\" empty=\"\" token=***")
        );
        let long = format!("{{\"blob\": \"{}\", \"b\": 2}}", "é".repeat(100_000));
        let shown = preview(&long, &[]).expect("text");
        assert!(shown.starts_with("blob=é") && shown.ends_with("… b=2"), "{shown}");
        let many: Vec<String> = (0..10_000).map(|n| format!("\"name {n}\": {n}")).collect();
        let shown = preview(&format!("{{{}}}", many.join(",")), &[]).expect("text");
        assert_eq!(shown.chars().count(), PREVIEW_CHARS + 1);
    }
}
