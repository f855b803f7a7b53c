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
const MINUTE: Duration = Duration::from_secs(60);
/// The most networks that are counted one by one.
const NETWORKS: usize = 10_000;
/// The most entries about all networks in a minute. Beyond it, refusals are only counted: an attacker
/// with IPv6 has more networks than a disk has room.
const PER_MINUTE: u32 = 60;
/// The most entries about refusals that were only counted, between two calls of [`Refusals::left`].
const LEFT: usize = 10;
/// The longest name in characters.
const NAME_CHARS: usize = 64;

/// The refusals of each network since its last entry.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    networks: HashMap<Network, Since>,
    /// The start of a minute, and the entries in it.
    minute: Option<(Timestamp, u32)>,
    /// Refusals of networks that are not counted one by one.
    others: u64,
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
        let mut counts = self.counts();
        let has_room = counts.has_room(now);
        let Counts { networks, others, minute } = &mut *counts;
        let network = network_of(address);
        let mut more = 0;
        if let Some(since) = networks.get_mut(&network) {
            since.address = address;
            if between(since.recorded, now) < QUIET || !has_room {
                since.more += 1;
                return None;
            }
            more = std::mem::take(&mut since.more);
            since.recorded = now;
        } else if networks.len() < NETWORKS {
            let more = u64::from(!has_room);
            networks.insert(network, Since { recorded: now, more, address });
        } else if !has_room {
            *others += 1;
        }
        if !has_room {
            return None;
        }
        if let Some((_, entries)) = minute {
            *entries += 1;
        }
        let name: String = name.chars().take(NAME_CHARS).collect();
        Some(entry(now, name, why, address, more))
    }

    /// Forgets networks without refusals for a second. Returns the entries about others that are not
    /// recorded: one for each of those with the most, and one for the rest.
    pub(super) fn left(&self, now: Timestamp) -> Vec<AuditEvent> {
        let mut counts = self.counts();
        let mut over = Vec::new();
        counts.networks.retain(|_, since| {
            let is_over = between(since.recorded, now) >= QUIET;
            if is_over && since.more > 0 {
                over.push((since.more, since.address));
            }
            !is_over
        });
        over.sort_by_key(|(more, _)| std::cmp::Reverse(*more));
        let rest = over.split_off(over.len().min(LEFT));
        let others =
            std::mem::take(&mut counts.others) + rest.iter().map(|(more, _)| more).sum::<u64>();
        let left = |(more, address)| entry(now, String::new(), "", address, more);
        let mut events: Vec<AuditEvent> = over.into_iter().map(left).collect();
        if others > 0 {
            let why = format!("{others} more from other networks");
            let event = AuditEvent::new(now, AuditWho::default(), "sign_in");
            events.push(event.decided(AuditDecision::Refused, why));
        }
        events
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Returns true if there may be another entry in this minute.
    fn has_room(&mut self, now: Timestamp) -> bool {
        let (since, entries) = self.minute.get_or_insert((now, 0));
        if between(*since, now) >= MINUTE {
            (*since, *entries) = (now, 0);
        }
        *entries < PER_MINUTE
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use tinpot_core::Timestamp;

    use super::{LEFT, NETWORKS, PER_MINUTE, Refusals};

    #[test]
    fn a_flood_from_many_networks_makes_a_few_entries_and_all_are_counted() {
        let refusals = Refusals::default();
        let flood = |n: u32| IpAddr::from(Ipv6Addr::from((u128::from(n) << 64) | (0x2001 << 112)));
        let start = Timestamp(1_000_000_000);
        let total = NETWORKS as u32 + 1_000;
        let events = |at: Timestamp| {
            (0..total).filter_map(|n| refusals.event(at, "", "too many attempts", flood(n))).count()
        };
        assert_eq!(events(start), PER_MINUTE as usize);
        let later = Timestamp(start.0 + 61_000_000);
        let left = refusals.left(later);
        assert_eq!(left.len(), LEFT + 1);
        let count = |why: &str| why.split(' ').next().and_then(|n| n.parse::<u32>().ok());
        let counted: u32 = left.iter().filter_map(|event| count(&event.why)).sum();
        assert_eq!(counted, total - PER_MINUTE);
        assert!(refusals.left(later).is_empty());
        assert_eq!(events(later), PER_MINUTE as usize);
    }
}
