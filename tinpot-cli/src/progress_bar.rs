//! A progress bar on the last line of a terminal.
//!
//! indicatif would add four crates, and still leave the text without a total and the lines above
//! the bar to this module.

use std::io::{self, Write};

const WIDTH: usize = 24;
/// The longest message after the bar, in characters. A bar that wraps cannot be erased.
const MESSAGE_CHARS: usize = 30;
/// The longest message without numbers.
const LINE_CHARS: usize = 72;

/// A progress bar; draws nothing unless standard error is a terminal.
#[derive(Debug)]
pub(crate) struct ProgressBar {
    enabled: bool,
    text: String,
    drawn: bool,
}

impl ProgressBar {
    pub(crate) fn new(enabled: bool) -> Self {
        Self { enabled, text: String::new(), drawn: false }
    }

    /// Shows `done` of `total`.
    pub(crate) fn set(&mut self, done: f64, total: Option<f64>, message: &str) -> io::Result<()> {
        self.text = text(done, total, message);
        self.clear()?;
        self.draw()
    }

    /// Erases the bar, so that a line can be written in its place.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.drawn) {
            let mut out = io::stderr().lock();
            out.write_all(b"\r\x1b[K")?;
            out.flush()?;
        }
        Ok(())
    }

    /// Draws the bar again.
    pub(crate) fn draw(&mut self) -> io::Result<()> {
        if self.enabled && !self.text.is_empty() {
            let mut out = io::stderr().lock();
            out.write_all(self.text.as_bytes())?;
            out.flush()?;
            self.drawn = true;
        }
        Ok(())
    }
}

fn text(done: f64, total: Option<f64>, message: &str) -> String {
    let message = crate::output::clean(message, false);
    if done == 0.0 && total.is_none() {
        // The line that the action is writing.
        return message.chars().take(LINE_CHARS).collect::<String>().trim_end().to_owned();
    }
    let message: String = message.chars().take(MESSAGE_CHARS).collect();
    let Some(total) = total.filter(|total| *total > 0.0) else {
        return format!("{done} {message}").trim_end().to_owned();
    };
    let part = (done / total).clamp(0.0, 1.0);
    let full = (part * WIDTH as f64).round() as usize;
    let bar = "█".repeat(full) + &"░".repeat(WIDTH.saturating_sub(full));
    format!("{bar} {:3.0} % {message}", part * 100.0).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn a_bar_stays_within_its_width_and_shows_counts_without_a_total() {
        assert!(text(150.0, Some(100.0), "").ends_with("100 %"));
        assert!(text(-1.0, Some(100.0), "x").contains("░   0 % x"));
        assert_eq!(text(7.0, None, "files"), "7 files");
        assert_eq!(text(7.0, Some(0.0), ""), "7");
        assert_eq!(text(0.0, None, "working .."), "working ..");
        assert_eq!(text(0.0, None, ""), "");
        assert!(text(f64::NAN, Some(1.0), "").contains("░"));
    }
}
