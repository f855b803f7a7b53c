//! Clients that submit until their submission is acknowledged.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Api;

/// The time limit of one submission: far more than any outage.
const PATIENCE: Duration = Duration::from_secs(120);

/// One execution that is to be submitted.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) name: String,
    /// True if it may be tried again.
    pub(super) again: bool,
    pub(super) body: Value,
    /// The time since the beginning.
    pub(super) at: Duration,
    /// The time after its acceptance at which it is cancelled, if it is.
    pub(super) cancel_after: Option<Duration>,
}

/// One execution that was accepted.
#[derive(Debug)]
pub(super) struct Submitted {
    pub(super) id: String,
    /// The cancel was acknowledged while the execution waited.
    pub(super) cancelled_waiting: bool,
}

impl Planned {
    pub(super) fn action(&self) -> &'static str {
        if self.again { "again" } else { "once" }
    }

    /// True if its first attempt fails.
    pub(super) fn fails(&self) -> bool {
        self.body["parameters"]["fail"] == true
    }

    /// Submits it when its time has come, under a key of its own, until the coordinator says that it is accepted.
    pub(super) fn submit(&self, api: &Api, begin: Instant) -> Result<Submitted, String> {
        std::thread::sleep((begin + self.at).saturating_duration_since(Instant::now()));
        let since = Instant::now();
        let id = loop {
            match self.try_submit(api) {
                Ok(id) => break id,
                Err(why) if since.elapsed() > PATIENCE => {
                    return Err(format!("{} was not accepted for {PATIENCE:?}: {why}", self.name));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        let mut cancelled_waiting = false;
        if let Some(wait) = self.cancel_after {
            std::thread::sleep(wait);
            let path = format!("/api/executions/{id}/cancel");
            // Without an answer it is cancelled, or not: no matter.
            if let Ok((200, answer)) = api.try_post(&path, &json!({})) {
                cancelled_waiting = answer["status"] == "cancelled";
            }
        }
        Ok(Submitted { id, cancelled_waiting })
    }

    /// Submits it once; its id.
    pub(super) fn try_submit(&self, api: &Api) -> Result<String, String> {
        api.try_submit(self.action(), &self.name, &self.body)
    }
}
