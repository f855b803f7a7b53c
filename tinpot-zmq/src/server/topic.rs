//! Topics: the addresses of frames on the wire.

use tinpot_core::WorkerId;
use tinpot_core::transport::Address;

/// The address of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// The listeners at an address.
    At(Address),
    /// The client itself: what it sends there, it receives.
    Echo,
}

impl Topic {
    /// Reads a topic; `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once('/') {
            None if text == "coordinator" => Self::At(Address::Coordinator),
            None if text == "workers" => Self::At(Address::AllWorkers),
            None if text == "joins" => Self::At(Address::Joins),
            Some(("worker", id)) => Self::At(Address::Worker(WorkerId::new(id).ok()?)),
            Some(("joiner", id)) => Self::At(Address::Joiner(WorkerId::new(id).ok()?)),
            Some(("echo", _)) => Self::Echo,
            _ => return None,
        })
    }

    /// Returns the topic of an address; `None` if it has none.
    pub(super) fn of(address: &Address) -> Option<String> {
        Some(match address {
            Address::Coordinator => "coordinator".to_owned(),
            Address::AllWorkers => "workers".to_owned(),
            Address::Joins => "joins".to_owned(),
            Address::Worker(id) => format!("worker/{id}"),
            Address::Joiner(id) => format!("joiner/{id}"),
            _ => return None,
        })
    }
}

/// Returns true if a client may send to the address: it is one of the coordinator's.
pub(super) fn may_send_to(to: &Address) -> bool {
    matches!(to, Address::Coordinator | Address::Joins)
}

/// Returns true if a client may listen at the address: it is one of a client's.
pub(super) fn may_listen_at(at: &Address) -> bool {
    matches!(at, Address::AllWorkers | Address::Worker(_) | Address::Joiner(_))
}

#[cfg(test)]
mod tests {
    use tinpot_core::WorkerId;
    use tinpot_core::transport::Address;

    use super::{Topic, may_listen_at, may_send_to};

    #[test]
    fn addresses_have_topics_and_anything_else_has_none() {
        let id = || WorkerId::new("web-1").unwrap();
        let (web, joiner) = (Address::Worker(id()), Address::Joiner(id()));
        for address in [Address::Coordinator, Address::AllWorkers, Address::Joins, web, joiner] {
            let topic = Topic::of(&address).unwrap();
            assert_ne!(may_send_to(&address), may_listen_at(&address), "{address}");
            assert_eq!(Topic::parse(&topic), Some(Topic::At(address)));
        }
        assert_eq!(Topic::parse("echo/1"), Some(Topic::Echo));
        for bad in ["", "worker", "worker/", "worker/a/b", "joiner", "Coordinator", "workers/a"] {
            assert_eq!(Topic::parse(bad), None, "{bad}");
        }
    }
}
