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
            Some(("worker", id)) => Self::At(Address::Worker(WorkerId::new(id).ok()?)),
            Some(("echo", _)) => Self::Echo,
            _ => return None,
        })
    }
}

/// Returns the topic of an address; `None` if it has none.
pub(super) fn topic_of(address: &Address) -> Option<String> {
    Some(match address {
        Address::Coordinator => "coordinator".to_owned(),
        Address::AllWorkers => "workers".to_owned(),
        Address::Worker(id) => format!("worker/{id}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use tinpot_core::WorkerId;
    use tinpot_core::transport::Address;

    use super::{Topic, topic_of};

    #[test]
    fn addresses_have_topics_and_anything_else_has_none() {
        let web = Address::Worker(WorkerId::new("web-1").unwrap());
        for address in [Address::Coordinator, Address::AllWorkers, web] {
            let topic = topic_of(&address).unwrap();
            assert_eq!(Topic::parse(&topic), Some(Topic::At(address)));
        }
        assert_eq!(Topic::parse("echo/1"), Some(Topic::Echo));
        for bad in ["", "worker", "worker/", "worker/a/b", "joins", "Coordinator", "workers/a"] {
            assert_eq!(Topic::parse(bad), None, "{bad}");
        }
        assert_eq!(topic_of(&Address::Joins), None);
    }
}
