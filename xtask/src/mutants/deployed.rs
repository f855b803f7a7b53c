//! Mutants of deployed actions: one way each to run another version, or to run it where it cannot run.

use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "bundle-not-pinned",
        breaks: "an attempt runs the version that is active when it is granted",
        edits: &[Edit {
            file: "protocol/coordinator/schedule.rs",
            old: "bundle: execution.bundle.clone(),",
            new: "bundle: match self.actions.entries().get(&execution.action_key()) {\n\
                      Some(entry) if MUTANT => entry.bundle().cloned(),\n\
                      _ => execution.bundle.clone(),\n\
                  },",
        }],
    },
    Mutant {
        name: "bundle-not-sent",
        breaks: "an attempt at a deployed action is dispatched like one of a worker's own action",
        edits: &[Edit {
            file: "protocol/coordinator/schedule.rs",
            old: "            Message::Dispatch(dispatch),\n",
            new: "            Message::Dispatch(Dispatch { bundle: dispatch.bundle.filter(|_| !MUTANT), ..dispatch }),\n",
        }],
    },
    Mutant {
        name: "bundle-secrets-not-named",
        breaks: "a worker does not learn which parameters of a deployed action are secret",
        edits: &[Edit {
            file: "protocol/coordinator/schedule.rs",
            old: "Some(_) => execution.secrets.clone(),",
            new: "Some(_) if MUTANT => Vec::new(),\nSome(_) => execution.secrets.clone(),",
        }],
    },
    Mutant {
        name: "runtime-ignored",
        breaks: "a deployed action goes to a worker with any runtime",
        edits: &[Edit {
            file: "protocol/coordinator/runtimes.rs",
            old: "self.names.contains(runtime)\n            && self.teams.has(team)",
            new: "(self.names.contains(runtime) || (MUTANT && !self.names.is_empty()))\n            && self.teams.has(team)",
        }],
    },
    Mutant {
        name: "runtimes-share-a-line",
        breaks: "a version waits behind another that needs another runtime",
        edits: &[Edit {
            file: "protocol/coordinator/queue.rs",
            old: "Self { action: execution.action_key(), runtime: execution.runtime().cloned() }",
            new: "let runtime = execution.runtime().cloned();\n\
                  let runtime = if MUTANT { runtime.map(|_| \"process\".into()) } else { runtime };\n\
                  Self { action: execution.action_key(), runtime }",
        }],
    },
    Mutant {
        name: "runtimes-not-granted",
        breaks: "a worker runs deployed actions that its key is not granted",
        edits: &[Edit {
            file: "protocol/seal/grant.rs",
            old: "actions: self.actions.as_ref().map_or_else(Names::any, Names::of),",
            new: "actions: self.actions.as_ref().filter(|_| !MUTANT).map_or_else(Names::any, Names::of),",
        }],
    },
    Mutant {
        name: "deployed-name-taken",
        breaks: "a worker offers an action in place of a deployed one",
        edits: &[Edit {
            file: "protocol/coordinator/catalogue.rs",
            old: "if self.is_deployed(&key) {",
            new: "if !MUTANT && self.is_deployed(&key) {",
        }],
    },
    Mutant {
        name: "deploy-in-parts",
        breaks: "only the first action of a deploy is committed",
        edits: &[Edit {
            file: "protocol/coordinator/deploy.rs",
            old: "let offers = actions.iter().cloned().map(Transition::Offer);",
            new: "let offers = actions.iter().take(if MUTANT { 1 } else { usize::MAX }).cloned().map(Transition::Offer);",
        }],
    },
    Mutant {
        name: "deploy-answered-early",
        breaks: "a deploy is answered before it is committed",
        edits: &[Edit {
            file: "coordinator/core.rs",
            old: "Ok(()) => self.pending.push(Pending::Change(\"the deploy\", ticket)),",
            new: "Ok(()) if MUTANT => self.reply(ticket, Response::Done(Ok(()))),\n\
                  Ok(()) => self.pending.push(Pending::Change(\"the deploy\", ticket)),",
        }],
    },
    Mutant {
        name: "deploys-forgotten",
        breaks: "a coordinator that starts does not know what was deployed before",
        edits: &[Edit {
            file: "protocol/coordinator/catalogue.rs",
            old: "for action in &deployed {",
            new: "for action in deployed.iter().filter(|_| !MUTANT) {",
        }],
    },
    Mutant {
        name: "failures-count-as-losses",
        breaks: "a failed attempt is retried although the policy is for losses",
        edits: &[Edit {
            file: "protocol/coordinator.rs",
            old: "(lost || active.execution.retry.on == RetryOn::Any)",
            new: "(lost || MUTANT || active.execution.retry.on == RetryOn::Any)",
        }],
    },
];
