//! `tinpot audit`.

use tinpot_access::{AUDIT_LOG, AuditReport, RUNS_LOG, verify_audit};

use super::{records, run};
use crate::args::{Audit, Global, StoreFile};
use crate::exit::{CliError, Code, Done};
use crate::output;

pub(crate) fn audit(command: &Audit, global: &Global) -> Done {
    match command {
        Audit::Verify { store } => run(verify(global, store)),
    }
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
