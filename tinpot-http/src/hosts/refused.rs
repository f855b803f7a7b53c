//! Log lines about refused hosts, whose names clients choose.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// The refused hosts that are remembered, so that each is logged once.
const REMEMBERED: usize = 64;
/// The number of log lines in each period.
const LINES: u32 = 8;
const PERIOD: Duration = Duration::from_secs(60);

/// The refused hosts that were logged.
#[derive(Debug, Default)]
pub(super) struct Refused {
    hosts: HashSet<String>,
    since: Option<Instant>,
    lines: u32,
}

impl Refused {
    /// Returns true if the host is to be logged. Clients choose the names, so that names and lines are
    /// bounded.
    pub(super) fn is_news(&mut self, host: &str) -> bool {
        if self.hosts.contains(host) {
            return false;
        }
        if self.since.is_none_or(|since| since.elapsed() > PERIOD) {
            (self.since, self.lines) = (Some(Instant::now()), 0);
        }
        if self.lines >= LINES {
            return false;
        }
        self.lines += 1;
        if self.hosts.len() >= REMEMBERED {
            self.hosts.clear();
        }
        self.hosts.insert(host.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refused_host_is_logged_once_and_many_are_logged_in_part() {
        let mut refused = Refused::default();
        assert!(refused.is_news("a") && !refused.is_news("a"));
        let logged = (0..10_000).filter(|number| refused.is_news(&number.to_string())).count();
        assert_eq!(logged, LINES as usize - 1);
        assert!(refused.hosts.len() <= REMEMBERED);
    }
}
