//! The line that an attempt is writing, shown before it has an end.

use std::time::Duration;

use tinpot_core::Context;
use tokio::time::Instant;

use crate::LineSplitter;

/// The age at which an unfinished line is shown, and the time between two states of it.
const SHOWN_AFTER: Duration = Duration::from_millis(80);
/// The most that is shown of it. Of a longer one, the end is shown.
const SHOWN_BYTES: usize = 1000;

/// The unfinished line of one attempt.
///
/// It is the message of a progress: a line of the log cannot be replaced. The numbers are those
/// that the action reported last, or `done` is 0 and `total` is `None`.
#[derive(Debug, Default)]
pub struct LiveLine {
    /// The progress that the action itself reported.
    reported: Option<(f64, Option<f64>, String)>,
    shown: Option<String>,
    due: Option<Instant>,
}

impl LiveLine {
    /// Returns what is shown of the first line without an end among those of some streams.
    pub fn of<'a>(splitters: impl IntoIterator<Item = &'a LineSplitter>) -> Option<String> {
        splitters.into_iter().find_map(|lines| lines.unfinished(SHOWN_BYTES))
    }

    /// Reports progress of the action.
    pub fn report(&mut self, context: &Context, progress: (f64, Option<f64>, String)) {
        self.shown = None;
        let (done, total, message) = progress.clone();
        self.reported = Some(progress);
        context.progress(done, total, message);
    }

    /// Takes note that something was written. `has_ended` is true if that ended a line, and
    /// `is_unfinished` if a line has no end yet.
    pub fn wrote(&mut self, context: &Context, has_ended: bool, is_unfinished: bool) {
        if has_ended || !is_unfinished {
            // A line that ends soon is not shown before: output may come in any pieces.
            self.due = None;
            self.clear(context);
        }
        if is_unfinished {
            self.due.get_or_insert_with(|| Instant::now() + SHOWN_AFTER);
        }
    }

    /// Returns true if the line is to be shown now.
    pub fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Returns the time at which the line is to be shown.
    pub fn due_at(&self) -> Option<Instant> {
        self.due
    }

    /// Resolves when the line is to be shown.
    pub async fn due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Shows the line.
    pub fn show(&mut self, context: &Context, line: Option<String>) {
        self.due = None;
        match line {
            None => self.clear(context),
            Some(line) if self.shown.as_ref() != Some(&line) => {
                let (done, total) =
                    self.reported.as_ref().map_or((0.0, None), |(done, total, _)| (*done, *total));
                context.progress(done, total, line.clone());
                self.shown = Some(line);
            }
            Some(_) => {}
        }
    }

    /// Shows the progress of the action again.
    fn clear(&mut self, context: &Context) {
        if self.shown.take().is_some() {
            let (done, total, message) = self.reported.clone().unwrap_or_default();
            context.progress(done, total, message);
        }
    }
}
