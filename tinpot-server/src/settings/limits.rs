//! The limits of a deployment, each with its setting, its default and its place in the SDK.

use std::time::Duration;

use tinpot_bundle::Uploads;
use tinpot_core::ProtocolConfig;
use tinpot_http::{HttpConfig, PrincipalLimits};

use super::{BrokerSettings, GatewaySettings, LimitSettings, ProtocolSettings, StoreSettings};
use crate::worker::WorkerSettings;

/// The largest result of an attempt, in bytes: one frame of the MQTT transport carries that and its
/// envelope.
pub const RESULT_BYTES: usize = 15 << 20;
/// The largest body of a request that can be set, in bytes: parameters reach a worker in one frame.
pub const REQUEST_BYTES: usize = RESULT_BYTES;
/// The largest upload for a parameter that can be set, in bytes: workers fetch no larger one.
pub const UPLOAD_BYTES: u64 = 1 << 30;
/// The largest log of an attempt, in bytes; further lines are dropped.
pub const LOG_BYTES: u64 = 64 << 20;
/// The largest frame of the MQTT transport, in bytes.
pub const FRAME_BYTES: usize = 16 << 20;

/// A limit of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limit {
    /// The quantity that is limited.
    pub quantity: &'static str,
    /// The key of the setting, if there is one.
    pub setting: Option<&'static str>,
    /// The default, for people.
    pub default: String,
    /// The item of the SDK.
    pub item: &'static str,
}

/// Returns all limits with their defaults.
pub fn limits() -> Vec<Limit> {
    let (protocol, config) = (ProtocolSettings::default(), ProtocolConfig::default());
    let (store, broker) = (StoreSettings::default(), BrokerSettings::default());
    let (principal, gateway) = (PrincipalLimits::default(), GatewaySettings::default());
    let limit = |quantity, setting, default, item| Limit { quantity, setting, default, item };
    let body = HttpConfig::default().max_body_bytes as u64;
    let result = LimitSettings::default().limit_result;
    vec![
        limit(
            "time between two heartbeats",
            Some("heartbeat_interval"),
            time(protocol.heartbeat_interval),
            "ProtocolConfig::beat_interval",
        ),
        limit(
            "lease of a worker",
            Some("worker_lease"),
            time(protocol.worker_lease),
            "ProtocolConfig::worker_lease",
        ),
        limit(
            "lease of the coordinator",
            Some("coordinator_lease"),
            time(protocol.coordinator_lease),
            "ProtocolConfig::coordinator_lease",
        ),
        limit(
            "time between asking an attempt to end and killing it",
            Some("kill_after"),
            time(protocol.kill_after),
            "ProtocolConfig::grace",
        ),
        limit(
            "time that attempts have when their worker ends",
            Some("grace"),
            time(Duration::from_secs(WorkerSettings::default().grace)),
            "Worker::shutdown",
        ),
        limit(
            "time until an idle connection to the broker is checked",
            Some("keep_alive"),
            time(Duration::from_secs(broker.keep_alive.into())),
            "MqttTransportBuilder::keep_alive",
        ),
        limit(
            "body of a request: parameters and options; at most 15 MiB",
            Some("limit_request"),
            size(body),
            "HttpConfig::max_body_bytes",
        ),
        limit(
            "upload for a parameter of the type bytes; at most 1 GiB",
            Some("limit_upload"),
            size(HttpConfig::default().max_upload_bytes),
            "HttpConfig::max_upload_bytes",
        ),
        limit(
            "uploads of each user or program that no execution refers to yet",
            None,
            size(Uploads::UNUSED_BYTES),
            "Uploads::UNUSED_BYTES",
        ),
        limit(
            "result of an attempt",
            Some("limit_result"),
            size(result),
            "WorkerBuilder::max_result_bytes",
        ),
        limit(
            "requests of each user or program per second",
            Some("limit_rate"),
            number(principal.requests_per_second.into()),
            "PrincipalLimits::requests_per_second",
        ),
        limit(
            "requests of each user or program in a burst",
            Some("limit_burst"),
            number(principal.burst.into()),
            "PrincipalLimits::burst",
        ),
        limit(
            "requests of each user or program at the same time",
            Some("limit_concurrent"),
            number(principal.concurrent.into()),
            "PrincipalLimits::concurrent",
        ),
        limit(
            "open streams of each user or program",
            Some("limit_streams"),
            number(principal.streams.into()),
            "PrincipalLimits::streams",
        ),
        limit(
            "searches of logs of each user or program at the same time",
            Some("limit_searches"),
            number(principal.searches.into()),
            "PrincipalLimits::searches",
        ),
        limit(
            "requests of each user or program that wait for an execution",
            Some("limit_waiting"),
            number(principal.waiting.into()),
            "PrincipalLimits::waiting",
        ),
        limit(
            "triggers of MQTT clients below each prefix per second",
            Some("mqtt_rate"),
            number(gateway.mqtt_rate.into()),
            "MqttGatewayBuilder::triggers_per_second",
        ),
        limit(
            "time until an action that an MQTT client offers times out without an answer",
            Some("mqtt_action_timeout"),
            time(gateway.mqtt_action_timeout),
            "MqttGatewayBuilder::action_timeout",
        ),
        limit("log of an attempt", None, size(LOG_BYTES), "WorkerBuilder::log_limit_bytes"),
        limit(
            "frame between coordinator and worker",
            None,
            size(FRAME_BYTES as u64),
            "MqttTransportBuilder::max_frame_bytes",
        ),
        limit(
            "executions that have not ended",
            None,
            number(config.max_unfinished as u64),
            "ProtocolConfig::max_unfinished",
        ),
        limit(
            "unfinished executions of each user or program",
            Some("limit_unfinished"),
            number(config.max_unfinished_of_caller as u64),
            "ProtocolConfig::max_unfinished_of_caller",
        ),
        limit(
            "parameters of the unfinished executions of each user or program",
            Some("limit_unfinished_size"),
            size(config.max_unfinished_bytes_of_caller),
            "ProtocolConfig::max_unfinished_bytes_of_caller",
        ),
        limit(
            "waiting executions in memory, per queue and action",
            None,
            number(config.queue_window as u64),
            "ProtocolConfig::queue_window",
        ),
        limit(
            "days for which ended executions are kept",
            Some("keep_days"),
            number(store.keep_days),
            "Retention::age",
        ),
        limit(
            "number of ended executions that are kept",
            Some("keep_executions"),
            number(store.keep_executions),
            "Retention::executions",
        ),
    ]
}

fn time(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

fn size(bytes: u64) -> String {
    match (bytes >> 20, bytes % (1 << 20)) {
        (mib, 0) if mib > 0 => format!("{mib} MiB"),
        _ => format!("{bytes} bytes"),
    }
}

/// Returns a number with commas between groups of three digits.
fn number(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(String::from_utf8_lossy).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_numbers_are_shown_for_people() {
        assert_eq!([size(15 << 20), size(1000)], ["15 MiB", "1000 bytes"]);
        assert_eq!([number(5), number(1_000), number(10_000_000)], ["5", "1,000", "10,000,000"]);
        assert_eq!(time(Duration::from_millis(1500)), "1.5 s");
    }

    #[test]
    fn every_limit_is_listed_once() {
        let all = limits();
        for limit in &all {
            let same = all.iter().filter(|other| other.item == limit.item);
            assert_eq!(same.count(), 1, "{limit:?}");
        }
    }
}
