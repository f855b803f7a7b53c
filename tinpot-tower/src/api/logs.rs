//! The log of a run.

use axum::body::Body;
use axum::http::{Uri, header};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use serde::Serialize;
use tinpot_core::{LogChunk, Readable, Stream};

use crate::caller::Member;
use crate::wire::error::ApiError;
use crate::wire::json::JSON;
use crate::wire::numbers::Query;
use crate::wire::times::Time;

/// The text that is read from the store at one time.
const PART_BYTES: usize = 256 * 1024;

#[derive(Serialize)]
struct LineJson<'a> {
    seq: u64,
    stream: &'static str,
    line: &'a str,
    logged_at: Time,
}

/// The state of the writing of a log.
struct Writing {
    run: Readable,
    after: u64,
    is_begun: bool,
    has_lines: bool,
}

/// Writes all lines after a number, of all attempts: a log of any length, in parts.
pub(crate) async fn show(member: &Member, id: &str, uri: &Uri) -> Result<Response, ApiError> {
    let query = Query::of(uri.query());
    let after = match query.get("after_seq") {
        None => 0,
        Some(text) => {
            text.parse().ok().filter(|after| i64::try_from(*after).is_ok()).ok_or_else(|| {
                ApiError::invalid(format!("after_seq must be an integer from 0 on (got {text:?})"))
            })?
        }
    };
    let run = member.scoped.execution(member.run(id).await?.id).await?;
    let writing = Writing { run, after, is_begun: false, has_lines: false };
    let parts = stream::try_unfold(Some(writing), |writing| async move {
        match writing {
            Some(writing) => writing.part().await.map(Some),
            None => Ok::<_, tinpot_core::Error>(None),
        }
    });
    let mut response = Response::new(Body::from_stream(parts));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    Ok(response)
}

impl Writing {
    /// Returns the next part, and the rest if there is more.
    async fn part(mut self) -> tinpot_core::Result<(Bytes, Option<Self>)> {
        let mut text = Vec::new();
        if !self.is_begun {
            self.is_begun = true;
            text.extend_from_slice(b"{\"logs\":[");
        }
        let chunks = self.run.logs(self.after, PART_BYTES).await?;
        let Some(last) = chunks.last() else {
            text.extend_from_slice(b"]}\n");
            return Ok((text.into(), None));
        };
        let last = last.last_seq();
        for chunk in &chunks {
            self.write(chunk, &mut text);
        }
        self.after = last;
        Ok((text.into(), Some(self)))
    }

    fn write(&mut self, chunk: &LogChunk, text: &mut Vec<u8>) {
        let stream = match chunk.stream {
            Stream::Stdout => "stdout",
            stream if stream.is_text() => "stderr",
            _ => return,
        };
        // The first chunk may begin before.
        let lines = (chunk.first_seq..).zip(&chunk.lines).filter(|(seq, _)| *seq > self.after);
        for (seq, line) in lines {
            if std::mem::replace(&mut self.has_lines, true) {
                text.push(b',');
            }
            let line = LineJson { seq, stream, line, logged_at: Time(chunk.time) };
            // Texts and numbers can always be written.
            let _ = serde_json::to_writer(&mut *text, &line);
        }
    }
}
