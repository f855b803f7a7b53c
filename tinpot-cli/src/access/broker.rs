//! `tinpot broker acl`.

use std::fmt::Write as _;

use tinpot_access::{RingSuite, WorkerKey, WorkerKeys};

use super::run;
use super::workers::{Keys, namespace};
use crate::args::{Broker, BrokerKind};
use crate::exit::{Code, Done};
use crate::output;

/// The user of the coordinator, and that of those that join.
const COORDINATOR: &str = "coordinator";
const JOINER: &str = "join";

pub(crate) fn broker(command: &Broker) -> Done {
    let Broker::Acl { format, passwords, namespace: topics, store, key } = command;
    let BrokerKind::Mosquitto = format;
    let suite = namespace(store, key)?;
    let keys = run(async { Ok(Keys::open(store, false).await?.keys.keys()) })?;
    // The user of a worker stays the same when its key is replaced.
    let is_last = |key: &&WorkerKey| key.revoked.is_none() && key.replaced_by.is_none();
    let keys: Vec<&WorkerKey> = keys.iter().filter(is_last).collect();
    let text = if *passwords { users(&suite, &keys) } else { rules(topics, &keys) };
    output::println(text.trim_end())?;
    Ok(Code::Success)
}

/// Returns the users with their passwords, which mosquitto_passwd -U hashes.
fn users(suite: &RingSuite, keys: &[&WorkerKey]) -> String {
    let mut text = String::new();
    for user in [COORDINATOR, JOINER] {
        let _ = writeln!(text, "{user}:{}", WorkerKeys::fixed_password(suite, user).expose());
    }
    for key in keys {
        let user = key.broker_user();
        let password = WorkerKeys::broker_password(suite, &user);
        let _ = writeln!(text, "{user}:{}", password.expose());
    }
    text
}

/// Returns the rules of mosquitto.
fn rules(topics: &str, keys: &[&WorkerKey]) -> String {
    let mut text = format!(
        "# Made by \"tinpot broker acl\": make it again when workers join or are revoked.\n\
         # What no rule allows is forbidden.\n\
         user {COORDINATOR}\n\
         topic readwrite {topics}/#\n\
         \n\
         # Workers that join, each on a topic of its key.\n\
         user {JOINER}\n\
         topic write {topics}/join/+/up\n\
         topic read {topics}/join/+/down\n"
    );
    for key in keys {
        let (name, id) = (&key.limits.names, key.broker_user());
        let _ = write!(
            text,
            "\n# Worker {name}\n\
             user {id}\n\
             topic write {topics}/worker/{name}/+/up/+\n\
             topic read {topics}/worker/{name}/+/down/+\n\
             topic read {topics}/workers/+\n"
        );
    }
    text
}
