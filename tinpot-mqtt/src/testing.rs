//! The fuzz target of this crate: names that become topics.

use tinpot_core::WorkerId;
use tinpot_core::transport::{Address, Lane};

use crate::topics::{Topics, check_namespace};

/// Takes a namespace and two worker ids, a line each. Accepted names have distinct topics without
/// wildcards.
pub fn topics(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let Some(namespace) = lines.next().filter(|name| check_namespace(name).is_ok()) else { return };
    let mut worker = || WorkerId::new(lines.next()?).ok();
    let (Some(one), Some(other)) = (worker(), worker()) else { return };
    for lane in Lane::ALL {
        let (ours, theirs) =
            (Topics::new(namespace, lane, &one), Topics::new(namespace, lane, &other));
        let topic = |topics: &Topics, to| topics.topic(&to).expect("a topic");
        let filter = |at| ours.filter(&at).expect("a filter");
        let up = topic(&ours, Address::Coordinator);
        let down = topic(&ours, Address::Worker(one.clone()));
        let all = topic(&ours, Address::AllWorkers);
        for topic in [&up, &down, &all] {
            assert!(!topic.contains(['+', '#', '\0']), "{topic:?}");
            assert!(topic.starts_with(&format!("{namespace}/")), "{topic:?}");
        }
        assert!(up != down && down != all && all != up);
        assert_eq!(ours.filter_of(&up), filter(Address::Coordinator));
        assert_eq!(ours.filter_of(&down), filter(Address::Worker(one.clone())));
        assert_eq!(one == other, up == topic(&theirs, Address::Coordinator));
        assert_eq!(one == other, down == topic(&theirs, Address::Worker(other.clone())));
    }
}
