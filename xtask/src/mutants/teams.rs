//! The list for teams: one way each to mix the executions of two.

use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "teams-of-other-workers",
        breaks: "a worker gets executions of a team that its key is not granted",
        edits: &[Edit {
            file: "protocol/seal/grant.rs",
            old: ".map(|team| team.as_str().into()).collect();",
            new: ".map(|team| if MUTANT { \"red\".into() } else { team.as_str().into() }).collect();",
        }],
    },
    Mutant {
        name: "teams-call-leaves-its-team",
        breaks: "an execution that was called belongs to the default team",
        edits: &[Edit {
            file: "model/execution/owner.rs",
            old: "team: execution.team.clone(),",
            new: "team: if MUTANT { \"\".into() } else { execution.team.clone() },",
        }],
    },
    Mutant {
        name: "teams-one-space-of-keys",
        breaks: "the same idempotency key in two teams is the same execution",
        edits: &[Edit {
            file: "model/execution/owner.rs",
            old: "let (team, caller) = (escaped(&self.team), escaped(&self.caller));",
            new: "let (mut team, caller) = (escaped(&self.team), escaped(&self.caller));\nif MUTANT {\nteam.clear();\n}",
        }],
    },
    Mutant {
        name: "teams-list-of-all",
        breaks: "a list of one team has executions of the others",
        edits: &[Edit {
            file: "model/visible.rs",
            old: "*self.team == *execution.team\n            && self.parts",
            new: "(MUTANT || *self.team == *execution.team)\n            && self.parts",
        }],
    },
];
