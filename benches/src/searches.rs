//! Searches of a long history: the durations of lists with words and filters.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tinpot_core::store::{ListOptions, Session, Transition};
use tinpot_core::{
    Execution, ExecutionId, Failure, Fence, Json, Outcome, Status, Store, Timestamp, WorkerId,
};
use tinpot_sqlite::{Retention, SqliteStore};

use crate::stats::{median, percentile};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Executions of one commit while the file is filled.
const FILL_BATCH: usize = 2_000;
/// Times that each list is read.
const TIMES: usize = 21;

/// Fills a store with executions of ten actions, of which one in a hundred failed, and returns the
/// durations of lists in milliseconds.
///
/// # Errors
/// The errors of the store.
pub async fn measure(path: &Path, rows: usize) -> Result<Value, AnyError> {
    let store = SqliteStore::builder(path).retention(Retention::unbounded()).build();
    let (opened, session) = store.open().await?;
    let begin = Instant::now();
    for first in (0..rows).step_by(FILL_BATCH) {
        let numbers = first..rows.min(first + FILL_BATCH);
        let batch: Result<Vec<_>, AnyError> =
            numbers.map(|number| transitions(number, opened.epoch)).collect();
        session.commit(&batch?.concat(), Timestamp::now()).await?;
    }
    eprintln!("{rows} executions in {:.1} s", begin.elapsed().as_secs_f64());
    let last = ListOptions::new().limit(1);
    let last = store.executions(&last).await?.first().map(|last| last.id.to_string());
    let lists: [(&str, ListOptions); 9] = [
        ("a word of all", ListOptions::new().search("host")),
        ("the first letter of all", ListOptions::new().search("h")),
        ("words of one in fifty", ListOptions::new().search("backup-7 web-7")),
        ("words of one", ListOptions::new().search(format!("ticket-{}", rows / 2))),
        ("a word of none", ListOptions::new().search("nowhere")),
        ("an id", ListOptions::new().search(last.unwrap_or_default())),
        ("an error", ListOptions::new().search("space left")),
        ("a word of all that failed", ListOptions::new().search("host").statuses([Status::Failed])),
        (
            "a word of all, of a status that none has",
            ListOptions::new().search("host").statuses([Status::Lost]),
        ),
    ];
    let mut answer = serde_json::Map::new();
    for (name, options) in lists {
        let mut millis = Vec::with_capacity(TIMES);
        let mut found = 0;
        for _ in 0..TIMES {
            let begin = Instant::now();
            found = store.executions(&options).await?.len();
            millis.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        let middle = median(&millis);
        let longest = percentile(&mut millis, 1.0);
        eprintln!("{name}: {middle:.1} ms, at most {longest:.1} ms, {found} found");
        let row = json!({"median_ms": middle, "longest_ms": longest, "found": found});
        answer.insert(name.to_owned(), row);
    }
    session.close().await?;
    Ok(Value::Object(answer))
}

fn transitions(number: usize, epoch: tinpot_core::Epoch) -> Result<Vec<Transition>, AnyError> {
    let parameters = format!(
        "{{\"host\":\"web-{}.example.org\",\"ticket\":\"ticket-{number}\",\"paths\":[\"/var/lib/data\",\"/etc\"]}}",
        number % 50
    );
    let action = format!("backup-{}", number % 10);
    let mut execution = Execution::new(ExecutionId::generate(), action, Json::parse(parameters)?);
    execution.requested_by = number.is_multiple_of(3).then(|| "Anna".into());
    let id = execution.id;
    let fence = Fence { epoch, number: number as u64 + 1 };
    let (worker, lease) = (WorkerId::new("w-1")?, Duration::from_secs(90));
    let outcome = match number % 100 {
        0 => Outcome::Failed(Failure::new("no space left on device").kind("OSError")),
        _ => Outcome::Succeeded(Json::null()),
    };
    let ran = Some(Duration::from_micros(50));
    Ok(vec![
        Transition::Accept(Arc::new(execution)),
        Transition::Grant { execution: id, fence, attempt: 1, worker, lease },
        Transition::Finish { execution: id, fence: Some(fence), outcome, ran, log_end: Some(0) },
    ])
}
