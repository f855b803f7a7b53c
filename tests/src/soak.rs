//! The soak: thousands of executions are submitted while workers, broker, coordinator and network are broken at random; then everything is
//! audited that was promised.

mod audit;
mod clients;
mod site;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::clients::{Planned, Submitted};
use self::site::Site;
use crate::Random;

/// The number of clients that submit at the same time.
const CLIENTS: usize = 4;
/// The time within which everything must end after the last fault.
const SETTLING: Duration = Duration::from_secs(180);

/// The plan of a soak.
#[derive(Clone, Debug)]
pub struct Soak {
    /// The duration of the faults.
    pub minutes: f64,
    /// The number of executions submitted meanwhile.
    pub executions: usize,
    /// The seed of all random decisions.
    pub seed: u64,
}

/// Runs the soak; what happened, in some lines.
///
/// # Errors
/// What was promised and not kept, in some lines; the logs of all programs and the database are in `directory` then.
pub fn run(soak: &Soak, directory: &Path) -> Result<String, String> {
    let mut random = Random::seeded(soak.seed);
    let starts = directory.join("starts");
    std::fs::create_dir_all(&starts).map_err(|e| format!("{}: {e}", starts.display()))?;
    let time = Duration::from_secs_f64(soak.minutes * 60.0);
    let plan = plan(soak, time, &starts, &mut random);
    let mut site = Site::start(directory);
    let api = site.api();
    let watched = audit::Watched::default();
    let over = AtomicBool::new(false);
    let begin = Instant::now();

    let (faults, submitted) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (api, plan) = (&api, &plan);
                scope.spawn(move || {
                    let mine = plan.iter().skip(client).step_by(CLIENTS);
                    mine.map(|planned| planned.submit(api, begin)).collect::<Vec<_>>()
                })
            })
            .collect();
        let watcher = scope.spawn(|| watched.watch(&api, &over));
        let broken = site.break_until(begin + time, &mut random);
        let mut submitted: Vec<Option<Submitted>> = plan.iter().map(|_| None).collect();
        let mut problems = Vec::new();
        for (client, thread) in clients.into_iter().enumerate() {
            for (place, result) in thread.join().expect("a client").into_iter().enumerate() {
                match result {
                    Ok(one) => submitted[client + place * CLIENTS] = Some(one),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        over.store(true, Ordering::Relaxed);
        watcher.join().expect("the watcher");
        if !problems.is_empty() {
            return (broken, Err(problems));
        }
        (broken, Ok(submitted.into_iter().flatten().collect::<Vec<_>>()))
    });
    let faults = faults.map_err(|problem| told(soak, &[problem]))?;
    let submitted = submitted.map_err(|problems| told(soak, &problems))?;
    let settled = audit::settle(&api, SETTLING);
    let settled = settled.map_err(|problem| told(soak, &[problem]))?;
    let report = audit::audit(&api, &plan, &submitted, &watched, &starts);
    let report = report.map_err(|problems| told(soak, &problems))?;
    site.end().map_err(|problem| told(soak, &[problem]))?;
    Ok(format!(
        "{} executions in {:.0} s, while these were broken: {faults}\n{report}\nsettled after {:.1} s, seed {}",
        plan.len(),
        begin.elapsed().as_secs_f64(),
        settled.as_secs_f64(),
        soak.seed
    ))
}

/// The problems, and how to see them again.
fn told(soak: &Soak, problems: &[String]) -> String {
    let shown = problems.iter().take(20).map(|problem| format!("- {problem}\n"));
    let Soak { minutes, executions, seed } = soak;
    format!(
        "{} promises were not kept:\n{}repeat with --minutes {minutes} --executions {executions} --seed {seed}",
        problems.len(),
        shown.collect::<String>()
    )
}

/// Half of them at most once, half of them to be tried again; some are cancelled.
fn plan(soak: &Soak, time: Duration, starts: &Path, random: &mut Random) -> Vec<Planned> {
    (0..soak.executions)
        .map(|number| {
            let again = random.below(2) == 0;
            let name = format!("{}-{number}", if again { "again" } else { "once" });
            let seconds = random.below(400) as f64 / 1e3;
            let parameters = json!({"directory": starts, "name": name, "seconds": seconds});
            let mut body = json!({ "parameters": parameters });
            if again {
                body["parameters"]["fail"] = Value::Bool(random.below(5) == 0);
                body["options"] = json!({
                    "retries": 1000, "backoff": "fixed", "retry_delay": 0.1, "max_lost_attempts": 1000,
                });
            }
            let wait = Duration::from_millis(random.below(300));
            Planned {
                name,
                again,
                body,
                at: time.mul_f64(number as f64 / soak.executions as f64),
                cancel_after: (random.below(40) == 0).then_some(wait),
            }
        })
        .collect()
}
