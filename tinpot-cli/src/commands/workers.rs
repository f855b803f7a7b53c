//! `tinpot workers` and `tinpot queues`.

mod show;

use serde::Deserialize;

use crate::args::{Global, Queues, Workers};
use crate::client::{Client, encoded};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint, clean};
use crate::{access, json, profile, suggest, table};

#[derive(Deserialize)]
struct WorkerPage {
    workers: Vec<Worker>,
}

#[derive(Deserialize)]
struct Worker {
    id: String,
    name: String,
    queues: Vec<String>,
    slots: u32,
    actions: Vec<String>,
    problems: Vec<Problem>,
    executions: Vec<String>,
    silent_for: f64,
    #[serde(default)]
    draining: bool,
    #[serde(default)]
    version: Option<String>,
}

#[derive(Deserialize)]
struct Problem {
    place: String,
    message: String,
    #[serde(default)]
    blocking: bool,
    /// If true, everything was loaded, and something about it is worth knowing.
    #[serde(default)]
    notice: bool,
}

#[derive(Deserialize)]
struct QueuePage {
    queues: Vec<Queue>,
}

#[derive(Deserialize)]
struct Queue {
    name: String,
    waiting: u64,
    granted: u64,
    delayed: u64,
    workers: u64,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    reason: Option<String>,
}

pub(crate) fn workers(command: &Workers, global: &Global) -> Done {
    if let Workers::JoinToken { .. }
    | Workers::Keys { .. }
    | Workers::Revoke { .. }
    | Workers::Rotate { .. }
    | Workers::RotateNamespaceKey { .. } = command
    {
        return access::worker_keys(command, global);
    }
    let client = profile::client(global)?;
    match command {
        Workers::List if global.json => output::println(&json::line(&client.get("/api/workers")?))?,
        Workers::List => list_workers(&client)?,
        Workers::Show { id } => {
            let path = format!("/api/workers/{}", encoded(&worker_id(&client, id)?));
            match global.json {
                true => output::println(&json::line(&client.get(&path)?))?,
                false => show::show(&client, &path, &global.clock())?,
            }
        }
        Workers::Drain { id } => {
            let id = worker_id(&client, id)?;
            let text = client.post(&format!("/api/workers/{}/drain", encoded(&id)), None)?;
            if global.json {
                output::println(&json::line(&text))?;
            } else {
                output::println(&format!(
                    "{id} is draining: it receives no new attempts and exits when idle"
                ))?;
            }
        }
        // These work on the file of a store.
        Workers::JoinToken { .. }
        | Workers::Keys { .. }
        | Workers::Revoke { .. }
        | Workers::Rotate { .. }
        | Workers::RotateNamespaceKey { .. } => {}
    }
    Ok(Code::Success)
}

fn list_workers(client: &Client) -> Result<(), CliError> {
    let page: WorkerPage = client.read("/api/workers")?;
    if page.workers.is_empty() {
        output::say("no live workers; start one with `tinpot worker`");
        return Ok(());
    }
    let paint = Paint::stdout();
    let row = |worker: &Worker| {
        let queues =
            if worker.queues.is_empty() { "all".to_owned() } else { worker.queues.join(",") };
        let blocked = worker.problems.iter().any(|problem| problem.blocking);
        let errors = worker.problems.iter().filter(|problem| !problem.notice).count();
        let state = match (worker.draining, errors) {
            (true, _) => paint.yellow("draining"),
            _ if blocked && worker.actions.is_empty() => paint.red("takes no work"),
            _ if blocked => paint.red("takes less work"),
            (false, 0) => "ok".to_owned(),
            (false, n) => paint.red(&format!("{n} load error{}", if n == 1 { "" } else { "s" })),
        };
        vec![
            worker.id.clone(),
            clean(&worker.name, false),
            state,
            format!("{}/{}", worker.executions.len(), worker.slots),
            queues,
            worker.actions.len().to_string(),
            format!("{} ago", output::seconds(worker.silent_for)),
            worker.version.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = page.workers.iter().map(row).collect();
    let head = ["ID", "NAME", "STATE", "RUNNING", "QUEUES", "ACTIONS", "LAST HEARTBEAT", "VERSION"];
    output::println(&table::table(&head, &rows, paint))?;
    for worker in &page.workers {
        // `tinpot workers show` has the notices.
        for problem in worker.problems.iter().filter(|problem| !problem.notice) {
            let message: Vec<_> =
                problem.message.lines().map(|line| format!("  {}", clean(line, false))).collect();
            output::println(&format!(
                "\n{} {}\n{}",
                paint.red(&worker.name),
                problem.place,
                message.join("\n")
            ))?;
        }
    }
    Ok(())
}

/// Returns the id of a worker from its id, or from its name if no other worker has it.
fn worker_id(client: &Client, named: &str) -> Result<String, CliError> {
    let page: WorkerPage = client.read("/api/workers")?;
    if page.workers.iter().any(|worker| worker.id == named) {
        return Ok(named.to_owned());
    }
    let by_name: Vec<&str> = page
        .workers
        .iter()
        .filter(|worker| worker.name == named)
        .map(|worker| &*worker.id)
        .collect();
    match by_name.as_slice() {
        [id] => Ok((*id).to_owned()),
        [] => {
            let near = suggest::or_list(named, page.workers.iter().map(|worker| &*worker.id));
            Err(CliError::new(Code::NotFound, format!("no live worker {named:?}{near}")))
        }
        several => Err(CliError::usage(format!(
            "{} workers have the name {named:?}; use one of the ids: {}",
            several.len(),
            several.join(", ")
        ))),
    }
}

pub(crate) fn queues(command: &Queues, global: &Global) -> Done {
    let client = profile::client(global)?;
    let (name, verb, done) = match command {
        Queues::List if global.json => {
            output::println(&json::line(&client.get("/api/queues")?))?;
            return Ok(Code::Success);
        }
        Queues::List => {
            list_queues(&client)?;
            return Ok(Code::Success);
        }
        Queues::Pause { name } => {
            (name, "pause", "is paused: it accepts executions, and starts none")
        }
        Queues::Resume { name } => (name, "resume", "is resumed"),
    };
    match client.post(&format!("/api/queues/{}/{verb}", encoded(name)), None) {
        Ok(text) if global.json => output::println(&json::line(&text))?,
        Ok(_) => output::println(&format!("{name} {done}"))?,
        Err(refused) if refused.is_not_found() => {
            let page: QueuePage = client.read("/api/queues")?;
            let near = suggest::or_list(name, page.queues.iter().map(|queue| &*queue.name));
            return Err(CliError::new(Code::NotFound, format!("no queue {name:?}{near}")));
        }
        Err(refused) => return Err(refused.into()),
    }
    Ok(Code::Success)
}

fn list_queues(client: &Client) -> Result<(), CliError> {
    let page: QueuePage = client.read("/api/queues")?;
    if page.queues.is_empty() {
        output::say("no queues; the first action creates one");
        return Ok(());
    }
    let paint = Paint::stdout();
    let row = |queue: &Queue| {
        let state = if queue.paused { paint.yellow("paused") } else { "open".to_owned() };
        let counts = [queue.waiting, queue.delayed, queue.granted, queue.workers];
        let mut row = vec![clean(&queue.name, false), state];
        row.extend(counts.iter().map(u64::to_string));
        row.push(clean(queue.reason.as_deref().unwrap_or_default(), false));
        row
    };
    let rows: Vec<_> = page.queues.iter().map(row).collect();
    let head = ["NAME", "STATE", "WAITING", "DELAYED", "RUNNING", "WORKERS", "REASON"];
    output::println(&table::table(&head, &rows, paint))
}
