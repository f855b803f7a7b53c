//! The link of a coordinator: workers that reach it by HTTP.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tinpot_core::transport::JoinedTransport;
use tinpot_core::{Error, ErrorKind, Result, Transport, WorkerId};
use tinpot_http_transport::{Admission, LinkServer, Login, Peer};
use tinpot_mqtt::broker::WorkerLogins;

use crate::enrolment::Enrolment;
use crate::settings::FRAME_BYTES;

/// The workers that a coordinator takes by HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpWorkers {
    /// Those that have joined, if the API has authentication or there is no broker.
    #[default]
    Auto,
    /// Those that have joined.
    On,
    /// None.
    Off,
}

impl FromStr for HttpWorkers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "auto" => Ok(Self::Auto),
            "on" | "true" => Ok(Self::On),
            "off" | "false" => Ok(Self::Off),
            _ => Err("must be auto, on or off".to_owned()),
        }
    }
}

impl fmt::Display for HttpWorkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

/// Starts the link for the workers that have joined. Returns `None` if it is off. `has_broker` is
/// true if there is another way for workers.
///
/// # Errors
/// `InvalidInput` if it is on, or needed, and no worker can join.
pub(crate) fn start(
    setting: HttpWorkers,
    has_authentication: bool,
    has_broker: bool,
    enrolment: Option<&Enrolment>,
) -> Result<Option<LinkServer>> {
    let is_needed = match setting {
        HttpWorkers::On => true,
        HttpWorkers::Auto => !has_broker,
        HttpWorkers::Off if !has_broker => {
            let message = "--broker none (MQTT_BROKER) leaves HTTP to workers: leave out \
                           --http-workers off (TINPOT_HTTP_WORKERS)";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        HttpWorkers::Off => return Ok(None),
    };
    match enrolment {
        None if is_needed => {
            let message = "workers by HTTP have to join, and none can with --frames plain \
                           (TINPOT_FRAMES): choose other frames";
            Err(Error::new(ErrorKind::InvalidInput, message))
        }
        Some(enrolment) if is_needed || has_authentication => {
            let admission = Arc::new(Joined(enrolment.logins()));
            Ok(Some(LinkServer::builder(admission).max_frame_bytes(FRAME_BYTES).start()))
        }
        _ => Ok(None),
    }
}

/// Returns the transports of a coordinator as one: those to brokers and workers, and the network of
/// workers in this process.
///
/// # Errors
/// `InvalidInput` if there is none.
pub(crate) fn join(mut transports: Vec<Arc<dyn Transport>>) -> Result<Arc<dyn Transport>> {
    match (transports.pop(), transports.is_empty()) {
        (Some(only), true) => Ok(only),
        (last, _) => Ok(Arc::new(JoinedTransport::new(transports.into_iter().chain(last))?)),
    }
}

/// Admits the workers that have joined, by the logins that they got for the broker.
#[derive(Debug)]
struct Joined(Arc<dyn WorkerLogins>);

impl Admission for Joined {
    fn admit(&self, login: Option<&Login>, worker: &WorkerId) -> Result<Peer> {
        let refused = |message: &str| Err(Error::new(ErrorKind::Forbidden, message));
        let Some(Login { user, password, .. }) = login else {
            return refused(
                "this worker is not enrolled: ask for a join token, then run \"tinpot worker \
                 join\"",
            );
        };
        match self.0.worker(user, password) {
            Some(name) if name == worker.name() => Ok(Peer::worker(user, &name, worker)),
            Some(name) => {
                let message = format!("this worker has joined as {name:?}, and not as {worker}");
                Err(Error::new(ErrorKind::Forbidden, message))
            }
            None => refused("the key of this worker is unknown or was revoked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tinpot_core::WorkerId;
    use tinpot_http_transport::{Admission, Login, Peer};
    use tinpot_mqtt::broker::WorkerLogins;

    use super::{HttpWorkers, Joined, start};

    #[derive(Debug)]
    struct OneKey;

    impl WorkerLogins for OneKey {
        fn worker(&self, user: &str, password: &str) -> Option<String> {
            (user == "key" && password == "secret").then(|| "web".to_owned())
        }

        fn is_valid(&self, user: &str) -> bool {
            user == "key"
        }
    }

    #[test]
    fn workers_that_have_joined_speak_for_their_own_names() {
        let admission = Joined(Arc::new(OneKey));
        let web = WorkerId::generate("web");
        let right = Login::new("key", "secret");
        assert_eq!(admission.admit(Some(&right), &web).unwrap(), Peer::worker("key", "web", &web));
        let refused = |login: Option<&Login>, worker: &WorkerId, why: &str| {
            let error = admission.admit(login, worker).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("secret"), "{error}");
        };
        refused(None, &web, "not enrolled");
        refused(Some(&Login::new("key", "guess")), &web, "unknown or was revoked");
        refused(Some(&right), &WorkerId::generate("db"), "has joined as \"web\"");
    }

    #[tokio::test]
    async fn the_link_needs_workers_that_can_join() {
        assert!(start(HttpWorkers::Auto, true, true, None).unwrap().is_none());
        assert!(start(HttpWorkers::Off, true, true, None).unwrap().is_none());
        for (setting, has_broker) in
            [(HttpWorkers::On, true), (HttpWorkers::Auto, false), (HttpWorkers::Off, false)]
        {
            let error = start(setting, true, has_broker, None).unwrap_err().to_string();
            assert!(error.contains("--frames plain") || error.contains("--broker none"), "{error}");
        }
    }
}
