//! Limits on the guessing of passwords.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tinpot_core::Timestamp;

use crate::clock::{after, between};
use crate::secret::Digest;

/// Failures for one account from one network before there is a wait.
const FREE: u32 = 5;
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// The time after which failures are forgotten. Shorter ones would allow more guesses a day than
/// waiting does.
const FORGET: Duration = Duration::from_secs(24 * 3_600);
/// The guesses for one account from all addresses: at once, and within an hour.
const ACCOUNT: Rate = Rate { number: 60, per: Duration::from_secs(3_600) };
/// The attempts from one network: at once, and within a minute.
const NETWORK: Rate = Rate { number: 20, per: Duration::from_secs(60) };
/// The beginnings of sign-ins elsewhere from one network: at once, and within a minute. They reveal
/// nothing, so this limit only bounds the work.
const BEGINNINGS: Rate = Rate { number: 120, per: Duration::from_secs(60) };
/// The entries of each table. Beyond it, the entries that were not used for longest are forgotten.
const ENTRIES: usize = 50_000;

/// Limits the rate at which passwords can be guessed, without locking a user out.
///
/// - For one account and one network (/24 or /64): 5 failures are free, then each failure doubles a
///   wait from 1 s to 15 min.
/// - For one account from all addresses: 60 attempts an hour. Beyond that, only devices that have
///   signed in before may try.
/// - From one network: 20 attempts a minute.
///
/// Sign-ins that begin at an identity provider have a limit of their own: 120 a minute from one
/// network.
///
/// ```
/// use std::net::Ipv4Addr;
/// use std::time::Duration;
/// use tinpot_access::Throttle;
/// use tinpot_core::Timestamp;
///
/// let (throttle, now, home) = (Throttle::new(), Timestamp::now(), Ipv4Addr::LOCALHOST.into());
/// let guess = || throttle.attempt(now, "ada", home, false);
/// assert_eq!((0..6).map(|_| guess()).filter(Result::is_ok).count(), 6);
/// assert_eq!(guess(), Err(Duration::from_secs(1)));
/// // With the right password, the failures are forgotten.
/// throttle.succeeded("ada", home);
/// assert_eq!(guess(), Ok(()));
/// ```
#[derive(Debug, Default)]
pub struct Throttle {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    failures: HashMap<(Account, Network), Failures>,
    accounts: HashMap<Account, Bucket>,
    networks: HashMap<Network, Bucket>,
    beginnings: HashMap<Network, Bucket>,
}

/// A digest of the name: any text that a client sends has the same size.
type Account = Digest;
pub(crate) type Network = [u8; 8];

#[derive(Clone, Copy, Debug)]
struct Failures {
    number: u32,
    last: Timestamp,
}

impl Failures {
    /// Returns the time from which on another attempt is allowed.
    fn until(self) -> Timestamp {
        let Some(doublings) = self.number.checked_sub(FREE + 1) else { return self.last };
        let wait = Duration::from_secs(1_u64.checked_shl(doublings).unwrap_or(u64::MAX));
        after(self.last, wait.min(LONGEST))
    }
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    number: u32,
    per: Duration,
}

/// A bucket that fills at a rate. It is kept as the time at which it is full again.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full: Timestamp,
}

impl Bucket {
    /// Returns the time to wait for the next attempt; zero if it is allowed.
    fn wait(self, rate: Rate, now: Timestamp) -> Duration {
        let one = rate.per / rate.number;
        between(now, self.full).saturating_sub(rate.per.saturating_sub(one))
    }

    fn take(&mut self, rate: Rate, now: Timestamp) {
        self.full = after(self.full.max(now), rate.per / rate.number);
    }
}

impl Throttle {
    /// Creates a throttle without any failures.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows an attempt, which counts as a failure until [`succeeded`](Self::succeeded) is called;
    /// otherwise returns the time to wait.
    ///
    /// `is_known_device` is true if the client has proved that it has signed in to this account
    /// before.
    ///
    /// # Errors
    /// The time after which another attempt is allowed.
    pub fn attempt(
        &self,
        now: Timestamp,
        account: &str,
        address: IpAddr,
        is_known_device: bool,
    ) -> Result<(), Duration> {
        let (account, network) = (account_of(account), network_of(address));
        let mut tables = self.tables();
        let Tables { failures, accounts, networks, .. } = &mut *tables;
        let known = failures.get(&(account, network));
        let mut wait = known.map_or(Duration::ZERO, |known| between(now, known.until()));
        let of_network = networks.get(&network).copied().unwrap_or(Bucket { full: now });
        wait = wait.max(of_network.wait(NETWORK, now));
        let of_account = accounts.get(&account).copied().unwrap_or(Bucket { full: now });
        if !is_known_device {
            wait = wait.max(of_account.wait(ACCOUNT, now));
        }
        if !wait.is_zero() {
            return Err(wait);
        }
        room(networks, now, |bucket| bucket.full);
        networks.entry(network).or_insert(of_network).take(NETWORK, now);
        room(accounts, now, |bucket| bucket.full);
        accounts.entry(account).or_insert(of_account).take(ACCOUNT, now);
        room(failures, now, |failures| after(failures.last, FORGET));
        let failures = failures.entry((account, network));
        let failures = failures.or_insert(Failures { number: 0, last: now });
        if between(failures.last, now) >= FORGET {
            failures.number = 0;
        }
        failures.number = failures.number.saturating_add(1);
        failures.last = now;
        Ok(())
    }

    /// Allows an attempt from this address with a credential that cannot be guessed; otherwise
    /// returns the time to wait.
    ///
    /// # Errors
    /// The time after which another attempt is allowed.
    pub fn attempt_from(&self, now: Timestamp, address: IpAddr) -> Result<(), Duration> {
        take_from(&mut self.tables().networks, NETWORK, now, address)
    }

    /// Allows a client at this address to begin a sign-in at an identity provider; otherwise returns
    /// the time to wait. Does not count as an attempt.
    ///
    /// # Errors
    /// The time after which another beginning is allowed.
    pub fn begin_from(&self, now: Timestamp, address: IpAddr) -> Result<(), Duration> {
        take_from(&mut self.tables().beginnings, BEGINNINGS, now, address)
    }

    /// Removes the failures for an account from a network, after a success.
    pub fn succeeded(&self, account: &str, address: IpAddr) {
        self.tables().failures.remove(&(account_of(account), network_of(address)));
    }

    /// Removes entries that no longer have an effect. Once a minute is enough.
    pub fn sweep(&self, now: Timestamp) {
        let mut tables = self.tables();
        tables.failures.retain(|_, failures| between(failures.last, now) < FORGET);
        tables.accounts.retain(|_, bucket| bucket.full > now);
        tables.networks.retain(|_, bucket| bucket.full > now);
        tables.beginnings.retain(|_, bucket| bucket.full > now);
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes one from the bucket of a network, or returns the time to wait.
fn take_from(
    table: &mut HashMap<Network, Bucket>,
    rate: Rate,
    now: Timestamp,
    address: IpAddr,
) -> Result<(), Duration> {
    let network = network_of(address);
    let bucket = table.get(&network).copied().unwrap_or(Bucket { full: now });
    match bucket.wait(rate, now) {
        Duration::ZERO => {
            room(table, now, |bucket| bucket.full);
            table.entry(network).or_insert(bucket).take(rate, now);
            Ok(())
        }
        wait => Err(wait),
    }
}

/// Makes room for one more entry: removes those without effect, and a tenth if all have one.
fn room<K: Eq + Hash + Clone, V>(
    table: &mut HashMap<K, V>,
    now: Timestamp,
    end: impl Fn(&V) -> Timestamp,
) {
    if table.len() < ENTRIES {
        return;
    }
    table.retain(|_, value| end(value) > now);
    if table.len() >= ENTRIES {
        let mut ends: Vec<Timestamp> = table.values().map(&end).collect();
        ends.sort_unstable();
        let earliest = ends[ENTRIES / 10];
        table.retain(|_, value| end(value) > earliest);
    }
}

fn account_of(name: &str) -> Account {
    Digest::of(name.to_lowercase().as_bytes())
}

/// Returns the /24 of an IPv4 address, or the /64 of an IPv6 address.
pub(crate) fn network_of(address: IpAddr) -> Network {
    let mut network = [0; 8];
    match address.to_canonical() {
        IpAddr::V4(address) => network[1..4].copy_from_slice(&address.octets()[..3]),
        IpAddr::V6(address) => network.copy_from_slice(&address.octets()[..8]),
    }
    network
}
