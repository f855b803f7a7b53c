//! The fuzz target of this crate: names that become topics.

use tinpot_core::{Address, Lane, WorkerId};

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
        let up = ours.topic(&Address::Coordinator);
        let down = ours.topic(&Address::Worker(one.clone()));
        let all = ours.topic(&Address::AllWorkers);
        for topic in [&up, &down, &all] {
            assert!(!topic.contains(['+', '#', '\0']), "{topic:?}");
            assert!(topic.starts_with(&format!("{namespace}/")), "{topic:?}");
        }
        assert!(up != down && down != all && all != up);
        assert_eq!(ours.filter_of(&up), ours.filter(&Address::Coordinator));
        assert_eq!(ours.filter_of(&down), ours.filter(&Address::Worker(one.clone())));
        assert_eq!(one == other, up == theirs.topic(&Address::Coordinator));
        assert_eq!(one == other, down == theirs.topic(&Address::Worker(other.clone())));
    }
}
