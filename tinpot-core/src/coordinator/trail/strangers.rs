//! Refusals of peers that are not known: credentials, and frames. Strangers can send as many as they
//! like, and the audit stays small.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::access::{AuditDecision, AuditEvent, AuditWho};
use crate::model::text;
use crate::model::time::Timestamp;

/// The sources that are counted one by one between two writes.
const SOURCES: usize = 1_024;
/// The entries of one write: those of the sources with the most refusals. All others share one. At one
/// write a minute, a flood makes some 5 MB a day.
const ENTRIES: usize = 10;
/// The reasons that an entry names.
const REASONS: usize = 4;
/// The longest reason, and the longest name of a peer, in bytes: parts of them are the peer's words.
const TEXT_BYTES: usize = 160;

/// The origin of refusals that are one entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Source {
    /// The /24 of an IPv4 address, or the /64 of an IPv6 address; `None` if it is not known.
    Network(Option<IpAddr>),
    /// A peer of the transport, by the name that it has there.
    Peer(String),
}

/// The refusals since the last write.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    sources: HashMap<Source, Tries>,
    others: Option<(Timestamp, u64)>,
}

#[derive(Debug)]
struct Tries {
    since: Timestamp,
    times: u64,
    /// The address of the last one.
    address: Option<IpAddr>,
    reasons: Vec<(String, u64)>,
}

impl Strangers {
    /// Counts a credential that was refused.
    pub(super) fn credential(&mut self, address: Option<IpAddr>, why: &str) {
        let address = address.map(|address| address.to_canonical());
        self.count(Source::Network(address.map(network_of)), address, why);
    }

    /// Counts a frame that was refused.
    pub(super) fn frame(&mut self, peer: &str, why: &str) {
        let mut peer = peer.to_owned();
        text::cut(&mut peer, TEXT_BYTES);
        self.count(Source::Peer(peer), None, why);
    }

    fn count(&mut self, source: Source, address: Option<IpAddr>, why: &str) {
        if self.sources.len() >= SOURCES && !self.sources.contains_key(&source) {
            self.others.get_or_insert_with(|| (Timestamp::now(), 0)).1 += 1;
            return;
        }
        let tries = self.sources.entry(source).or_insert_with(|| Tries {
            since: Timestamp::now(),
            times: 0,
            address,
            reasons: Vec::new(),
        });
        tries.times += 1;
        tries.address = address;
        let mut why = why.to_owned();
        text::cut(&mut why, TEXT_BYTES);
        match tries.reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, times)) => *times += 1,
            None => {
                if tries.reasons.len() < REASONS {
                    tries.reasons.push((why, 1));
                }
            }
        }
    }

    /// Returns the events, at most one for each source.
    pub(super) fn into_events(self) -> Vec<AuditEvent> {
        let mut all: Vec<(Source, Tries)> = self.sources.into_iter().collect();
        all.sort_by_key(|(_, tries)| std::cmp::Reverse(tries.times));
        let rest = all.split_off(all.len().min(ENTRIES));
        let mut events: Vec<AuditEvent> =
            all.into_iter().map(|(source, tries)| tries.into_event(source)).collect();
        let more = rest.iter().map(|(_, tries)| tries.times).sum::<u64>();
        let more = more + self.others.map_or(0, |(_, times)| times);
        let since = rest.iter().map(|(_, tries)| tries.since).chain(self.others.map(|(at, _)| at));
        if let Some(since) = since.min() {
            let why = format!("{more} refusals of more networks and peers");
            let event = AuditEvent::new(since, AuditWho::default(), "authenticate");
            events.push(event.decided(AuditDecision::Refused, why));
        }
        events
    }
}

impl Tries {
    fn into_event(self, source: Source) -> AuditEvent {
        let (mut why, mut rest) = (String::new(), self.times);
        for (reason, times) in &self.reasons {
            let comma = if why.is_empty() { "" } else { "; " };
            let _ = match times {
                1 => write!(why, "{comma}{reason}"),
                _ => write!(why, "{comma}{reason} ({times} times)"),
            };
            rest -= times;
        }
        if rest > 0 {
            let _ = write!(why, "; and {rest} more");
        }
        let event = match source {
            Source::Network(network) => {
                let event = AuditEvent::new(self.since, AuditWho::default(), "authenticate");
                let event = event.detail(network.map(shown).unwrap_or_default());
                event.request(self.address.map(|at| at.to_string()).unwrap_or_default(), "")
            }
            // What it says of itself is not proved: its name is no principal.
            Source::Peer(peer) => {
                AuditEvent::new(self.since, AuditWho::default(), "frame").detail(peer)
            }
        };
        event.decided(AuditDecision::Refused, why)
    }
}

fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

fn shown(network: IpAddr) -> String {
    format!("network {network}/{}", if network.is_ipv4() { 24 } else { 64 })
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use super::{ENTRIES, Strangers};
    use crate::access::AuditDecision;

    #[test]
    fn a_flood_of_many_networks_is_a_few_entries_of_some_hundred_bytes() {
        let mut strangers = Strangers::default();
        let flood = |net: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, net, 1, 2, 3, 4));
        strangers.frame("worker \"w\"", "its tag is wrong");
        for net in 0..5_000 {
            strangers.credential(Some(flood(net)), &format!("reason {net}{}", "x".repeat(9_000)));
        }
        for n in 0..100 {
            strangers.credential(Some(flood(7)), &format!("reason {n}"));
            if n > 0 {
                strangers.frame("worker \"w\"", "its tag is wrong");
            }
        }
        let events = strangers.into_events();
        assert_eq!(events.len(), ENTRIES + 1);
        let times = |text: &str| text.split(' ').find_map(|word| word.parse::<u64>().ok());
        let first = events.iter().find(|event| event.from == "2001:db8:0:7:1:2:3:4").expect("it");
        assert_eq!(first.detail, "network 2001:db8:0:7::/64");
        assert!(first.why.ends_with("; and 97 more"), "{first:?}");
        let frame = events.iter().find(|event| &*event.what == "frame").expect("the frames");
        assert_eq!(frame.why, "its tag is wrong (100 times)");
        assert_eq!(times(&events[ENTRIES].why), Some(5_000 - (ENTRIES as u64 - 1)));
        for event in events {
            assert_eq!(event.decision, AuditDecision::Refused);
            assert!(serde_json::to_string(&event).expect("JSON").len() < 1_000, "{event:?}");
        }
        assert!(Strangers::default().into_events().is_empty());
    }
}
