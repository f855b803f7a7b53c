//! The check of a chain.

use tinpot_core::Result;
use tinpot_core::access::records::Records;

use super::{PAGE, anchor, entry, heads};
use crate::secret::Digest;

/// The result of [`verify_audit`].
///
/// [`ChainAudit`](super::ChainAudit) has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditReport {
    /// The number of entries that were read.
    pub entries: u64,
    /// The number of the first entry that is kept; 0 without entries.
    pub first: u64,
    /// The number of the last entry that the log ever had.
    pub last: u64,
    /// The SHA-256 of the last entry, in hexadecimal digits. Compare it with those that `tracing`
    /// has logged.
    pub digest: String,
    /// The number of heads in the audit that the entries agree with.
    pub heads: usize,
    /// The public keys that have signed heads, in hexadecimal digits. Compare them with that of the
    /// namespace, which `worker.toml` of each worker has.
    pub signers: Vec<String>,
    /// The first fault; `None` if the chain is whole.
    pub fault: Option<AuditFault>,
}

/// The place where a chain is broken.
///
/// [`ChainAudit`](super::ChainAudit) has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditFault {
    /// The number of the entry.
    pub entry: u64,
    /// The fault.
    pub why: &'static str,
}

/// Checks that each entry of a log has the digest of the one before it, that entries which are
/// missing at the front were trimmed, and that the log agrees with its heads.
///
/// # Errors
/// Those of [`Records`].
pub async fn verify_audit(records: &dyn Records, log: &str) -> Result<AuditReport> {
    let anchor = anchor(records, log).await?;
    let trimmed = anchor.map_or(0, |anchor| anchor.up_to);
    // Before the last entry is looked up: later heads may be those of later entries.
    let heads = heads::of(records, log).await?;
    let last = records.append(log, None, &[]).await?;
    let mut report = AuditReport {
        entries: 0,
        first: 0,
        last,
        digest: String::new(),
        heads: 0,
        signers: heads.signers,
        fault: None,
    };
    let heads = heads.heads;
    // The number and the digest of the entry before; `None` while only a later one can tell.
    let mut number = 0;
    let mut digest = Some(Digest::default());
    while number < last {
        let page = records.entries(log, number, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for (n, bytes) in page.into_iter().take_while(|(n, _)| *n <= last) {
            let mut why = None;
            if report.first == 0 {
                report.first = n;
                digest = match anchor {
                    Some(anchor) if n == anchor.up_to + 1 => Some(anchor.digest),
                    // A trim that has not ended: the digest of the last trimmed entry has to fit.
                    Some(anchor) if 1 < n && n <= anchor.up_to => None,
                    _ => Some(Digest::default()),
                };
                if n > trimmed + 1 {
                    why = Some("entries before it are missing");
                }
            } else if n != number + 1 {
                why = Some("entries before it are missing");
            }
            let found = entry::parse(&bytes).ok();
            why = why.or(match &found {
                None => Some("it cannot be read"),
                Some(found) if found.n != n => Some("it is in another entry's place"),
                Some(found) if digest.is_some_and(|digest| digest != found.prev()) => {
                    Some("it does not follow the entry before it: one of the two was changed")
                }
                Some(_) => None,
            });
            let own = Digest::of(&bytes);
            if anchor.is_some_and(|anchor| anchor.up_to == n && anchor.digest != own) {
                why = why.or(Some("it is another than the one that was trimmed"));
            }
            if let Some(head) = heads.get(&n) {
                why = why.or(match head.digest == own {
                    true if head.is_valid => None,
                    true => Some("the signature of its head is wrong"),
                    false => Some("it is another than the one that its head names"),
                });
                report.heads += 1;
            }
            if let Some(why) = why {
                report.fault = Some(AuditFault { entry: n, why });
                return Ok(report);
            }
            (number, digest) = (n, Some(own));
            report.entries += 1;
        }
    }
    if report.entries == 0 {
        (number, digest) = (trimmed, anchor.map(|anchor| anchor.digest));
    }
    report.digest = digest.unwrap_or_default().to_hex();
    if number < last {
        report.fault = Some(AuditFault { entry: last, why: "it is missing" });
    }
    if let Some((head, _)) = heads.last_key_value().filter(|(head, _)| **head > last) {
        report.fault = Some(AuditFault { entry: *head, why: "it is missing, and was there once" });
    }
    Ok(report)
}
