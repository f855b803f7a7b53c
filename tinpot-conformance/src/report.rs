//! Verdicts, and their forms.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

/// The verdict on a worker in one scene.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub(crate) name: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) section: String,
    pub(crate) time: Duration,
    pub(crate) failure: Option<Failure>,
}

/// The difference between a worker and the specification, with the messages that led to it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) expected: String,
    pub(crate) came: String,
    pub(crate) section: String,
    pub(crate) messages: Vec<String>,
    pub(crate) output: String,
    pub(crate) again: String,
}

/// The verdicts of a run.
#[derive(Clone, Debug)]
pub struct Report {
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    pub(crate) verdicts: Vec<Verdict>,
    /// The number of scenes that the suite could not play to their end.
    pub(crate) missing: usize,
}

impl Verdict {
    /// Returns the name of the scene.
    pub fn name(&self) -> &str {
        self.name
    }

    /// Returns true if the worker follows the rule.
    pub fn has_passed(&self) -> bool {
        self.failure.is_none()
    }

    /// Returns the verdict for people: one line, or several about a failure.
    pub fn text(&self) -> String {
        let seconds = self.time.as_secs_f64();
        let Some(failure) = &self.failure else {
            return format!("ok      {} ({seconds:.1} s)", self.name);
        };
        let mut text = format!("FAILED  {} ({seconds:.1} s)", self.name);
        let mut field = |name: &str, value: &str| {
            let value = value.trim_end().replace('\n', "\n                   ");
            let _ = write!(text, "\n        {name:<10} {value}");
        };
        field("rule", self.rule);
        field("expected", &failure.expected);
        field("came", &failure.came);
        field("see", &failure.section);
        if !failure.messages.is_empty() {
            field("messages", &failure.messages.join("\n"));
        }
        if !failure.output.is_empty() {
            field("output", &failure.output);
        }
        field("again", &failure.again);
        text
    }

    fn json(&self) -> Value {
        let mut value = json!({
            "name": self.name,
            "passed": self.has_passed(),
            "rule": self.rule,
            "section": self.section,
            "ms": self.time.as_millis() as u64,
        });
        if let Some(failure) = &self.failure {
            value["failure"] = json!({
                "expected": failure.expected,
                "came": failure.came,
                "section": failure.section,
                "messages": failure.messages,
                "output": failure.output,
                "again": failure.again,
            });
        }
        value
    }
}

impl Report {
    /// Returns the verdicts, in the order of the list of scenes.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// Returns the seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns true if there are scenes, and the worker passed all.
    pub fn has_passed(&self) -> bool {
        self.missing == 0 && !self.verdicts.is_empty() && self.failed() == 0
    }

    /// Returns the number of scenes that failed.
    pub fn failed(&self) -> usize {
        self.verdicts.iter().filter(|verdict| !verdict.has_passed()).count() + self.missing
    }

    /// Returns the sum for people.
    pub fn text(&self) -> String {
        let all = self.verdicts.len() + self.missing;
        let (failed, seconds) = (self.failed(), self.time.as_secs_f64());
        format!("{} of {all} scenes passed, in {seconds:.1} s (seed {})", all - failed, self.seed)
    }

    /// Returns the report in TAP, version 14.
    pub fn tap(&self) -> String {
        let all = self.verdicts.len() + self.missing;
        let mut text = format!("TAP version 14\n1..{all}\n# seed {}\n", self.seed);
        for (number, verdict) in (1..).zip(&self.verdicts) {
            let word = if verdict.has_passed() { "ok" } else { "not ok" };
            let _ = writeln!(text, "{word} {number} - {}", verdict.name);
            let Some(failure) = &verdict.failure else { continue };
            // JSON strings are YAML.
            let quoted = |text: &str| Value::from(text).to_string();
            let _ = writeln!(text, "  ---");
            let fields = [
                ("rule", verdict.rule),
                ("expected", &failure.expected),
                ("came", &failure.came),
                ("see", &failure.section),
                ("again", &failure.again),
                ("output", &failure.output),
            ];
            for (name, value) in fields {
                let _ = writeln!(text, "  {name}: {}", quoted(value));
            }
            let _ = writeln!(text, "  messages:");
            for message in &failure.messages {
                let _ = writeln!(text, "    - {}", quoted(message));
            }
            let _ = writeln!(text, "  ...");
        }
        for number in self.verdicts.len() + 1..=all {
            let _ = writeln!(text, "not ok {number} - a scene that the suite could not play");
        }
        text
    }

    /// Returns the report as a JSON document.
    pub fn json(&self) -> String {
        let scenes: Vec<Value> = self.verdicts.iter().map(Verdict::json).collect();
        let report = json!({
            "seed": self.seed,
            "passed": self.has_passed(),
            "failed": self.failed(),
            "ms": self.time.as_millis() as u64,
            "scenes": scenes,
        });
        report.to_string()
    }
}
