//! `tinpot audit`.

use tinpot_access::{
    AUDIT_LOG, AuditEntry, AuditQuery, AuditReport, RUNS_LOG, read_audit, verify_audit,
};
use tinpot_core::access::{AuditDecision, Records};

use super::{records, run};
use crate::args::{Audit, AuditFilter, AuditLog, Global, StoreFile};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint, clean};
use crate::table;
use crate::times::Moment;

/// The entries that are read at once.
const PAGE: usize = 1_000;

pub(crate) fn audit(command: &Audit, global: &Global) -> Done {
    match command {
        Audit::List { filter, limit, store } => run(list(global, store, filter, *limit as usize)),
        Audit::Export { filter, store } => run(export(store, filter)),
        Audit::Verify { store } => run(verify(global, store)),
    }
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
    if entries.is_empty() {
        output::say("No entries");
        return Ok(Code::Success);
    }
    let clock = global.clock();
    let row = |entry: &AuditEntry| {
        let event = &entry.event;
        let who = if event.who.name.is_empty() { &event.who.kind } else { &event.who.name };
        let decision = match event.decision {
            AuditDecision::Refused => "refused",
            AuditDecision::Failed => "failed",
            _ => "allowed",
        };
        let detail = match (event.detail.is_empty(), event.why.is_empty()) {
            (_, true) => event.detail.clone(),
            (true, false) => event.why.clone(),
            (false, false) => format!("{}: {}", event.detail, event.why),
        };
        // Texts of others: they must not steer the terminal.
        let texts = [who, &event.what, decision, &event.target.id, &detail];
        let cells = texts.map(|text| clean(&text.replace(['\n', '\r', '\t'], " "), false));
        [vec![clock.short(&event.time.to_string())], cells.to_vec()].concat()
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    let head = ["TIME", "WHO", "WHAT", "DECISION", "OBJECT", "DETAIL"];
    output::println(&table::table(&head, &rows, Paint::stdout()))?;
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
