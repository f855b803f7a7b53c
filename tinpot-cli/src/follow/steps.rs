//! The steps of an execution, as lines among those of its log.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::output::{self, Paint, clean};

/// The number of open steps to know by name; an action that opens more is shown without the rest.
const OPEN_MAX: usize = 1000;
/// The deepest indentation, in levels.
const DEPTH_MAX: usize = 8;

/// The steps that have started and not ended.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// The name and the depth of each, by its id.
    open: HashMap<String, (String, usize)>,
}

#[derive(Deserialize)]
pub(super) struct Started {
    span: Value,
    #[serde(default)]
    parent: Option<Value>,
    name: String,
}

#[derive(Deserialize)]
pub(super) struct Ended {
    span: Value,
    outcome: String,
    took_us: u64,
    #[serde(default)]
    error: Option<String>,
}

impl Steps {
    /// Returns the line for the start of a step.
    pub(super) fn started(&mut self, step: Started) -> Option<String> {
        if self.open.len() >= OPEN_MAX {
            return None;
        }
        let parent = step.parent.and_then(|parent| self.open.get(&parent.to_string()));
        let depth = parent.map_or(0, |(_, depth)| (depth + 1).min(DEPTH_MAX));
        let name = clean(step.name.lines().next().unwrap_or_default(), false);
        let text = format!("{}→ {name}", "  ".repeat(depth));
        self.open.insert(step.span.to_string(), (name, depth));
        Some(text)
    }

    /// Returns the line for the end of a step.
    pub(super) fn ended(&mut self, step: &Ended, paint: Paint) -> Option<String> {
        let (name, depth) = self.open.remove(&step.span.to_string())?;
        let took = output::seconds(step.took_us as f64 / 1e6);
        let indentation = "  ".repeat(depth);
        if step.outcome == "succeeded" {
            return Some(format!(
                "{indentation}{} {name} {}",
                paint.green("✓"),
                paint.dim(&format!("({took})"))
            ));
        }
        let first =
            step.error.as_deref().and_then(|error| error.lines().next()).unwrap_or_default();
        let error = clean(first, false);
        let error = if error.is_empty() { String::new() } else { format!(": {error}") };
        let outcome = paint.red(&step.outcome);
        Some(format!(
            "{indentation}{} {name} {outcome} {}{error}",
            paint.red("✗"),
            paint.dim(&format!("({took})"))
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::Steps;
    use crate::output::Paint;

    #[test]
    fn steps_are_nested_and_end_with_their_time() {
        let mut steps = Steps::default();
        let mut start = |text: &str| steps.started(serde_json::from_str(text).expect("JSON"));
        assert_eq!(start(r#"{"span":"1.1","name":"outer"}"#).as_deref(), Some("→ outer"));
        assert_eq!(
            start(r#"{"span":"1.2","parent":"1.1","name":"in\nner"}"#).as_deref(),
            Some("  → in")
        );
        let paint = Paint { enabled: false };
        let mut end = |text: &str| steps.ended(&serde_json::from_str(text).expect("JSON"), paint);
        let failed = r#"{"span":"1.2","outcome":"failed","took_us":1500000,"error":"E: no\nmore"}"#;
        assert_eq!(end(failed).as_deref(), Some("  ✗ in failed (1.5 s): E: no"));
        assert_eq!(end(failed), None, "it ended before");
        let succeeded = r#"{"span":"1.1","outcome":"succeeded","took_us":2000}"#;
        assert_eq!(end(succeeded).as_deref(), Some("✓ outer (2 ms)"));
    }
}
