//! Secrets that are masked in the log, the progress and the outcome of an attempt.

mod forms;
mod views;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use aho_corasick::AhoCorasick;

use crate::model::json::Json;
use crate::model::json::mask::{MASK, in_texts};
use crate::model::log::LogEvent;
use crate::model::outcome::Outcome;

/// The shortest text that is masked, in characters. `1`, `on` or `abc` are in every other line, and
/// masking them would reveal them.
const SHORTEST: usize = 4;
/// The longest text that is masked, in bytes. No line of a log is longer.
const LONGEST_BYTES: usize = 64 * 1024;
/// The most forms that are searched for in each line.
const FORMS_MAX: usize = 4_000;
/// The part of a text that is searched at a time, and the overlap of two parts. A text of this size
/// has at most 48 views, so a search needs some megabytes.
const WINDOW_BYTES: usize = 64 * 1024;
const OVERLAP_BYTES: usize = 16 * 1024;

/// The secrets of one attempt. While there are none, a call costs one load.
#[derive(Default)]
pub(crate) struct Masks {
    any: AtomicBool,
    secrets: RwLock<Secrets>,
}

#[derive(Default)]
struct Secrets {
    texts: BTreeSet<String>,
    /// Their forms in base64 and hexadecimal digits, which count less: if there are too many, these
    /// are left out first.
    encoded: BTreeSet<String>,
    search: Option<AhoCorasick>,
}

impl Masks {
    /// Masks `text` from now on: as a whole and line by line, in each notation that
    /// [`views`] decodes, and within base64 and hexadecimal digits.
    pub(crate) fn add(&self, text: &str) {
        let whole = [text, text.trim()].into_iter();
        let parts = whole
            .chain(text.lines().map(str::trim))
            .filter(|part| part.chars().nth(SHORTEST - 1).is_some() && part.len() <= LONGEST_BYTES);
        let mut secrets = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        let mut has_new = false;
        for part in parts {
            if secrets.texts.insert(part.to_owned()) {
                secrets.encoded.extend(forms::of(part));
                has_new = true;
            }
        }
        if !has_new {
            return;
        }
        let count = secrets.texts.len() + secrets.encoded.len();
        if count > FORMS_MAX {
            let limit = FORMS_MAX;
            tracing::warn!(limit, count, "too many secrets in one attempt; some are not masked");
        }
        let forms = secrets.texts.iter().chain(&secrets.encoded).take(FORMS_MAX);
        // Fails only beyond 2^31 states, which the bounds above exclude.
        secrets.search = AhoCorasick::new(forms).ok();
        self.any.store(true, Ordering::Release);
    }

    /// Returns the masked text; `None` if it has no secret.
    pub(crate) fn masked(&self, text: &str) -> Option<String> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        let mut begin = 0;
        loop {
            let end = boundary_before(text, begin + WINDOW_BYTES);
            for range in secrets.find(&text.as_bytes()[begin..end]) {
                let start = boundary_before(text, begin + range.start);
                found.push(start..boundary_after(text, begin + range.end));
            }
            if end == text.len() {
                break;
            }
            begin = boundary_before(text, end - OVERLAP_BYTES);
        }
        (!found.is_empty()).then(|| without(text, found))
    }

    /// Masks a text in place.
    pub(crate) fn apply(&self, text: &mut String) {
        if let Some(masked) = self.masked(text) {
            *text = masked;
        }
    }

    /// Masks the texts of an event.
    pub(crate) fn event(&self, event: &LogEvent) -> LogEvent {
        let mut event = event.clone();
        if self.any.load(Ordering::Acquire) {
            match &mut event {
                LogEvent::SpanStarted { name: text, .. }
                | LogEvent::SpanEnded { error: Some(text), .. }
                | LogEvent::Summary { markdown: text } => self.apply(text),
                LogEvent::Artifact(artifact) => self.apply(&mut artifact.name),
                LogEvent::SpanEnded { error: None, .. } | LogEvent::Child { .. } => {}
            }
        }
        event
    }

    /// Masks the result, or the message and traceback of the failure.
    pub(crate) fn outcome(&self, outcome: Outcome) -> Outcome {
        if !self.any.load(Ordering::Acquire) {
            return outcome;
        }
        match outcome {
            Outcome::Succeeded(value) => Outcome::Succeeded(self.json(&value)),
            Outcome::Failed(mut failure) => {
                self.apply(&mut failure.kind);
                self.apply(&mut failure.message);
                if let Some(traceback) = &mut failure.traceback {
                    self.apply(traceback);
                }
                Outcome::Failed(failure)
            }
            outcome => outcome,
        }
    }

    /// Masks the texts and numbers of a document.
    pub(crate) fn json(&self, value: &Json) -> Json {
        if !self.any.load(Ordering::Acquire) {
            return value.clone();
        }
        in_texts(value, |text| self.masked(text))
    }
}

impl Secrets {
    /// Returns the places of secrets in a text.
    fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let Some(search) = &self.search else { return Vec::new() };
        let mut found: Vec<Range<usize>> =
            search.find_overlapping_iter(text).map(|found| found.range()).collect();
        for view in views::of(text) {
            let places =
                |found: aho_corasick::Match| view.place(found.start())..view.place(found.end());
            found.extend(search.find_overlapping_iter(&view.bytes).map(places));
        }
        found
    }
}

/// Returns the last boundary of a character at or before `at`.
fn boundary_before(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Returns the first boundary of a character at or after `at`.
fn boundary_after(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// Returns the text with `***` in place of each range; ranges that overlap become one.
fn without(text: &str, mut ranges: Vec<Range<usize>>) -> String {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut out = String::with_capacity(text.len());
    let mut written = 0;
    let mut ranges = ranges.into_iter().filter(|range| range.start < range.end).peekable();
    while let Some(mut range) = ranges.next() {
        while let Some(next) = ranges.next_if(|next| next.start < range.end) {
            range.end = range.end.max(next.end);
        }
        out.push_str(&text[written..range.start]);
        out.push_str(MASK);
        written = range.end;
    }
    out.push_str(&text[written..]);
    out
}

#[cfg(test)]
mod tests {
    use super::forms::base64;
    use super::{Masks, WINDOW_BYTES};
    use crate::model::json::Json;
    use crate::model::log::LogEvent;

    fn masks(secret: &str) -> Masks {
        let masks = Masks::default();
        masks.add(secret);
        masks
    }

    fn shown(masks: &Masks, text: &str) -> String {
        masks.masked(text).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn a_secret_is_masked_in_each_of_its_forms() {
        // What Python 3.11, Go 1.22, PHP 8 and bash 5 make of it.
        let secret = "Grüße & 'Köln'/+\"\\<\n😀";
        let masks = masks(secret);
        for (notation, text) in [
            ("text", secret),
            ("json.dumps", r#"Gr\u00fc\u00dfe & 'K\u00f6ln'/+\"\\<\n\ud83d\ude00"#),
            ("JSON in UTF-8", r#"Grüße & 'Köln'/+\"\\<\n😀"#),
            ("JSON of PHP", r#"Gr\u00fc\u00dfe & 'K\u00f6ln'\/+\"\\<\n\ud83d\ude00"#),
            ("JSON of Go", r#"Grüße \u0026 'Köln'/+\"\\\u003c\n😀"#),
            ("JSON in capitals", r#"Gr\u00FC\u00DFe & 'K\u00F6ln'/+\"\\<\n\uD83D\uDE00"#),
            ("JSON in JSON", r#"Gr\\u00fc\\u00dfe & 'K\\u00f6ln'/+\\\"\\\\<\\n\\ud83d\\ude00"#),
            ("repr", r#"Grüße & \'Köln\'/+"\\<\n😀"#),
            ("ascii", r#"Gr\xfc\xdfe & \'K\xf6ln\'/+"\\<\n\U0001f600"#),
            ("repr of bytes", r#"Gr\xc3\xbc\xc3\x9fe & \'K\xc3\xb6ln\'/+"\\<\n\xf0\x9f\x98\x80"#),
            ("octal", r#"Gr\303\274\303\237e & 'K\303\266ln'/+\"\\<\n\360\237\230\200"#),
            ("quote", "Gr%C3%BC%C3%9Fe%20%26%20%27K%C3%B6ln%27/%2B%22%5C%3C%0A%F0%9F%98%80"),
            (
                "quote(safe='')",
                "Gr%C3%BC%C3%9Fe%20%26%20%27K%C3%B6ln%27%2F%2B%22%5C%3C%0A%F0%9F%98%80",
            ),
            ("quote_plus", "Gr%C3%BC%C3%9Fe+%26+%27K%C3%B6ln%27%2F%2B%22%5C%3C%0A%F0%9F%98%80"),
            (
                "encodeURIComponent",
                "Gr%c3%bc%c3%9fe%20%26%20'K%c3%b6ln'%2F%2B%22%5C%3C%0A%f0%9f%98%80",
            ),
            ("html.escape", "Grüße &amp; &#x27;Köln&#x27;/+&quot;\\&lt;\n😀"),
            ("XML", "Gr&#252;&#xDF;e &amp; &apos;K&#246;ln&apos;/+&#34;\\&lt;\n&#128512;"),
            ("shlex.quote", "Grüße & '\"'\"'Köln'\"'\"'/+\"\\<\n😀"),
            ("a shell", "Grüße & '\\''Köln'\\''/+\"\\<\n😀"),
            ("hex", &secret.bytes().map(|byte| format!("{byte:02x}")).collect::<String>()),
            ("HEX", &secret.bytes().map(|byte| format!("{byte:02X}")).collect::<String>()),
            ("base64", &base64(secret.as_bytes())),
            ("base64 in a URL", &base64(secret.as_bytes()).replace('+', "%2B").replace('/', "%2F")),
        ] {
            assert_eq!(
                shown(&masks, &format!("say “{text}” again")),
                "say “***” again",
                "{notation}"
            );
        }
        for before in ["", "u", "us", "user:"] {
            let encoded = base64(format!("{before}{secret} and more").as_bytes());
            let encoded = [encoded.clone(), encoded.replace('+', "-").replace('/', "_")];
            for encoded in encoded {
                let shown = shown(&masks, &encoded);
                assert!(shown.contains("***") && shown.len() < 40, "{before}: {shown}");
            }
        }
        for other in ["Grüße", "Gr%C3%BC%C3%9Fe", "100 % \\u & &amp; '\\'' %zz \\", ""] {
            assert_eq!(shown(&masks, other), other);
        }
    }

    #[test]
    fn secrets_that_overlap_are_masked_together_and_others_one_by_one() {
        let masks = masks("abcdef");
        masks.add("defghi");
        assert_eq!(shown(&masks, "<abcdefghi> abcdef defghi"), "<***> *** ***");
    }

    #[test]
    fn lines_are_masked_one_by_one_and_short_ones_not_at_all() {
        assert_eq!(masks("abc").masked("abc"), None);
        let masks = masks("-----BEGIN KEY-----\n  MIIabcdef\nxyz\n");
        assert_eq!(shown(&masks, "read MIIabcdef"), "read ***");
        assert_eq!(shown(&masks, "xyz"), "xyz");
        let json = r#"{"key": "-----BEGIN KEY-----\n  MIIabcdef\nxyz\n"}"#;
        assert_eq!(shown(&masks, json), r#"{"key": "***"}"#);
    }

    #[test]
    fn secrets_are_found_anywhere_in_a_long_text() {
        let masks = masks("hunter2ü");
        for at in [0, WINDOW_BYTES - 5, WINDOW_BYTES, 3 * WINDOW_BYTES - 9] {
            for form in ["hunter2ü", r"hunter2\u00fc", "hunter2%C3%BC"] {
                let text = format!("{}{form}{}", "é".repeat(at / 2), "x".repeat(at));
                let expected = text.replace(form, "***");
                assert_eq!(shown(&masks, &text), expected, "{form} at {at}");
            }
        }
    }

    #[test]
    fn documents_and_events_keep_their_form() {
        let masks = masks("span");
        masks.add("\":\"");
        let started = r#"{"span_started":{"span":"1.1","name":"a span","at":1}}"#;
        let event: LogEvent = serde_json::from_str(started).expect("an event");
        let shown = serde_json::to_string(&masks.event(&event)).expect("JSON");
        assert_eq!(shown, started.replace("a span", "a ***"));
        let fields = Json::parse(r#"{"a":"b","c":"a span"}"#).expect("JSON");
        assert_eq!(masks.json(&fields).as_str(), r#"{"a":"b","c":"a ***"}"#);
    }
}
