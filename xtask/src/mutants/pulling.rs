//! Mutants of workers that pull, and of leases that workers ask for.

use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "credit-not-spent",
        breaks: "one beat of a worker that pulls is good for any number of attempts",
        edits: &[Edit {
            file: "protocol/coordinator/credit.rs",
            old: "self.credit = self.credit.map(|credit| credit.saturating_sub(1));",
            new: "self.credit = self.credit.map(|credit| credit.saturating_sub(if MUTANT { 0 } else { 1 }));",
        }],
    },
    Mutant {
        name: "old-beat-gives-credit",
        breaks: "a repeated beat of a worker that pulls asks for attempts again",
        edits: &[Edit {
            file: "protocol/coordinator/worker.rs",
            old: "// The beat is a duplicate, or was overtaken by a later one.\n            return;",
            new: "if MUTANT {\n                worker.renew_credit(beat.free);\n                self.fill(now, from, out);\n            }\n            return;",
        }],
    },
    Mutant {
        name: "pull-ignored",
        breaks: "a worker that pulls gets attempts without asking",
        edits: &[Edit {
            file: "protocol/coordinator/worker.rs",
            old: "worker.credit = hello.pull.then(|| worker.credit.unwrap_or(0));",
            new: "worker.credit = (hello.pull && !MUTANT).then(|| worker.credit.unwrap_or(0));",
        }],
    },
    Mutant {
        name: "configured-lease-for-all",
        breaks: "the coordinator gives a worker up after the configured lease, and not after the worker's own",
        edits: &[Edit {
            file: "protocol/coordinator/worker.rs",
            old: "worker.expires = worker.expires.max(now + terms.patience);",
            new: "let patience = if MUTANT { configured.patience } else { terms.patience };\n\
                  worker.expires = worker.expires.max(now + patience);",
        }],
    },
];
