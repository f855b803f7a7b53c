//! Entries in the audit about sign-ins that were refused: a storm of them must not fill it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tinpot_core::Timestamp;
use tinpot_core::access::{AuditDecision, AuditEvent, AuditWho};

use crate::clock::between;
use crate::throttle::{Network, network_of};

/// The time between two entries about one network.
const QUIET: Duration = Duration::from_secs(1);
/// The most networks with refusals that are not recorded yet. Beyond it, each is recorded.
const NETWORKS: usize = 10_000;
/// The longest name in characters.
const NAME_CHARS: usize = 64;

/// The refusals of each network since its last entry.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    networks: Mutex<HashMap<Network, Since>>,
}

#[derive(Debug)]
struct Since {
    recorded: Timestamp,
    more: u64,
    /// The address of the last refusal.
    address: IpAddr,
}

impl Refusals {
    /// Counts a refusal. Returns its entry, unless there was one within a second.
    pub(super) fn event(
        &self,
        now: Timestamp,
        name: &str,
        why: &str,
        address: IpAddr,
    ) -> Option<AuditEvent> {
        let mut networks = self.networks();
        let network = network_of(address);
        let mut more = 0;
        if let Some(since) = networks.get_mut(&network) {
            since.address = address;
            if between(since.recorded, now) < QUIET {
                since.more += 1;
                return None;
            }
            more = std::mem::take(&mut since.more);
            since.recorded = now;
        } else if networks.len() < NETWORKS {
            networks.insert(network, Since { recorded: now, more: 0, address });
        }
        let name: String = name.chars().take(NAME_CHARS).collect();
        Some(entry(now, name, why, address, more))
    }

    /// Forgets networks without refusals for a second. Returns the entries about others that are not
    /// recorded.
    pub(super) fn left(&self, now: Timestamp) -> Vec<AuditEvent> {
        let mut events = Vec::new();
        self.networks().retain(|_, since| {
            let is_over = between(since.recorded, now) >= QUIET;
            if is_over && since.more > 0 {
                events.push(entry(now, String::new(), "", since.address, since.more));
            }
            !is_over
        });
        events
    }

    fn networks(&self) -> MutexGuard<'_, HashMap<Network, Since>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(now: Timestamp, name: String, why: &str, address: IpAddr, more: u64) -> AuditEvent {
    let why = match (more, why) {
        (0, why) => why.to_owned(),
        (more, "") => format!("{more} more from this network"),
        (more, why) => format!("{why}; {more} more from this network"),
    };
    AuditEvent::new(now, AuditWho::default(), "sign_in")
        .detail(name)
        .decided(AuditDecision::Refused, why)
        .request(address.to_string(), "")
}
