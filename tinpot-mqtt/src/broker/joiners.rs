//! The limits of clients that join: they have no password, so any client can be one.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mqtt5::broker::{BrokerEventHandler, ClientConnectEvent, ClientPublishEvent, PublishAction};

use super::rights::{Answer, Guard};

/// The maximum number of keys that join from one address at a time.
const KEYS_OF_ADDRESS: usize = 4;
/// The maximum number of keys that join at a time.
const KEYS: usize = 32;
/// The maximum number of connections for one key: one for each lane, and as many while the former
/// ones are not closed yet.
const CONNECTIONS_OF_KEY: usize = 4;
/// The time after which a connection that was admitted and not set up is not counted.
const SET_UP: Duration = Duration::from_secs(60);
/// The maximum size of what one that joins publishes. A request to join has less than 2 KiB.
const PAYLOAD_BYTES: usize = 16 * 1024;

/// The connections of those that join, by number.
#[derive(Debug, Default)]
pub(super) struct Joiners(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    last: u64,
    connections: HashMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    network: IpAddr,
    key: String,
    since: Instant,
    is_set_up: bool,
}

impl Joiners {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a connection. Returns its number, or `None` if there are too many.
    pub(super) fn admit(&self, address: IpAddr, key: &str, now: Instant) -> Option<u64> {
        let network = network_of(address);
        let mut open = self.lock();
        open.connections.retain(|_, one| one.is_set_up || now - one.since < SET_UP);
        let all = || open.connections.values();
        let here = || all().filter(|one| one.network == network);
        let may = match here().filter(|one| one.key == key).count() {
            0 => distinct(here()) < KEYS_OF_ADDRESS && distinct(all()) < KEYS,
            own => own < CONNECTIONS_OF_KEY,
        };
        if !may {
            return None;
        }
        open.last += 1;
        let number = open.last;
        let connection = Connection { network, key: key.to_owned(), since: now, is_set_up: false };
        open.connections.insert(number, connection);
        Some(number)
    }

    pub(super) fn set_up(&self, number: u64) {
        if let Some(connection) = self.lock().connections.get_mut(&number) {
            connection.is_set_up = true;
        }
    }

    pub(super) fn close(&self, number: u64) {
        self.lock().connections.remove(&number);
    }
}

/// Returns the number of joins that these connections are for.
fn distinct<'a>(connections: impl Iterator<Item = &'a Connection>) -> usize {
    connections.map(|one| (one.network, &*one.key)).collect::<HashSet<_>>().len()
}

/// Returns the address, or the /64 of an IPv6 address: one host has all of it.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address => address,
    }
}

impl BrokerEventHandler for Guard {
    fn on_client_connect<'a>(&'a self, event: ClientConnectEvent) -> Answer<'a, ()> {
        if let Some(number) = self.joiner(event.user_id.as_deref()) {
            self.joiners().set_up(number);
        }
        Box::pin(async {})
    }

    fn on_client_publish<'a>(&'a self, event: ClientPublishEvent) -> Answer<'a, PublishAction> {
        let bytes = event.payload.len();
        let is_dropped = bytes > PAYLOAD_BYTES && self.joiner(event.user_id.as_deref()).is_some();
        if is_dropped {
            tracing::debug!(bytes, "the broker drops a packet of one that joins: it is too large");
        }
        let action = if is_dropped { PublishAction::Handled } else { PublishAction::Continue };
        Box::pin(async { action })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::{Duration, Instant};

    use super::Joiners;

    #[test]
    fn one_address_joins_with_few_keys_and_all_with_not_many() {
        let (joiners, now) = (Joiners::default(), Instant::now());
        let at = |text: &str| text.parse::<IpAddr>().expect("an address");
        let admit = |address: &str, key: &str| joiners.admit(at(address), key, now);
        for key in ["a", "b", "c", "d"] {
            assert!(admit("2001:db8::1", key).is_some());
        }
        assert_eq!(admit("2001:db8::2", "e"), None, "a host has all of its /64");
        let more: Vec<_> = (0..3).map(|_| admit("2001:db8::3", "a").expect("a lane")).collect();
        assert_eq!(admit("2001:db8::1", "a"), None, "a fifth connection of one key");
        joiners.close(more[0]);
        assert!(admit("2001:db8::1", "a").is_some());
        let admitted = (0..100).filter(|n| admit(&format!("10.0.0.{n}"), "a").is_some()).count();
        assert_eq!(admitted, 28, "32 in all");
        // What was never set up does not count for ever, and what was set up does.
        joiners.set_up(1);
        let later = now + Duration::from_secs(61);
        assert!(joiners.admit(at("2001:db8::1"), "e", later).is_some());
        assert_eq!(joiners.lock().connections.len(), 2);
    }
}
