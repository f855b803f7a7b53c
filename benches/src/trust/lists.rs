//! A page of 50 executions among a million, of which a caller may read 20 %.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tinpot_core::store::Transition;
use tinpot_core::{
    DEFAULT_TEAM, Execution, ExecutionId, Json, ListOptions, Names, Outcome, Store, Timestamp,
    Visible, VisiblePart,
};
use tinpot_sqlite::SqliteStore;

use super::{AnyError, Line};
use crate::stats::median;

const ACTIONS: usize = 10;
const BATCH: usize = 5_000;
const ROUNDS: usize = 201;

/// Measures lists of a new store with this many executions.
pub async fn measure(folder: &Path, rows: usize) -> Result<Vec<Line>, AnyError> {
    let store = SqliteStore::builder(folder.join("lists.db")).build();
    let (_, session) = store.open().await?;
    for first in (0..rows).step_by(BATCH) {
        let batch = (first..rows.min(first + BATCH)).flat_map(|number| {
            let id = ExecutionId::generate();
            let action = format!("action-{}", number % ACTIONS);
            let mut execution = Execution::new(id, action, Json::empty_object());
            execution.caller = format!("user:{}", number % 5).into();
            let outcome = Outcome::Succeeded(Json::null());
            let end = Transition::Finish {
                execution: id,
                fence: None,
                outcome,
                ran: None,
                log_end: None,
            };
            [Transition::Accept(Arc::new(execution)), end]
        });
        session.commit(&batch.collect::<Vec<_>>(), Timestamp::now()).await?;
    }
    let all = ListOptions::new().limit(50);
    let some = Visible::nothing(DEFAULT_TEAM, "user:1");
    let some = some.part(VisiblePart::all().actions(Names::of(["action-3", "action-7"])));
    let own = Visible::nothing(DEFAULT_TEAM, "user:1").part(VisiblePart::all().own_only());
    let cases = [all.clone(), all.clone().visible(some), all.visible(own)];
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (options, times) in cases.iter().zip(&mut times) {
            let begin = Instant::now();
            let found = store.executions(options).await?.len();
            times.push(begin.elapsed().as_secs_f64() * 1e6);
            if found != 50.min(rows / ACTIONS) {
                return Err(format!("a page has {found} executions").into());
            }
        }
    }
    session.close().await?;
    let [all, some, own] = times.map(|times| median(&times));
    let told = |some: f64| format!("{:.2}× ({some:.0} µs after {all:.0} µs)", some / all);
    let what = format!("a list of 50 among {rows}, of which 20 % are visible: by two actions");
    Ok(vec![
        Line::new(what, "1.5×", "1.1×", told(some)),
        Line::new("the same: the own ones", "1.5×", "1.1×", told(own)),
    ])
}
