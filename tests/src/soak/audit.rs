//! The audit: promises compared with results.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::clients::{Planned, Submitted};
use crate::{Api, marks};

/// The log of one in this number of executions is read.
const LOGS: usize = 5;
/// The coordinator waits for a minute after its start.
const LAST_LINES: Duration = Duration::from_secs(75);
const PARTS: [&str; 3] = ["part 1 of 3", "part 2 of 3", "part 3 of 3"];

/// The ends of executions that were seen during the faults.
#[derive(Debug, Default)]
pub(super) struct Watched {
    ends: Mutex<HashMap<String, (String, Value)>>,
    changes: Mutex<Vec<String>>,
}

impl Watched {
    /// Looks at the latest executions again and again.
    pub(super) fn watch(&self, api: &Api, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            if let Ok((200, page)) = api.try_get("/api/executions?limit=1000") {
                self.look_at(&page);
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    fn look_at(&self, page: &Value) {
        let mut ends = self.ends.lock().expect("no panic");
        for execution in page["executions"].as_array().into_iter().flatten() {
            if execution["finished_at"].is_null() {
                continue;
            }
            let id = execution["execution_id"].as_str().unwrap_or_default();
            let status = execution["status"].as_str().unwrap_or_default().to_owned();
            let end = (status, execution["finished_at"].clone());
            let first = ends.entry(id.to_owned()).or_insert_with(|| end.clone());
            if *first != end {
                let change = format!("the end of {id} was {first:?} and became {end:?}");
                self.changes.lock().expect("no panic").push(change);
            }
        }
    }
}

/// Waits until nothing waits or runs; how long that took.
pub(super) fn settle(api: &Api, patience: Duration) -> Result<Duration, String> {
    let begin = Instant::now();
    loop {
        let open = ["queued", "running", "cancelling"].map(|status| {
            let page = api.try_get(&format!("/api/executions?status={status}&limit=1"));
            page.map(|(_, page)| page["executions"].as_array().map_or(1, Vec::len))
        });
        if open.iter().all(|count| *count == Ok(0)) {
            return Ok(begin.elapsed());
        }
        if begin.elapsed() > patience {
            return Err(format!("after {patience:?} in peace, not everything has ended: {open:?}"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Every execution that the coordinator knows of, by id.
fn all(api: &Api) -> HashMap<String, Value> {
    let mut found = HashMap::new();
    let mut before = String::new();
    loop {
        let (_, page) = api.get(&format!("/api/executions?limit=1000{before}"));
        for execution in page["executions"].as_array().into_iter().flatten() {
            let id = execution["execution_id"].as_str().unwrap_or_default().to_owned();
            found.insert(id, execution.clone());
        }
        match page["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => return found,
        }
    }
}

/// Holds everything against what was promised; some lines for people.
pub(super) fn audit(
    api: &Api,
    plan: &[Planned],
    submitted: &[Submitted],
    watched: &Watched,
    starts: &Path,
) -> Result<String, Vec<String>> {
    let known = all(api);
    let mut problems = watched.changes.lock().expect("no panic").clone();
    if known.len() != plan.len() {
        problems.push(format!(
            "{} executions were accepted, and {} are known",
            plan.len(),
            known.len()
        ));
    }
    let ends = watched.ends.lock().expect("no panic");
    let mut counts = BTreeMap::<String, usize>::new();
    let (mut attempts, mut started) = (0, 0);
    for (number, (planned, one)) in plan.iter().zip(submitted).enumerate() {
        let Some(summary) = known.get(&one.id) else {
            problems.push(format!("{} was accepted as {}, and is not known", planned.name, one.id));
            continue;
        };
        let status = summary["status"].as_str().unwrap_or_default();
        *counts.entry(format!("{} {status}", planned.action())).or_default() += 1;
        if let Some((seen, at)) = ends.get(&one.id)
            && (seen != status || *at != summary["finished_at"])
        {
            problems
                .push(format!("{} was seen to be {seen} at {at}, and is {summary}", planned.name));
        }
        let execution = api.execution(&one.id);
        attempts += execution["attempts"].as_array().map_or(0, Vec::len);
        let lines = marks(&starts.join(&planned.name));
        started += lines.iter().filter(|line| line.starts_with("start")).count();
        // An execution that ran once and to its end has a complete log.
        let reads = number % LOGS == 0 && status == "succeeded" && !planned.again;
        let log = reads.then(|| whole_log(api, &one.id));
        if let Err(problem) = check(planned, one, &execution, &lines, log.as_deref()) {
            problems
                .push(format!("{problem}: {execution}; it wrote {lines:?}; its log is {log:?}"));
        }
        match planned.try_submit(api) {
            Ok(id) if id == one.id => {}
            other => problems.push(format!("the key of {} means {other:?} now", planned.name)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let counts: Vec<String> =
        counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    Ok(format!("{}; {attempts} attempts granted, {started} started", counts.join(", ")))
}

/// A marker stands where lines are missing.
fn is_whole(log: &[String]) -> bool {
    log == PARTS || log.iter().any(|line| line.starts_with("[tinpot]"))
}

/// The log of an execution that has ended. Lines that a coordinator before this one did not get are waited for before they are given up.
fn whole_log(api: &Api, id: &str) -> Vec<String> {
    let begin = Instant::now();
    loop {
        let log = api.lines(id);
        if is_whole(&log) || begin.elapsed() > LAST_LINES {
            return log;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// One execution.
fn check(
    planned: &Planned,
    one: &Submitted,
    execution: &Value,
    lines: &[String],
    log: Option<&[String]>,
) -> Result<(), &'static str> {
    let status = execution["status"].as_str().unwrap_or_default();
    let starts = lines.iter().filter(|line| line.starts_with("start")).count();
    let ended = lines.iter().any(|line| line.starts_with("end"));
    let allowed = match status {
        "succeeded" => true,
        // What was being cancelled when its worker died is not tried again, and whether it finished is not known.
        "lost" => !planned.again || planned.cancel_after.is_some(),
        "cancelled" => planned.cancel_after.is_some(),
        // What fails before it hears that it is to be cancelled is not tried again either.
        "failed" => planned.fails() && planned.cancel_after.is_some(),
        _ => false,
    };
    if !allowed {
        return Err("it ended as it must not");
    }
    if !planned.again && starts > 1 {
        return Err("it was started more than once");
    }
    if lines.iter().any(|line| line.ends_with("overlaps")) {
        return Err("two attempts ran at the same time");
    }
    if starts > execution["attempts"].as_array().map_or(0, Vec::len) {
        return Err("it was started without an attempt on record");
    }
    if one.cancelled_waiting && (status != "cancelled" || (!planned.again && starts > 0)) {
        return Err("its cancel was acknowledged while it waited");
    }
    if status == "succeeded" && (!ended || execution["outcome"]["result"] != planned.name.as_str())
    {
        return Err("its result is not what it returned");
    }
    if log.is_some_and(|log| !is_whole(log)) {
        return Err("its log has a gap");
    }
    Ok(())
}
