//! Addresses as topics. The table is in the docs of the crate.

use tinpot_core::WorkerId;
use tinpot_core::transport::{Address, Lane};

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
}

/// Returns the worker's name: its id without the random part at the end, so that access lists can
/// name it in advance.
fn name_of(worker: &WorkerId) -> &str {
    match worker.as_str().rsplit_once('-') {
        Some((name, _)) if !name.is_empty() => name,
        _ => worker.as_str(),
    }
}

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
        let lane = lane_name(lane);
        let name = name_of(sender);
        Self {
            up: format!("{namespace}/worker/{name}/{sender}/up/{lane}"),
            every_up: format!("{namespace}/worker/+/+/up/{lane}"),
            up_suffix: format!("/up/{lane}"),
            all_workers: format!("{namespace}/workers/{lane}"),
            namespace: namespace.to_owned(),
            lane,
        }
    }

    fn down(&self, worker: &WorkerId) -> String {
        let (namespace, lane, name) = (&self.namespace, self.lane, name_of(worker));
        format!("{namespace}/worker/{name}/{worker}/down/{lane}")
    }

    /// Returns the topic of frames for `to`.
    pub(crate) fn topic(&self, to: &Address) -> Result<String, MqttError> {
        match to {
            Address::Coordinator => Ok(self.up.clone()),
            Address::Worker(worker) => Ok(self.down(worker)),
            Address::AllWorkers => Ok(self.all_workers.clone()),
            address => Err(MqttError::Address { address: address.clone() }),
        }
    }

    /// Returns the filter of frames for `at`.
    pub(crate) fn filter(&self, at: &Address) -> Result<String, MqttError> {
        match at {
            Address::Coordinator => Ok(self.every_up.clone()),
            Address::Worker(worker) => Ok(self.down(worker)),
            Address::AllWorkers => Ok(self.all_workers.clone()),
            address => Err(MqttError::Address { address: address.clone() }),
        }
    }

    /// Returns the filter under which a frame of `topic` arrives.
    pub(crate) fn filter_of<'a>(&'a self, topic: &'a str) -> &'a str {
        if topic.ends_with(&self.up_suffix) { &self.every_up } else { topic }
    }
}

#[cfg(test)]
mod tests {
    use tinpot_core::WorkerId;
    use tinpot_core::transport::{Address, Lane};

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
        assert_eq!(topics.filter_of(&down), topics.filter(&Address::Worker(web)).unwrap());
        assert_eq!(topics.topic(&Address::AllWorkers).unwrap(), "prod/eu/workers/control");
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
