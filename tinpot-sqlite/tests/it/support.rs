//! Code that the tests share.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tinpot_core::log_sink::LogBatch;
use tinpot_core::store::{Session, Transition};
use tinpot_core::{Epoch, Fence};
use tinpot_core::{
    Execution, ExecutionId, Json, Level, LogChunk, Outcome, Store, Stream, Timestamp, WorkerId,
};
use tinpot_sqlite::SqliteStore;

/// A directory, removed with the test, and a path for a store in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("tinpot.db");
    (directory, path)
}

pub(crate) fn store(path: &Path) -> SqliteStore {
    SqliteStore::builder(path).build()
}

pub(crate) fn id(number: u128) -> ExecutionId {
    ExecutionId::from_u128(number)
}

pub(crate) fn execution(number: u128) -> Execution {
    Execution::new(id(number), "act", Json::empty_object())
}

pub(crate) fn accept(number: u128) -> Transition {
    Transition::Accept(Arc::new(execution(number)))
}

pub(crate) fn fence(number: u64) -> Fence {
    Fence { epoch: Epoch { instance: 1, number: 1 }, number }
}

pub(crate) fn grant(number: u128) -> Transition {
    Transition::Grant {
        execution: id(number),
        fence: fence(number as u64),
        attempt: 1,
        worker: WorkerId::new("w-1").expect("an id"),
        lease: Duration::from_secs(90),
    }
}

/// The end of what waits.
pub(crate) fn cancel(number: u128) -> Transition {
    let outcome = Outcome::Cancelled;
    Transition::Finish { execution: id(number), fence: None, outcome, ran: None, log_end: None }
}

/// The end of what was granted.
pub(crate) fn finish(number: u128) -> Transition {
    let outcome = Outcome::Succeeded(Json::null());
    let fence = Some(fence(number as u64));
    Transition::Finish { execution: id(number), fence, outcome, ran: None, log_end: None }
}

pub(crate) fn lines(number: u128, first_seq: u64, texts: Vec<String>) -> LogBatch {
    let (stream, level, time) = (Stream::Stdout, Level::Info, Timestamp(5));
    let chunk = LogChunk::new(first_seq, time, stream, level, texts);
    LogBatch::new(id(number), 1, vec![Arc::new(chunk)])
}

pub(crate) async fn commit(session: &dyn Session, batch: &[Transition]) {
    session.commit(batch, Timestamp(1_000_000)).await.expect("a commit");
}

pub(crate) async fn is_there(store: &dyn Store, number: u128) -> bool {
    store.execution(id(number)).await.expect("a read").is_some()
}

/// The whole log, line by line.
pub(crate) async fn log(store: &dyn Store, number: u128) -> Vec<String> {
    let (mut seq, mut all) = (0, Vec::new());
    loop {
        let chunks = store.logs(id(number), seq, 1 << 20).await.expect("a read");
        let Some(last) = chunks.last() else { return all };
        let after = chunks.iter().filter_map(|chunk| chunk.after(seq));
        all.extend(after.flat_map(|chunk| chunk.lines));
        seq = last.last_seq();
    }
}

/// Asks until it is so, for half a minute.
pub(crate) async fn wait_for<T: Debug>(what: &str, mut ask: impl AsyncFnMut() -> Result<(), T>) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(now) = ask().await {
        assert!(Instant::now() < deadline, "waited for {what}: {now:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Returns the message of an error, with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
