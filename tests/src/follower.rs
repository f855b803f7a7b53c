//! A client that follows the events of an execution as a browser does: when the connection breaks, it comes back with the id of the last
//! event it has seen.

use std::thread::JoinHandle;

use serde_json::Value;

use crate::{Api, wait_for};

/// Follows one execution in a thread of its own.
#[derive(Debug)]
pub struct Follower(JoinHandle<Followed>);

/// The events that a follower has seen.
#[derive(Debug, Default)]
pub struct Followed {
    /// The text of every line, as it came.
    pub lines: Vec<String>,
    /// The number of broken connections.
    pub breaks: usize,
    /// The data of the event `complete`.
    pub end: Value,
}

impl Follower {
    /// Begins to follow.
    pub fn start(api: Api, id: &str) -> Self {
        let id = id.to_owned();
        Self(std::thread::spawn(move || follow(&api, &id)))
    }

    /// Waits for the end of the execution; what was seen of it.
    pub fn followed(self) -> Followed {
        match self.0.join() {
            Ok(followed) => followed,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn follow(api: &Api, id: &str) -> Followed {
    let mut followed = Followed::default();
    let mut last_event = "0".to_owned();
    loop {
        let lines = wait_for("the stream", || api.try_stream(id, &last_event));
        for line in lines.map_while(Result::ok) {
            if let Some(event) = line.strip_prefix("id: ") {
                event.clone_into(&mut last_event);
            }
            let Some(data) = line.strip_prefix("data: ") else { continue };
            // The last line of a connection that broke may be cut.
            let Ok(mut event) = serde_json::from_str::<Value>(data) else { break };
            match event["type"].as_str() {
                Some("log") => {
                    followed
                        .lines
                        .push(event["data"]["message"].as_str().unwrap_or_default().to_owned());
                }
                Some("complete") => {
                    followed.end = event["data"].take();
                    return followed;
                }
                _ => {}
            }
        }
        followed.breaks += 1;
    }
}
