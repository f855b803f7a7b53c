//! Names that people read and type.

use tinpot_core::Result;

use super::invalid;

/// The longest name in bytes.
const BYTES: usize = 64;

/// Ranges of characters that are not seen, or change the order of others: with them, two names look
/// the same. Those of the general category Cf of Unicode 16, variation selectors, and blanks that
/// Unicode counts among letters.
const UNSEEN: [(char, char); 25] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110cd}'),
    ('\u{13430}', '\u{1345f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// The maximum length of a name derived from another text, in bytes. It leaves room for a number at
/// the end.
const CLEAN_BYTES: usize = 56;

fn is_odd(c: char) -> bool {
    c.is_control()
        || c.is_whitespace()
        || matches!(c, ':' | '/' | '"')
        || UNSEEN.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// Returns a name derived from this text.
pub(super) fn clean_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.trim().chars().map(|c| if is_odd(c) { '-' } else { c }) {
        if name.len() + c.len_utf8() > CLEAN_BYTES {
            break;
        }
        name.push(c);
    }
    if name.is_empty() { "user".to_owned() } else { name }
}

/// Checks a name that people read and type.
pub(super) fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > BYTES || name.chars().any(is_odd) {
        let rule = "without blanks, characters that are not seen, \":\", \"/\" and quotes";
        return Err(invalid(format!("{what} must have 1 to {BYTES} bytes, {rule} (got {name:?})")));
    }
    Ok(())
}
