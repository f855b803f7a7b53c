//! The topic prefixes of clients that know nothing of Tinpot, and the rights of these clients.

/// The topics below the namespace that workers use.
const OF_WORKERS: [&str; 3] = ["worker", "workers", "join"];

/// The topic prefixes of plain clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefixes(Vec<Prefix>);

#[derive(Clone, Debug)]
struct Prefix {
    topic: String,
    /// If true, clients may announce actions, and answer for them.
    offers: bool,
}

impl Prefixes {
    /// Adds a prefix, or lets clients offer actions below a known one. Returns its index.
    pub(super) fn add(&mut self, topic: String, offers: bool) -> usize {
        if let Some(at) = self.0.iter().position(|known| known.topic == topic) {
            self.0[at].offers |= offers;
            return at;
        }
        self.0.push(Prefix { topic, offers });
        self.0.len() - 1
    }

    /// Returns true if a topic or filter is below one of the prefixes.
    pub(super) fn have(&self, topic: &str) -> bool {
        self.0.iter().any(|prefix| below(topic, &prefix.topic).is_some())
    }

    /// Returns true if a client of a prefix may publish to a topic.
    pub(super) fn may_write(&self, index: usize, topic: &str) -> bool {
        let Some(own) = self.0.get(index) else { return false };
        let Some(rest) = below(topic, &own.topic) else { return false };
        let is_of_another = |other: &Prefix| {
            other.topic.len() > own.topic.len() && below(topic, &other.topic).is_some()
        };
        if topic.contains(['+', '#']) || self.0.iter().any(is_of_another) {
            return false;
        }
        match rest.split('/').collect::<Vec<_>>()[..] {
            ["actions", _, "trigger"] | ["exec", _, "cancel"] => true,
            ["actions", _] | ["exec", _, "result" | "log"] => own.offers,
            _ => false,
        }
    }

    /// Returns true if a client of a prefix may subscribe with a filter: every topic that it matches
    /// is below the prefix, and neither below another prefix nor one of workers.
    pub(super) fn may_read(&self, index: usize, namespace: &str, filter: &str) -> bool {
        let Some(own) = self.0.get(index) else { return false };
        if below(filter, &own.topic).is_none() {
            return false;
        }
        let reaches_another =
            |other: &Prefix| other.topic.len() > own.topic.len() && reaches(filter, &other.topic);
        let reaches_workers = |level: &&str| reaches(filter, &format!("{namespace}/{level}"));
        !self.0.iter().any(reaches_another) && !OF_WORKERS.iter().any(reaches_workers)
    }
}

/// Returns the part of a topic below a prefix.
fn below<'a>(topic: &'a str, prefix: &str) -> Option<&'a str> {
    topic.strip_prefix(prefix)?.strip_prefix('/')
}

/// Returns true if a filter matches a topic that is `base`, or below it.
fn reaches(filter: &str, base: &str) -> bool {
    let mut levels = filter.split('/');
    for level in base.split('/') {
        match levels.next() {
            Some("#") => return true,
            Some("+") => {}
            Some(other) if other == level => {}
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::Prefixes;

    fn prefixes(all: &[(&str, bool)]) -> Prefixes {
        let mut prefixes = Prefixes::default();
        for (topic, offers) in all {
            prefixes.add((*topic).to_owned(), *offers);
        }
        prefixes
    }

    #[test]
    fn clients_publish_triggers_and_answers_for_their_own_actions() {
        let all = prefixes(&[("home", false), ("garden", true), ("home/garden", false)]);
        for (topic, may) in [
            ("home/actions/greet/trigger", true),
            ("home/exec/1/cancel", true),
            ("home/actions/greet", false),
            ("home/exec/1/result", false),
            ("home/exec/1/log", false),
            ("home/status", false),
            ("home/errors", false),
            ("home/actions/greet/trigger/more", false),
            ("home/actions/+/trigger", false),
            ("home/garden/actions/greet/trigger", false),
            ("homes/actions/greet/trigger", false),
            ("garden/actions/greet/trigger", false),
            ("tinpot/worker/web/web-1/up/control", false),
            ("", false),
        ] {
            assert_eq!(all.may_write(0, topic), may, "{topic}");
        }
        for topic in ["actions/water", "exec/1/result", "exec/1/log", "actions/x/trigger"] {
            assert!(all.may_write(1, &format!("garden/{topic}")), "{topic}");
        }
        assert!(!all.may_write(1, "garden/status") && !all.may_write(7, "home/exec/1/cancel"));
        // A prefix below another is its own.
        let all = prefixes(&[("home", true), ("home/exec", false)]);
        assert!(!all.may_write(0, "home/exec/1/log") && all.may_write(0, "home/actions/x"));
    }

    #[test]
    fn filters_reach_neither_other_prefixes_nor_workers() {
        let all = prefixes(&[("home", false), ("home/garden", false), ("tinpot", false)]);
        for (index, filter, may) in [
            (0, "home/actions/+", true),
            (0, "home/exec/+/result", true),
            (0, "home/actions/#", true),
            (0, "home/status", true),
            (0, "home/#", false),
            (0, "home/+/actions", false),
            (0, "home/garden/actions/+", false),
            (0, "+/actions/+", false),
            (0, "#", false),
            (0, "$share/x/home/actions/+", false),
            (0, "homes/actions", false),
            (1, "home/garden/#", true),
            (1, "home/actions/+", false),
            (2, "tinpot/actions/#", true),
            (2, "tinpot/exec/+/log", true),
            (2, "tinpot/#", false),
            (2, "tinpot/+/web/web-1/down/control", false),
            (2, "tinpot/worker/web/#", false),
            (2, "tinpot/workers/control", false),
            (2, "tinpot/join/+/up", false),
        ] {
            assert_eq!(all.may_read(index, "tinpot", filter), may, "{index} {filter}");
        }
        // The namespace may be below a prefix.
        let all = prefixes(&[("site", false), ("office", false)]);
        assert!(!all.may_read(0, "site/tinpot", "site/#"));
        assert!(all.may_read(1, "site/tinpot", "office/#"));
    }
}
