//! The stream of one execution's events, pulled from the store at the watcher's own pace.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};

use super::Coordinator;
use super::watch_registry::{Live, LiveState};
use crate::model::log::{LogChunk, Progress};
use crate::model::outcome::Outcome;
use crate::model::status::Status;

/// The size of one read of the log.
const READ_BYTES: usize = 256 * 1024;

/// An event of an execution.
///
/// ```
/// use futures::StreamExt;
/// # use tinpot_core::{Failure, FunctionExecutor, Level, local};
/// use tinpot_core::{Event, Outcome};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("greet", |context, ()| async move {
/// #         context.log(Level::Info, "hello\nworld").await;
/// #         Ok::<_, Failure>(())
/// #     })
/// #     .build()?;
/// # let tinpot = local(executor).await?;
/// let mut events = tinpot.submit("greet", ()).await?.events(0);
/// let mut lines = Vec::new();
/// while let Some(event) = events.next().await {
///     match event {
///         Event::Logs(chunk) if chunk.stream.is_text() => lines.extend_from_slice(&chunk.lines),
///         Event::Finished(outcome) => assert!(matches!(outcome, Outcome::Succeeded(_))),
///         _ => {}
///     }
/// }
/// assert_eq!(lines, ["hello", "world"]);
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The status: first the current one, then each later one. A slow reader may miss some.
    Status(Status),
    /// Log lines. A reader resumes after [`LogChunk::last_seq`].
    Logs(Arc<LogChunk>),
    /// The progress that the action reported.
    Progress(Progress),
    /// The end: the log is complete, and no further event follows.
    Finished(Outcome),
}

struct Watcher {
    coordinator: Coordinator,
    live: Arc<Live>,
    state: tokio::sync::watch::Receiver<LiveState>,
    after: u64,
    status: Option<Status>,
    progress: Option<Arc<Progress>>,
    finished: bool,
}

pub(super) fn events(
    coordinator: Coordinator,
    live: Arc<Live>,
    after: u64,
) -> BoxStream<'static, Event> {
    let state = live.state.subscribe();
    let watcher =
        Watcher { coordinator, live, state, after, status: None, progress: None, finished: false };
    stream::unfold(watcher, |mut watcher| async move {
        let events = watcher.next().await?;
        Some((stream::iter(events), watcher))
    })
    .flatten()
    .boxed()
}

impl Watcher {
    /// Returns the next events, or `None` after the end.
    async fn next(&mut self) -> Option<Vec<Event>> {
        if self.finished {
            return None;
        }
        loop {
            let state = self.state.borrow_and_update().clone();
            if state.refused {
                return None;
            }
            let mut events = Vec::new();
            if self.status != Some(state.status)
                && (self.status.is_none() || !state.status.is_terminal())
            {
                self.status = Some(state.status);
                events.push(Event::Status(state.status));
            }
            let more = self.read_logs(&mut events).await;
            if let Some(progress) = state.progress
                && self.progress.as_ref() != Some(&progress)
            {
                self.progress = Some(progress.clone());
                events.push(Event::Progress((*progress).clone()));
            }
            // The state was read before the log. If the state says that the log is closed and no
            // more lines came, the log has been read to its end.
            if !more && let (true, Some(outcome)) = (state.log_closed, state.outcome) {
                self.finished = true;
                events.push(Event::Finished(outcome));
            }
            if !events.is_empty() || more {
                return Some(events);
            }
            tokio::select! {
                changed = self.state.changed() => changed.ok()?,
                () = self.coordinator.commands.closed() => return None,
            }
        }
    }

    /// Reads one portion of the log. Returns true if there may be more.
    async fn read_logs(&mut self, events: &mut Vec<Event>) -> bool {
        match self.coordinator.logs(self.live.id, self.after, READ_BYTES).await {
            Ok(chunks) => {
                let any = !chunks.is_empty();
                for chunk in chunks {
                    if let Some(chunk) = chunk.shared_after(self.after) {
                        self.after = chunk.last_seq();
                        events.push(Event::Logs(chunk));
                    }
                }
                any
            }
            Err(error) => {
                tracing::warn!(execution = %self.live.id, %error, "the log cannot be read");
                false
            }
        }
    }
}
