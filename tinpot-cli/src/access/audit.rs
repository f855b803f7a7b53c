//! `tinpot audit`.

use serde::{Deserialize, Serialize};
use tinpot_access::{
    AUDIT_LOG, AuditEntry, AuditQuery, AuditReport, RUNS_LOG, read_audit, verify_audit,
};
use tinpot_core::access::{AuditDecision, Records};

use super::place::{Place, Server};
use super::{records, run};
use crate::args::{Audit, AuditFilter, AuditLog, Global, StoreFile};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint, clean};
use crate::times::Moment;
use crate::{client, table};

/// The entries that are read at once.
const PAGE: usize = 1_000;

pub(crate) fn audit(command: &Audit, global: &Global) -> Done {
    match command {
        Audit::List { filter, limit, store } => match Place::of(global, store)? {
            Place::Store(file) => run(list(global, &file, filter, *limit as usize)),
            Place::Server(server) => list_at(global, &server, filter, *limit as usize),
        },
        Audit::Export { filter, store } => run(export(store, filter)),
        Audit::Verify { store } => run(verify(global, store)),
    }
}

/// An entry, as a server lists it.
#[derive(Deserialize, Serialize)]
struct View {
    n: Option<u64>,
    time: String,
    who: Who,
    what: String,
    target: Object,
    detail: String,
    decision: String,
    why: String,
    from: String,
}

#[derive(Deserialize, Serialize)]
struct Who {
    id: String,
    name: String,
    via: String,
    kind: String,
}

#[derive(Deserialize, Serialize)]
struct Object {
    kind: String,
    id: String,
}

#[derive(Deserialize)]
struct Page {
    entries: Vec<View>,
    next: Option<String>,
}

fn list_at(global: &Global, server: &Server, filter: &AuditFilter, limit: usize) -> Done {
    if filter.until.is_some() || filter.target.is_some() {
        let message = "--until and --target need the file of a store: name it with --store";
        return Err(CliError::usage(message));
    }
    let mut entries: Vec<View> = Vec::new();
    for log in logs(filter) {
        let (mut count, mut after) = (0, None::<String>);
        loop {
            let mut pairs = vec![("limit", PAGE.min(limit).to_string())];
            pairs.push(("log", if *log == RUNS_LOG { "runs" } else { "audit" }.to_owned()));
            let since = filter.since.as_ref().map(|since| since.timestamp().to_string());
            let texts = [("who", filter.who.clone()), ("what", filter.what.clone())];
            let more = [("since", since), ("after", after)];
            let more = texts.into_iter().chain(more);
            pairs.extend(more.filter_map(|(name, text)| Some((name, text?))));
            let page: Page = server.read(&format!("/api/audit{}", client::query(&pairs)))?;
            count += page.entries.len();
            entries.extend(page.entries);
            after = page.next;
            if after.is_none() || count >= limit {
                break;
            }
        }
    }
    entries.sort_by(|a, b| (&b.time, b.n).cmp(&(&a.time, a.n)));
    entries.truncate(limit);
    if global.json {
        output::println(&serde_json::json!({ "entries": entries }).to_string())?;
        return Ok(Code::Success);
    }
    let rows = entries.iter().map(|entry| {
        let View { time, who, what, decision, target, detail, why, .. } = entry;
        let who = if who.name.is_empty() { &who.kind } else { &who.name };
        row(global, time, [who, what, decision, &target.id], detail, why)
    });
    show(&rows.collect::<Vec<_>>())
}

/// Returns the logs that a command is about.
fn logs(filter: &AuditFilter) -> &'static [&'static str] {
    match filter.log {
        None => &[AUDIT_LOG, RUNS_LOG],
        Some(AuditLog::Runs) => &[RUNS_LOG],
        Some(AuditLog::Others) => &[AUDIT_LOG],
    }
}

fn query(filter: &AuditFilter) -> AuditQuery {
    let mut query = AuditQuery::new();
    query.since = filter.since.as_ref().map(Moment::timestamp);
    query.until = filter.until.as_ref().map(Moment::timestamp);
    (query.who, query.what) = (filter.who.clone(), filter.what.clone());
    query.target.clone_from(&filter.target);
    query
}

/// Returns the latest entries of a log.
async fn latest(
    records: &dyn Records,
    log: &str,
    mut query: AuditQuery,
    most: usize,
) -> Result<Vec<AuditEntry>, CliError> {
    let (mut entries, mut unreadable) = (Vec::new(), 0);
    loop {
        let page = read_audit(records, log, &query.clone().limit(PAGE.min(most))).await?;
        entries.extend(page.entries);
        unreadable += page.unreadable;
        query.before = page.next;
        if entries.len() >= most || page.next.is_none() {
            break;
        }
    }
    if unreadable > 0 {
        output::say(&format!(
            "{log}: {unreadable} entries cannot be read: run \"tinpot audit verify\""
        ));
    }
    entries.truncate(most);
    Ok(entries)
}

async fn list(global: &Global, file: &StoreFile, filter: &AuditFilter, limit: usize) -> Done {
    let records = records(file, false)?;
    let query = query(filter);
    let mut entries = Vec::new();
    for log in logs(filter) {
        entries.extend(latest(&*records, log, query.clone(), limit).await?);
    }
    entries.sort_by_key(|entry| std::cmp::Reverse((entry.event.time, entry.n)));
    entries.truncate(limit);
    if global.json {
        let shown = |entry: &AuditEntry| {
            let mut value = serde_json::json!(entry);
            value["time"] = entry.event.time.to_string().into();
            value
        };
        let entries: Vec<_> = entries.iter().map(shown).collect();
        output::println(&serde_json::json!({ "entries": entries }).to_string())?;
        return Ok(Code::Success);
    }
    let rows = entries.iter().map(|entry| {
        let event = &entry.event;
        let who = if event.who.name.is_empty() { &event.who.kind } else { &event.who.name };
        let decision = match event.decision {
            AuditDecision::Refused => "refused",
            AuditDecision::Failed => "failed",
            _ => "allowed",
        };
        let texts = [who, &*event.what, decision, &*event.target.id];
        row(global, &event.time.to_string(), texts, &event.detail, &event.why)
    });
    show(&rows.collect::<Vec<_>>())
}

/// Returns the row of an entry: its time, four texts and its detail.
fn row(
    global: &Global,
    time: &str,
    [who, what, decision, target]: [&str; 4],
    detail: &str,
    why: &str,
) -> Vec<String> {
    let detail = match (detail.is_empty(), why.is_empty()) {
        (_, true) => detail.to_owned(),
        (true, false) => why.to_owned(),
        (false, false) => format!("{detail}: {why}"),
    };
    // Texts from other people: they must not control the terminal.
    let texts = [who, what, decision, target, &detail];
    let cells = texts.map(|text| clean(&text.replace(['\n', '\r', '\t'], " "), false));
    [vec![global.clock().short(time)], cells.to_vec()].concat()
}

fn show(rows: &[Vec<String>]) -> Done {
    if rows.is_empty() {
        output::say("No entries");
        return Ok(Code::Success);
    }
    let head = ["TIME", "WHO", "WHAT", "DECISION", "OBJECT", "DETAIL"];
    output::println(&table::table(&head, rows, Paint::stdout()))?;
    Ok(Code::Success)
}

/// Prints entries from the oldest to the newest.
async fn export(file: &StoreFile, filter: &AuditFilter) -> Done {
    let records = records(file, false)?;
    let query = query(filter);
    for log in logs(filter) {
        let mut after = 0;
        loop {
            let page = records.entries(log, after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            for (number, bytes) in &page {
                let entry: Result<AuditEntry, _> = serde_json::from_slice(bytes);
                match entry {
                    Ok(entry) if !query.matches(&entry) => {}
                    Ok(_) => output::println(&format!(
                        "{{\"log\":\"{log}\",\"entry\":{}}}",
                        String::from_utf8_lossy(bytes)
                    ))?,
                    Err(error) => output::say(&format!("{log}: entry {number}: {error}")),
                }
            }
        }
    }
    Ok(Code::Success)
}

async fn verify(global: &Global, file: &StoreFile) -> Done {
    let records = records(file, false)?;
    let mut reports = Vec::new();
    for log in [AUDIT_LOG, RUNS_LOG] {
        reports.push((log, verify_audit(&*records, log).await?));
    }
    let faults: Vec<String> =
        reports.iter().filter_map(|(log, report)| fault(log, report)).collect();
    if global.json {
        let of = |(log, report): &(&str, AuditReport)| {
            serde_json::json!({
                "log": log,
                "entries": report.entries,
                "first": report.first,
                "last": report.last,
                "sha256": report.digest,
                "heads": report.heads,
                "signers": report.signers,
                "fault": report.fault.as_ref().map(|fault| {
                    serde_json::json!({ "entry": fault.entry, "why": fault.why })
                }),
            })
        };
        let logs: Vec<_> = reports.iter().map(of).collect();
        output::println(&serde_json::json!({ "logs": logs }).to_string())?;
        return match faults.is_empty() {
            true => Ok(Code::Success),
            false => Err(CliError::quiet(Code::Failed)),
        };
    }
    for (log, report) in reports.iter().filter(|(_, report)| report.fault.is_none()) {
        let AuditReport { entries, last, digest, .. } = report;
        output::println(&match entries {
            0 => format!("{log}: no entries"),
            _ => format!(
                "{log}: {entries} entries, chain intact; entry {last} has the SHA-256 {digest}"
            ),
        })?;
        for signer in &report.signers {
            output::println(&format!("{log}: {} heads, signed by {signer}", report.heads))?;
        }
    }
    match faults.is_empty() {
        true => Ok(Code::Success),
        false => Err(CliError::new(Code::Failed, faults.join("\n"))),
    }
}

fn fault(log: &str, report: &AuditReport) -> Option<String> {
    let fault = report.fault.as_ref()?;
    Some(format!("{log}: entry {} of {}: {}", fault.entry, report.last, fault.why))
}
