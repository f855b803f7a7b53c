//! Refusals by the policy, counted for each caller: a caller may ask for many things that it may not
//! have, and the audit stays small.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use super::events::who;
use crate::access::{AuditDecision, AuditEvent, AuditWho, Caller};
use crate::model::text;
use crate::model::time::Timestamp;

/// The callers that are counted one by one between two writes. The refusals of all others are one
/// entry.
const CALLERS: usize = 1_024;
/// The acts of one caller that an entry names.
const ACTS: usize = 8;
/// The longest name of an act in bytes: the names in it are those that the caller has given.
const ACT_BYTES: usize = 160;

/// The refusals since the last write.
#[derive(Debug, Default)]
pub(super) struct Refused {
    callers: HashMap<Arc<Caller>, Acts>,
    others: Option<(Timestamp, u64)>,
}

#[derive(Debug)]
struct Acts {
    since: Timestamp,
    hidden: u64,
    denied: u64,
    named: Vec<(String, u64)>,
}

impl Refused {
    pub(super) fn count(&mut self, caller: &Arc<Caller>, mut act: String, is_hidden: bool) {
        if self.callers.len() >= CALLERS && !self.callers.contains_key(caller) {
            self.others.get_or_insert_with(|| (Timestamp::now(), 0)).1 += 1;
            return;
        }
        let acts = self.callers.entry(caller.clone()).or_insert_with(|| Acts {
            since: Timestamp::now(),
            hidden: 0,
            denied: 0,
            named: Vec::new(),
        });
        *(if is_hidden { &mut acts.hidden } else { &mut acts.denied }) += 1;
        text::cut(&mut act, ACT_BYTES);
        match acts.named.iter_mut().find(|(named, _)| *named == act) {
            Some((_, times)) => *times += 1,
            None => {
                if acts.named.len() < ACTS {
                    acts.named.push((act, 1));
                }
            }
        }
    }

    /// Returns one event for each caller, in the order of their first refusals.
    pub(super) fn into_events(self) -> Vec<AuditEvent> {
        let mut events: Vec<AuditEvent> =
            self.callers.into_iter().map(|(caller, acts)| acts.into_event(&caller)).collect();
        if let Some((since, times)) = self.others {
            let event = AuditEvent::new(since, AuditWho::default(), "refused");
            let why = format!("{times} refusals of more callers");
            events.push(event.decided(AuditDecision::Refused, why));
        }
        events.sort_by_key(|event| event.time);
        events
    }
}

impl Acts {
    fn into_event(self, caller: &Caller) -> AuditEvent {
        let mut detail = String::new();
        let mut rest = self.hidden + self.denied;
        for (act, times) in &self.named {
            let comma = if detail.is_empty() { "" } else { ", " };
            let _ = match times {
                1 => write!(detail, "{comma}{act}"),
                _ => write!(detail, "{comma}{act} ({times} times)"),
            };
            rest -= times;
        }
        if rest > 0 {
            let _ = write!(detail, ", and {rest} more");
        }
        let why = format!("{} denied, {} hidden", self.denied, self.hidden);
        AuditEvent::new(self.since, who(caller), "refused")
            .detail(detail)
            .decided(AuditDecision::Refused, why)
    }
}
