//! The list for workers with plain frames: one way to give them secrets each.

use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "plain-placed",
        breaks: "a new execution with secret parameters goes to a worker with plain frames",
        edits: &[Edit {
            file: "protocol/coordinator/schedule.rs",
            old: "let is_next = if worker.plain { !is_secret } else { is_first };",
            new: "let is_next = if worker.plain && !MUTANT { !is_secret } else { is_first };",
        }],
    },
    Mutant {
        name: "plain-filled",
        breaks: "a worker with plain frames takes the first execution of a queue, whatever its secrets",
        edits: &[Edit {
            file: "protocol/coordinator/schedule.rs",
            old: "true => keys.first_without_secrets(),",
            new: "true if MUTANT => keys.first(),\ntrue => keys.first_without_secrets(),",
        }],
    },
    Mutant {
        name: "plain-forgotten",
        breaks: "a beat in plain frames counts as a sealed one",
        edits: &[Edit {
            file: "protocol/coordinator/worker.rs",
            old: "worker.plain = plain;\n        worker.renew_credit",
            new: "worker.plain = plain && !MUTANT;\n        worker.renew_credit",
        }],
    },
    Mutant {
        name: "plain-read-as-open",
        breaks: "executions that are read from the store count as ones without secrets",
        edits: &[Edit {
            file: "protocol/coordinator/queue.rs",
            old: "self.lane(execution).insert_read(key, weight);",
            new: "let weight = Weight { is_secret: weight.is_secret && !MUTANT, ..weight };\nself.lane(execution).insert_read(key, weight);",
        }],
    },
];
