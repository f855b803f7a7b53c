//! Addresses as topics. The table is in the docs of the crate.

use tinpot_core::WorkerId;
use tinpot_core::transport::{Address, Channel, Lane};

use crate::error::MqttError;

/// The topics of one namespace and one lane, as one participant uses them.
#[derive(Debug)]
pub(crate) struct Topics {
    namespace: String,
    lane: &'static str,
    /// The topic of this participant's frames to the coordinator.
    up: String,
    /// The filter of all workers' frames to the coordinator.
    every_up: String,
    /// The end of every topic of frames to the coordinator.
    up_suffix: String,
    all_workers: String,
    joins: Option<JoinTopics>,
}

/// The topics of those that join, which travel on the control lane.
#[derive(Debug)]
struct JoinTopics {
    /// The beginning of all of them.
    prefix: String,
    /// The topic of this participant's requests.
    up: String,
    /// The filter of all requests.
    every_up: String,
}

/// The end of every topic of requests to join.
const JOIN_UP: &str = "/up";

pub(crate) fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Control => "control",
        Lane::Logs => "logs",
    }
}

/// Checks that topics can begin with `namespace`.
pub(crate) fn check_namespace(namespace: &str) -> Result<(), MqttError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    let levels = namespace.split('/').all(|level| !level.is_empty());
    if !levels || namespace.len() > 200 || !namespace.chars().all(allowed) {
        return Err(MqttError::Option(format!(
            "namespace must be up to 200 of A-Z a-z 0-9 . _ - in levels separated by / (got {namespace:?})"
        )));
    }
    Ok(())
}

impl Topics {
    pub(crate) fn new(namespace: &str, lane: Lane, sender: &WorkerId) -> Self {
        let joins = (lane == Lane::Control).then(|| JoinTopics {
            prefix: format!("{namespace}/join/"),
            up: format!("{namespace}/join/{sender}{JOIN_UP}"),
            every_up: format!("{namespace}/join/+{JOIN_UP}"),
        });
        let lane = lane_name(lane);
        let name = sender.name();
        Self {
            up: format!("{namespace}/worker/{name}/{sender}/up/{lane}"),
            every_up: format!("{namespace}/worker/+/+/up/{lane}"),
            up_suffix: format!("/up/{lane}"),
            all_workers: format!("{namespace}/workers/{lane}"),
            namespace: namespace.to_owned(),
            lane,
            joins,
        }
    }

    fn joins(&self, address: &Address) -> Result<&JoinTopics, MqttError> {
        self.joins.as_ref().ok_or_else(|| MqttError::Address { address: address.clone() })
    }

    fn joiner(&self, address: &Address, key: &WorkerId) -> Result<String, MqttError> {
        Ok(format!("{}{key}/down", self.joins(address)?.prefix))
    }

    fn down(&self, worker: &WorkerId) -> String {
        let (namespace, lane, name) = (&self.namespace, self.lane, worker.name());
        format!("{namespace}/worker/{name}/{worker}/down/{lane}")
    }

    /// Returns the topic of frames for `to`.
    pub(crate) fn topic(&self, to: &Address) -> Result<String, MqttError> {
        match to {
            Address::Coordinator => Ok(self.up.clone()),
            Address::Worker(worker) => Ok(self.down(worker)),
            Address::AllWorkers => Ok(self.all_workers.clone()),
            Address::Joins => Ok(self.joins(to)?.up.clone()),
            Address::Joiner(key) => self.joiner(to, key),
            address => Err(MqttError::Address { address: address.clone() }),
        }
    }

    /// Returns the filter of frames for `at`.
    pub(crate) fn filter(&self, at: &Address) -> Result<String, MqttError> {
        match at {
            Address::Coordinator => Ok(self.every_up.clone()),
            Address::Worker(worker) => Ok(self.down(worker)),
            Address::AllWorkers => Ok(self.all_workers.clone()),
            Address::Joins => Ok(self.joins(at)?.every_up.clone()),
            Address::Joiner(key) => self.joiner(at, key),
            address => Err(MqttError::Address { address: address.clone() }),
        }
    }

    /// Returns the filter under which a frame of `topic` arrives.
    pub(crate) fn filter_of<'a>(&'a self, topic: &'a str) -> &'a str {
        match self.join_up(topic) {
            Some(joins) => &joins.every_up,
            None if topic.ends_with(&self.up_suffix) => &self.every_up,
            None => topic,
        }
    }

    /// Returns the topics of those that join if this is one of their requests.
    fn join_up(&self, topic: &str) -> Option<&JoinTopics> {
        let joins = self.joins.as_ref()?;
        let key = topic.strip_prefix(&joins.prefix)?.strip_suffix(JOIN_UP)?;
        WorkerId::new(key).is_ok().then_some(joins)
    }

    /// Returns the participant that may write to this topic. `None` if none of this protocol may.
    pub(crate) fn channel(&self, topic: &str) -> Option<Channel> {
        if self.join_up(topic).is_some() {
            return Some(Channel::Unknown);
        }
        let Some(below) = topic.strip_suffix(&self.up_suffix) else {
            return Some(Channel::Coordinator);
        };
        let levels = below.strip_prefix(&self.namespace)?.strip_prefix("/worker/")?;
        let (name, id) = levels.split_once('/')?;
        Some(Channel::Worker { name: name.into(), id: WorkerId::new(id).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use tinpot_core::WorkerId;
    use tinpot_core::transport::{Address, Channel, Lane};

    use super::{Topics, check_namespace};

    #[test]
    fn every_topic_of_a_worker_is_below_its_name() {
        let web = WorkerId::new("web-1f2e3d4c").unwrap();
        let topics = Topics::new("prod/eu", Lane::Control, &web);
        let up = topics.topic(&Address::Coordinator).unwrap();
        assert_eq!(up, "prod/eu/worker/web/web-1f2e3d4c/up/control");
        assert_eq!(topics.filter_of(&up), "prod/eu/worker/+/+/up/control");
        let down = topics.topic(&Address::Worker(web.clone())).unwrap();
        assert_eq!(down, "prod/eu/worker/web/web-1f2e3d4c/down/control");
        assert_eq!(topics.filter_of(&down), topics.filter(&Address::Worker(web.clone())).unwrap());
        assert_eq!(topics.topic(&Address::AllWorkers).unwrap(), "prod/eu/workers/control");
        let by = |topic: &str| topics.channel(topic);
        assert_eq!(by(&up), Some(Channel::of(&Address::Worker(web.clone()))));
        assert_eq!(by(&down), Some(Channel::Coordinator));
        let foreign = by("prod/eu/worker/db/web-1f2e3d4c/up/control").unwrap();
        assert!(!foreign.admits(Some(&web)), "an id under another worker's name: {foreign}");
        for bad in ["web/%/up/control", "web/a/b/up/control", "web/up/control"] {
            assert_eq!(by(&format!("prod/eu/worker/{bad}")), None, "{bad}");
        }
        let (joiner, request) = (Address::Joiner(web.clone()), "prod/eu/join/web-1f2e3d4c/up");
        assert_eq!(topics.topic(&Address::Joins).unwrap(), request);
        assert_eq!(topics.filter_of(request), topics.filter(&Address::Joins).unwrap());
        assert_eq!(topics.topic(&joiner).unwrap(), "prod/eu/join/web-1f2e3d4c/down");
        assert_eq!(by(request), Some(Channel::Unknown));
        let logs = Topics::new("prod/eu", Lane::Logs, &web);
        assert!(logs.topic(&Address::Joins).is_err() && logs.filter(&joiner).is_err());
        let plain = Topics::new("tinpot", Lane::Logs, &WorkerId::new("-web").unwrap());
        assert_eq!(plain.topic(&Address::Coordinator).unwrap(), "tinpot/worker/-web/-web/up/logs");
    }

    #[test]
    fn namespaces_hold_no_wildcards() {
        for good in ["tinpot", "a/b.c/d_e-f"] {
            assert!(check_namespace(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", "a/+", "#", "$SYS", "a b", "ä"] {
            assert!(check_namespace(bad).is_err(), "{bad}");
        }
    }
}
