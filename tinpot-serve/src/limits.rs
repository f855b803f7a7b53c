//! The limits of connections: times, and numbers.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tinpot_http::AddressRange;

use crate::activity::Activity;

/// The limits of the connections of a server.
///
/// ```
/// use std::time::Duration;
/// use tinpot_serve::ConnectionLimits;
///
/// let limits = ConnectionLimits::default().idle(Duration::from_secs(20)).per_address(32);
/// assert_eq!(limits.head, Duration::from_secs(10));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionLimits {
    /// The time that a client has to send the head of a request, from its first byte on, or from the
    /// beginning of the connection. Default: 10 s.
    pub head: Duration,
    /// The time for which a connection stays open between two requests. Default: 75 s.
    pub idle: Duration,
    /// The time after which a body is given up that does not arrive any further. Default: 30 s.
    pub body: Duration,
    /// The time after which a client is given up that reads no further. Default: 30 s.
    pub write: Duration,
    /// The largest head of a request, in bytes. Default: 32 KiB.
    pub head_bytes: usize,
    /// The number of connections. Beyond it, a new one takes the place of an old one that has no
    /// request; if all have one, the new one is closed at once. Fewer, if the process may have few open
    /// files. Default: 10,000.
    pub connections: usize,
    /// The number of connections from one address; those from this machine are not limited. Default:
    /// 256.
    pub per_address: usize,
    /// The addresses of proxies, whose connections serve many clients and are not limited. Default:
    /// none.
    pub proxies: Vec<AddressRange>,
    /// The number of open files that are kept for everything else. Default: 256.
    pub reserved_files: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
            head_bytes: 32 << 10,
            connections: 10_000,
            per_address: 256,
            proxies: Vec::new(),
            reserved_files: 256,
        }
    }
}

impl ConnectionLimits {
    /// Sets the time for the head of a request.
    #[must_use]
    pub fn head(mut self, time: Duration) -> Self {
        self.head = time;
        self
    }

    /// Sets the time between two requests.
    #[must_use]
    pub fn idle(mut self, time: Duration) -> Self {
        self.idle = time;
        self
    }

    /// Sets the time without a byte of a body.
    #[must_use]
    pub fn body(mut self, time: Duration) -> Self {
        self.body = time;
        self
    }

    /// Sets the time without a byte that the client reads.
    #[must_use]
    pub fn write(mut self, time: Duration) -> Self {
        self.write = time;
        self
    }

    /// Sets the number of connections.
    #[must_use]
    pub fn connections(mut self, number: usize) -> Self {
        self.connections = number;
        self
    }

    /// Sets the number of connections from one address.
    #[must_use]
    pub fn per_address(mut self, number: usize) -> Self {
        self.per_address = number;
        self
    }

    /// Sets the addresses of proxies, whose connections are not limited by address.
    #[must_use]
    pub fn proxies(mut self, ranges: Vec<AddressRange>) -> Self {
        self.proxies = ranges;
        self
    }

    /// Returns the number of connections for which there are files.
    fn affordable(&self) -> usize {
        let files = getrlimit(Resource::Nofile).current;
        let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
        // With very few files, both halves are small.
        self.connections.min(files - self.reserved_files.min(files / 2)).max(1)
    }
}

/// The count of open connections.
#[derive(Debug)]
pub(super) struct Places {
    all: usize,
    per_address: usize,
    proxies: Vec<AddressRange>,
    taken: Mutex<Taken>,
}

/// The connections that may be ending, to make room for others: beyond the number of all, and within
/// half of the reserved files.
const ENDING: usize = 64;
/// The old connections that are looked at to make room for one.
const LOOKS: usize = 64;

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// The connections, mostly the oldest first, and some that have ended.
    oldest: VecDeque<Weak<Activity>>,
    /// Never more than `all`: addresses without connections are removed.
    by_address: HashMap<IpAddr, usize>,
}

/// A counted connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    address: Option<IpAddr>,
}

impl Places {
    pub(super) fn new(limits: &ConnectionLimits) -> Arc<Self> {
        let (all, per_address) = (limits.affordable(), limits.per_address);
        let proxies = limits.proxies.clone();
        Arc::new(Self { all, per_address, proxies, taken: Mutex::default() })
    }

    /// Counts a connection from `address`, or returns the reason why it is one too many.
    pub(super) fn take(
        self: &Arc<Self>,
        address: IpAddr,
        activity: &Arc<Activity>,
    ) -> Result<Place, &'static str> {
        // Proxies and the programs of this machine come from there.
        let is_proxy = |address: &IpAddr| self.proxies.iter().any(|range| range.contains(*address));
        let address = Some(address.to_canonical());
        let address = address.filter(|address| !address.is_loopback() && !is_proxy(address));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = address {
            let of_address = taken.by_address.get(&address).copied().unwrap_or_default();
            if of_address >= self.per_address {
                return Err("too many connections from one address");
            }
        }
        if taken.all >= self.all && !taken.make_room(self.all + ENDING) {
            return Err("too many connections");
        }
        if let Some(address) = address {
            *taken.by_address.entry(address).or_default() += 1;
        }
        taken.all += 1;
        taken.add(activity);
        Ok(Place { places: self.clone(), address })
    }
}

impl Taken {
    fn add(&mut self, activity: &Arc<Activity>) {
        if self.oldest.len() > 2 * self.all + LOOKS {
            self.oldest.retain(|one| one.strong_count() > 0);
        }
        self.oldest.push_back(Arc::downgrade(activity));
    }

    /// Ends an old connection without a request, unless more than enough are ending.
    fn make_room(&mut self, most: usize) -> bool {
        if self.all >= most {
            return false;
        }
        for _ in 0..LOOKS {
            let Some(oldest) = self.oldest.pop_front() else { return false };
            let Some(activity) = oldest.upgrade() else { continue };
            if activity.give_up() {
                return true;
            }
            self.oldest.push_back(oldest);
        }
        false
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(address) = self.address
            && let Some(of_address) = taken.by_address.get_mut(&address)
        {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_takes_its_share_and_this_machine_the_rest() {
        let proxies = vec!["10.9.0.0/16".parse().expect("a range")];
        let limits = ConnectionLimits::default().connections(8).per_address(2).proxies(proxies);
        let places = Places::new(&limits);
        let busy = Activity::new();
        let _request = busy.request();
        let take = |address: &str| places.take(address.parse().expect(address), &busy);
        let mut first = vec![take("10.0.0.1"), take("::ffff:10.0.0.1")];
        assert!(first.iter().all(Result::is_ok));
        assert_eq!(
            take("10.0.0.1").expect_err("one too many"),
            "too many connections from one address"
        );
        let local: Vec<_> = (0..3).map(|_| take("127.0.0.1")).collect();
        let proxy: Vec<_> = (0..3).map(|_| take("10.9.0.1")).collect();
        assert!(local.iter().chain(&proxy).all(Result::is_ok));
        assert_eq!(take("10.0.0.2").expect_err("one too many"), "too many connections");
        first.pop();
        assert!(take("10.0.0.1").is_ok());
        drop((first, local, proxy));
        let taken = places.taken.lock().expect("not poisoned");
        assert_eq!((taken.all, taken.by_address.len()), (0, 0));
    }
}
