//! Bounds of texts that others send.

/// Cuts a longer text at the end of a character, and says so in it.
pub(crate) fn cut(text: &mut String, max_bytes: usize) {
    if text.len() > max_bytes {
        let end = (0..=max_bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push_str(" … (cut)");
    }
}

/// Cuts a text to its last bytes.
pub(crate) fn cut_front(text: &mut String, max_bytes: usize) {
    let first = text.len().saturating_sub(max_bytes);
    let begin = (first..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text.drain(..begin);
}
