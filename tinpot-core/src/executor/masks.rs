//! Secrets that are masked in the log, the progress and the outcome of an attempt.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::model::json::Json;
use crate::model::json::mask::{MASK, in_texts};
use crate::model::outcome::Outcome;

/// The shortest text that is masked, in characters. `1`, `on` or `abc` are in every other line, and
/// masking them would reveal them.
const SHORTEST: usize = 4;
/// The shortest part of base64 that is masked; longer, since base64 has fewer characters.
const SHORTEST_BASE64: usize = 8;
/// The longest text that is masked, in bytes. No line of a log is longer.
const LONGEST_BYTES: usize = 64 * 1024;
/// The most forms that are searched for in each line.
const FORMS_MAX: usize = 2_000;

/// The secrets of one attempt. While there are none, a call costs one load.
#[derive(Default)]
pub(crate) struct Masks {
    any: AtomicBool,
    /// The forms to search for, the longest first.
    forms: RwLock<Vec<String>>,
}

impl Masks {
    /// Masks `text` from now on: as a whole, line by line, as JSON and within base64.
    pub(crate) fn add(&self, text: &str) {
        let mut new = Vec::new();
        let whole = [text].into_iter();
        for part in whole.chain(text.lines().map(str::trim)) {
            if part.chars().nth(SHORTEST - 1).is_none() || part.len() > LONGEST_BYTES {
                continue;
            }
            new.push(part.to_owned());
            if let Ok(json) = serde_json::to_string(part) {
                new.push(json.trim_matches('"').to_owned());
            }
            new.extend(base64_forms(part.as_bytes()));
        }
        let mut forms = self.forms.write().unwrap_or_else(PoisonError::into_inner);
        forms.extend(new);
        forms.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        if forms.len() > FORMS_MAX {
            tracing::warn!(
                limit = FORMS_MAX,
                "too many secrets in one attempt; the shortest are not masked"
            );
            forms.truncate(FORMS_MAX);
        }
        self.any.store(!forms.is_empty(), Ordering::Release);
    }

    /// Returns the masked text; `None` if it has no secret.
    pub(crate) fn masked(&self, text: &str) -> Option<String> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let forms = self.forms.read().unwrap_or_else(PoisonError::into_inner);
        let mut masked: Option<String> = None;
        for form in forms.iter() {
            let current = masked.as_deref().unwrap_or(text);
            if current.contains(form.as_str()) {
                masked = Some(current.replace(form.as_str(), MASK));
            }
        }
        masked
    }

    /// Masks a text in place.
    pub(crate) fn apply(&self, text: &mut String) {
        if let Some(masked) = self.masked(text) {
            *text = masked;
        }
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

    fn json(&self, value: &Json) -> Json {
        in_texts(value, |text| self.masked(text))
    }
}

/// Returns the base64 of some bytes, alone and as parts of something longer: there, only the
/// characters that do not depend on the neighbouring bytes.
fn base64_forms(bytes: &[u8]) -> Vec<String> {
    let mut forms = vec![base64(bytes)];
    for before in 0..3 {
        let shifted = [&[0; 2][..before], bytes].concat();
        let text = base64(&shifted);
        // Characters have 6 bits and bytes 8: those at the borders depend on neighbours too.
        let first = (before * 8).div_ceil(6);
        let last = shifted.len() * 8 / 6;
        if last >= first + SHORTEST_BASE64 {
            forms.push(text[first..last].to_owned());
        }
    }
    forms.retain(|form| form.len() >= SHORTEST_BASE64);
    let for_urls: Vec<String> = forms
        .iter()
        .filter(|form| form.contains(['+', '/']))
        .map(|form| form.replace('+', "-").replace('/', "_"))
        .collect();
    forms.extend(for_urls);
    forms
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for sign in 0..4 {
            let index = (bits >> (18 - 6 * sign)) & 63;
            out.push(if sign <= group.len() { SIGNS[index as usize] as char } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Masks, base64};

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn a_secret_is_masked_in_each_of_its_forms() {
        let masks = Masks::default();
        assert_eq!(masks.masked("hunter2!"), None);
        masks.add("hun\"ter2!");
        let of = |text: &str| masks.masked(text).unwrap_or_else(|| text.to_owned());
        assert_eq!(of("a hun\"ter2! b hun\"ter2!"), "a *** b ***");
        assert_eq!(of(r#"{"x": "hun\"ter2!"}"#), r#"{"x": "***"}"#);
        assert_eq!(of(&base64(b"hun\"ter2!")), "***");
        for before in ["", "u", "us", "user:"] {
            let shown = of(&base64(format!("{before}hun\"ter2! and more").as_bytes()));
            assert!(shown.contains("***"), "{before}: {shown}");
        }
        assert_eq!(of("hunter2!"), "hunter2!");
    }

    #[test]
    fn lines_are_masked_one_by_one_and_short_ones_not_at_all() {
        let masks = Masks::default();
        masks.add("abc");
        assert_eq!(masks.masked("abc"), None);
        masks.add("-----BEGIN KEY-----\n  MIIabcdef\nxyz\n");
        assert_eq!(masks.masked("read MIIabcdef").as_deref(), Some("read ***"));
        assert_eq!(masks.masked("xyz"), None);
    }
}
