//! Reading a log of the audit, newest first.

use tinpot_core::access::AuditEvent;
use tinpot_core::access::records::Records;
use tinpot_core::{Result, Timestamp};

use super::{AuditEntry, entry};

/// The number of entries of one page by default.
const LIMIT: usize = 100;
/// The largest number of entries of one page.
const LIMIT_MAX: usize = 1_000;
/// The number of entries that are read at once.
const WINDOW: u64 = 1_000;
/// The number of windows that one call reads at most: a filter that nothing matches ends there, and
/// the page says where to go on.
const WINDOWS: usize = 20;

/// A page of a log, and the entries that belong in it. See [`read_audit`].
///
/// [`ChainAudit`](super::ChainAudit) has an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditQuery {
    /// The number below which the entries are; `None` to begin with the latest.
    pub before: Option<u64>,
    /// The time of the oldest entry.
    pub since: Option<Timestamp>,
    /// The time before which the entries are.
    pub until: Option<Timestamp>,
    /// The id or the name of the principal.
    pub who: Option<String>,
    /// The act. At its end, a `*` stands for any text: `token.*`.
    pub what: Option<String>,
    /// The id of the target.
    pub target: Option<String>,
    /// The team of the principal or of the target.
    pub team: Option<String>,
    /// The team of the target, or of the principal if the target has none.
    pub within: Option<String>,
    limit: Option<usize>,
}

impl AuditQuery {
    /// Creates a query for the latest entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the page size: 1 to 1,000 entries, 100 by default.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit.clamp(1, LIMIT_MAX));
        self
    }

    /// Returns true if the entry is one that the query asks for, on any page.
    pub fn matches(&self, entry: &AuditEntry) -> bool {
        let event = &entry.event;
        let is = |wanted: &Option<String>, found: &[&str]| {
            wanted.as_deref().is_none_or(|wanted| found.contains(&wanted))
        };
        self.until.is_none_or(|until| event.time < until)
            && self.since.is_none_or(|since| event.time >= since)
            && is(&self.who, &[&event.who.id, &event.who.name])
            && is(&self.target, &[&event.target.id])
            && is(&self.team, &[&event.who.team, &event.target.team])
            && is(&self.within, &[team_of(event)])
            && self.what.as_deref().is_none_or(|what| match what.strip_suffix('*') {
                Some(start) => event.what.starts_with(start),
                None => *event.what == *what,
            })
    }
}

/// Returns the team that an event is about.
fn team_of(event: &AuditEvent) -> &str {
    if event.target.team.is_empty() { &event.who.team } else { &event.target.team }
}

/// The answer to an [`AuditQuery`].
///
/// [`ChainAudit`](super::ChainAudit) has an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditPage {
    /// The entries, newest first.
    pub entries: Vec<AuditEntry>,
    /// The [`before`](AuditQuery::before) of the next page; `None` if this one has the oldest entry.
    /// A page may be short, or even empty, and still have a next one: one call reads 20,000 entries
    /// at most.
    pub next: Option<u64>,
    /// The number of entries that cannot be read. [`verify_audit`](super::verify_audit) names the
    /// first one.
    pub unreadable: usize,
}

/// Returns the entries of a log that a query asks for, newest first.
///
/// # Errors
/// Those of [`Records`].
pub async fn read_audit(records: &dyn Records, log: &str, query: &AuditQuery) -> Result<AuditPage> {
    let limit = query.limit.unwrap_or(LIMIT);
    let last = records.append(log, None, &[]).await?;
    let mut end = query.before.map_or(last, |before| last.min(before.saturating_sub(1)));
    let mut page = AuditPage::default();
    // The clocks of several processes differ, so an entry that is a little older than asked for may
    // stand in front of one that is not: only a whole window of such entries is the end.
    for _ in 0..WINDOWS {
        if end == 0 {
            return Ok(page);
        }
        let start = end.saturating_sub(WINDOW);
        let mut window = records.entries(log, start, (end - start) as usize).await?;
        // Where entries were trimmed, the answer goes on behind the window.
        window.retain(|(number, _)| *number <= end);
        let mut is_older = query.since.is_some();
        for (number, bytes) in window.iter().rev() {
            let Ok(entry) = entry::parse(bytes) else {
                page.unreadable += 1;
                continue;
            };
            is_older &= query.since.is_some_and(|since| entry.event.time < since);
            if query.matches(&entry) {
                page.entries.push(entry);
                if page.entries.len() == limit {
                    page.next = Some(*number).filter(|number| *number > 1);
                    return Ok(page);
                }
            }
        }
        // What is in front of an empty window was trimmed.
        if is_older || window.is_empty() {
            return Ok(page);
        }
        end = start;
    }
    page.next = Some(end + 1).filter(|_| end > 0);
    Ok(page)
}
