//! Changes that are planned on what is known, and planned again if others were faster.

use std::pin::Pin;

use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditDecision, AuditEvent, AuditSink, AuditTarget, Records};
use tinpot_core::{ErrorKind, Result};

/// Tries of one change while others change the same documents.
pub(crate) const TRIES: usize = 16;

/// A future on the heap. Functions that return one are compiled once; the body of an `async fn` is
/// compiled again in every crate that awaits it.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A change that is ready to be made, and its entries in the audit.
pub(crate) struct Plan<T> {
    pub(crate) changes: Vec<Change>,
    pub(crate) target: AuditTarget,
    pub(crate) detail: String,
    /// Further acts, each with an entry of its own.
    pub(crate) also: Vec<(&'static str, AuditTarget, String)>,
    pub(crate) answer: T,
}

impl<T> Plan<T> {
    pub(crate) fn new(changes: Vec<Change>, target: AuditTarget, answer: T) -> Self {
        Self { changes, target, detail: String::new(), also: Vec::new(), answer }
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    pub(crate) fn also(
        mut self,
        what: &'static str,
        target: AuditTarget,
        detail: impl Into<String>,
    ) -> Self {
        self.also.push((what, target, detail.into()));
        self
    }
}

/// Makes changes and records them, unless they are recorded already. Returns false if others changed
/// the same documents meanwhile.
pub(crate) fn make<'a>(
    records: &'a dyn Records,
    audit: Option<&'a dyn AuditSink>,
    changes: &'a [Change],
    events: Vec<AuditEvent>,
    is_recorded: &'a mut bool,
) -> Boxed<'a, Result<bool>> {
    Box::pin(async move {
        if !*is_recorded {
            record(audit, &events).await?;
            *is_recorded = true;
        }
        match records.change(changes).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => {
                let failed = events.into_iter();
                let failed =
                    failed.map(|event| event.decided(AuditDecision::Failed, error.to_string()));
                // The first entries say that it was tried.
                let _ = record(audit, &failed.collect::<Vec<_>>()).await;
                Err(error)
            }
        }
    })
}

/// Records events before the change that they are about.
pub(crate) async fn record(audit: Option<&dyn AuditSink>, events: &[AuditEvent]) -> Result<()> {
    let Some(audit) = audit else { return Ok(()) };
    let recorded = audit.record(events).await;
    recorded.map_err(|error| error.with_context("nothing was changed, since the audit failed"))
}
