//! The events in the logs of attempts: steps, children, artifacts and summaries, in the order of
//! the log.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::Coordinator;
use crate::model::error::Result;
use crate::model::id::ExecutionId;
use crate::model::log::{Artifact, LogChunk, LogEvent, Stream};

/// The size of one read from the store.
const READ_BYTES: usize = 1024 * 1024;

impl Coordinator {
    /// Returns every event in the log of an execution, in order. The stream ends at the present end
    /// of the log.
    pub fn log_events(&self, id: ExecutionId) -> BoxStream<'static, Result<LogEvent>> {
        let events = |chunk: Arc<LogChunk>| {
            let is_event = chunk.stream == Stream::Event;
            let lines = if is_event { chunk.lines.clone() } else { Vec::new() };
            // A newer program may have written lines that are not known here.
            stream::iter(lines).filter_map(|line| async move { serde_json::from_str(&line).ok() })
        };
        self.chunks(id).map_ok(move |chunk| events(chunk).map(Ok)).try_flatten().boxed()
    }

    /// Returns the bytes of an artifact, in base64 and in pieces.
    pub fn artifact_pieces(
        &self,
        id: ExecutionId,
        artifact: &Artifact,
    ) -> BoxStream<'static, Result<String>> {
        let prefix: Arc<str> = format!("{}.{} ", artifact.attempt, artifact.number).into();
        let pieces = move |chunk: Arc<LogChunk>| {
            let lines = if chunk.stream == Stream::Data { &chunk.lines[..] } else { &[] };
            let piece = |line: &String| line.strip_prefix(&*prefix).map(str::to_owned);
            stream::iter(lines.iter().filter_map(piece).collect::<Vec<_>>())
        };
        self.chunks(id).map_ok(move |chunk| pieces(chunk).map(Ok)).try_flatten().boxed()
    }

    fn chunks(&self, id: ExecutionId) -> BoxStream<'static, Result<Arc<LogChunk>>> {
        let coordinator = self.clone();
        stream::try_unfold(0, move |after| {
            let coordinator = coordinator.clone();
            async move {
                let chunks = coordinator.logs(id, after, READ_BYTES).await?;
                let new = chunks.iter().filter_map(|chunk| chunk.shared_after(after));
                let new: Vec<_> = new.collect();
                let last = new.last().map(|chunk| chunk.last_seq());
                Ok::<_, crate::Error>(
                    last.map(|last| (stream::iter(new.into_iter().map(Ok)), last)),
                )
            }
        })
        .try_flatten()
        .boxed()
    }
}
