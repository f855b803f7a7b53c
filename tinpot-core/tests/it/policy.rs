//! The conformance suite on the policies of this crate.

use std::future::{Ready, ready};
use std::sync::Arc;

use tinpot_core::testing::policy::{Subject, Vocabulary};
use tinpot_core::testing::{Grant, TestPolicy};
use tinpot_core::{AllowAll, Caller, Policy, Right};

#[derive(Debug)]
pub(crate) struct Subjected {
    pub(crate) policy: Box<dyn Policy>,
    pub(crate) grants: Option<TestPolicy>,
}

const ALL: &[Right] = Right::ALL;
const VIEWER: &[Right] = &[Right::SeeAction, Right::Read, Right::SeeQueue, Right::SeeWorker];

/// Returns a policy with a grant of each kind.
pub(crate) fn test_policy() -> TestPolicy {
    TestPolicy::new([
        Grant::new("admin", ALL),
        Grant::new("viewer", VIEWER),
        Grant::new("deployer", ALL).actions(&["deploy-*", "restart"]),
        Grant::new("tester", ALL).groups(&["tests"]).queues(&["slow"]),
        Grant::new("tester", VIEWER).actions(&["backup"]),
        Grant::new("owner", ALL).own_only(),
        Grant::new("reader", VIEWER).own_only().actions(&["backup"]),
        Grant::new("reader", VIEWER).queues(&["slow"]),
        Grant::new("foreigner", ALL).team("other"),
    ])
}

impl Subject for Subjected {
    fn policy(&self) -> &dyn Policy {
        &*self.policy
    }

    fn callers(&self) -> Vec<Caller> {
        let ids = ["admin", "viewer", "deployer", "tester", "owner", "reader"];
        let callers = ids.into_iter().map(Caller::new);
        callers.chain([Caller::new("foreigner").team("other")]).collect()
    }

    fn stranger(&self) -> Option<Caller> {
        self.grants.as_ref().map(|_| Caller::new("stranger"))
    }

    fn names(&self) -> Vocabulary {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Vocabulary {
            teams: owned(&["default", "other"]),
            actions: owned(&["deploy-web", "deploy-db", "restart", "backup"]),
            groups: owned(&["tests", "operations"]),
            queues: owned(&["default", "slow"]),
        }
    }

    fn grant_another(&self, number: u64) -> bool {
        let Some(policy) = &self.grants else { return false };
        let ids = ["viewer", "deployer", "tester", "reader"];
        let grant = Grant::new(ids[number as usize % ids.len()], &ALL[..number as usize % 8]);
        let grant = match number % 3 {
            0 => grant.actions(&["backup"]),
            1 => grant.queues(&["slow"]).own_only(),
            _ => grant.groups(&["operations"]),
        };
        policy.change(|grants| grants.push(grant));
        true
    }
}

mod allow_all {
    use super::{AllowAll, Ready, Subjected, ready};

    fn subject() -> Ready<Subjected> {
        ready(Subjected { policy: Box::new(AllowAll), grants: None })
    }

    tinpot_core::policy_conformance!(subject);
}

mod grants {
    use super::{Arc, Ready, Subjected, ready, test_policy};

    fn subject() -> Ready<Subjected> {
        let grants = test_policy();
        let policy = Arc::new(grants.clone());
        ready(Subjected { policy: Box::new(policy), grants: Some(grants) })
    }

    tinpot_core::policy_conformance!(subject);
}
