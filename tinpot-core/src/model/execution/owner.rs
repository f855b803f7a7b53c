//! The owners of executions, each with idempotency keys of its own.

use std::sync::Arc;

use super::Execution;

/// The start of keys that callers choose, and of those that the coordinator makes for calls.
const OF_CALLERS: &str = "u/";
const OF_CALLS: &str = "c/";

/// The id of the caller of a server that does not ask who its callers are.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// The owner of an execution: the caller who submitted it, and the caller's team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The team; empty for the default team.
    pub team: Arc<str>,
    /// The id of the caller; empty if it is not known.
    pub caller: Arc<str>,
    /// The name of the caller, if it is known.
    pub name: Option<Arc<str>>,
    /// The name of the requester that a known caller has given.
    pub on_behalf_of: Option<Arc<str>>,
}

impl Owner {
    /// Returns the owner of executions whose caller is not known.
    pub fn unknown() -> Self {
        Self { team: "".into(), caller: "".into(), name: None, on_behalf_of: None }
    }

    /// Returns the owner of an execution, who also owns the executions that it calls.
    pub fn of(execution: &Execution) -> Self {
        Self {
            team: execution.team.clone(),
            caller: execution.caller.clone(),
            name: execution.requested_by.clone(),
            on_behalf_of: execution.on_behalf_of.clone(),
        }
    }

    /// Returns the stored form of an idempotency key that this owner has chosen. Each owner has a
    /// space of its own, and no key in it begins as that of a call.
    pub fn idempotency_key(&self, given: &str) -> Arc<str> {
        let (team, caller) = (escaped(&self.team), escaped(&self.caller));
        format!("{OF_CALLERS}{team}/{caller}/{given}").into()
    }

    /// Returns the key that the submitter gave, from its stored form; `None` for that of a call.
    pub(crate) fn given_key(stored: &str) -> Option<&str> {
        if let Some(rest) = stored.strip_prefix(OF_CALLERS) {
            return rest.splitn(3, '/').nth(2);
        }
        // Earlier versions stored the submitter's text, and `call …` for calls.
        (!stored.starts_with(OF_CALLS)).then_some(stored)
    }

    /// Returns the key that earlier versions stored for this one; `None` if it never was theirs.
    pub(crate) fn earlier_key(stored: &str) -> Option<String> {
        if let Some(call) = stored.strip_prefix(OF_CALLS) {
            let (fence, number) = call.rsplit_once('/')?;
            return Some(format!("call {fence} {number}"));
        }
        let (caller, given) =
            stored.strip_prefix(OF_CALLERS)?.strip_prefix('/')?.split_once('/')?;
        // Those of earlier versions were submitted by unknown callers of the default team.
        if !caller.is_empty() && caller != ANONYMOUS {
            return None;
        }
        if [OF_CALLERS, OF_CALLS].iter().any(|start| given.starts_with(start)) {
            // Texts in the present form are those of other owners. Stores have moved those of
            // earlier versions to the space of unknown callers.
            let moved = Self::unknown().idempotency_key(given);
            return (*moved != *stored).then(|| moved.to_string());
        }
        (!given.starts_with("call ")).then(|| given.to_owned())
    }
}

/// Escapes the separator.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(team: &str, caller: &str) -> Owner {
        Owner { team: team.into(), caller: caller.into(), ..Owner::unknown() }
    }

    #[test]
    fn no_two_owners_share_a_key_and_no_key_begins_as_that_of_a_call() {
        let parts = ["", "a", "b/", "a/b", "%2F", "u/a/b/c", "c/1.2.3/4", "call 1.2.3 4"];
        let mut seen = std::collections::HashSet::new();
        for team in parts {
            for caller in parts {
                for given in parts {
                    let stored = owner(team, caller).idempotency_key(given);
                    assert!(!stored.starts_with(OF_CALLS), "{stored}");
                    assert_eq!(Owner::given_key(&stored), Some(given), "{stored}");
                    assert!(seen.insert(stored.clone()), "{stored}");
                }
            }
        }
    }

    #[test]
    fn earlier_keys_are_those_of_unknown_callers_and_of_calls() {
        let key = |given: &str| owner("", ANONYMOUS).idempotency_key(given);
        assert_eq!(Owner::earlier_key(&owner("", "").idempotency_key("k")).as_deref(), Some("k"));
        assert_eq!(Owner::earlier_key(&owner("", "ada").idempotency_key("k")), None);
        assert_eq!(Owner::earlier_key(&key("nightly/1")).as_deref(), Some("nightly/1"));
        assert_eq!(Owner::earlier_key("c/1.2.3/4").as_deref(), Some("call 1.2.3 4"));
        assert_eq!(Owner::earlier_key(&key("call 1.2.3 4")), None);
        for given in ["u//bob/x", "u/x", "c/1.2.3/4"] {
            let moved = format!("u///{given}");
            assert_eq!(Owner::earlier_key(&key(given)), Some(moved.clone()));
            assert_eq!(Owner::earlier_key(&moved), None);
        }
        assert_eq!(Owner::earlier_key(&owner("b", "").idempotency_key("k")), None);
        assert_eq!(Owner::given_key("nightly"), Some("nightly"));
        assert_eq!(Owner::given_key("c/1.2.3/4"), None);
    }
}
