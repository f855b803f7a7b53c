//! Mutants of joins.

use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "join-token-not-verified",
        breaks: "a key is enrolled without the signature of the token",
        edits: &[Edit {
            file: "protocol/seal/join.rs",
            old: "suite.verify(token, &signed, self.by_token) && ",
            new: "(MUTANT || suite.verify(token, &signed, self.by_token)) && ",
        }],
    },
    Mutant {
        name: "join-key-not-verified",
        breaks: "a key is enrolled without a signature of its owner",
        edits: &[Edit {
            file: "protocol/seal/join.rs",
            old: "&& suite.verify(key, &signed, self.by_key)",
            new: "&& (MUTANT || suite.verify(key, &signed, self.by_key))",
        }],
    },
    Mutant {
        name: "join-name-not-checked",
        breaks: "a worker joins with a name that its token does not allow",
        edits: &[Edit {
            file: "protocol/seal/join/terms.rs",
            old: "if !is_worker_name(name) || !matches(&self.limits.names, name) {",
            new: "if !is_worker_name(name) || (!MUTANT && !matches(&self.limits.names, name)) {",
        }],
    },
    Mutant {
        name: "join-expired-taken",
        breaks: "a worker joins with a token that has ended",
        edits: &[Edit {
            file: "protocol/seal/join/terms.rs",
            old: "if self.expires <= now {",
            new: "if !MUTANT && self.expires <= now {",
        }],
    },
    Mutant {
        name: "join-uses-not-counted",
        breaks: "a token enrols more keys than it has uses",
        edits: &[Edit {
            file: "protocol/seal/enrolled_keys.rs",
            old: "terms.uses -= 1;",
            new: "terms.uses -= u32::from(!MUTANT);",
        }],
    },
    Mutant {
        name: "join-repetition-counts",
        breaks: "a join that is repeated, since its answer was lost, is another use",
        edits: &[Edit {
            file: "protocol/seal/join/terms.rs",
            old: "Before::Enrolled { name: enrolled } => enrolled == name,",
            new: "Before::Enrolled { name: enrolled } => !MUTANT && enrolled == name,",
        }],
    },
    Mutant {
        name: "join-all-names",
        breaks: "a worker that joins gets all names of its token",
        edits: &[Edit {
            file: "protocol/seal/join/terms.rs",
            old: "names: name.to_owned(), ..self",
            new: "names: if MUTANT { self.limits.names.clone() } else { name.to_owned() }, ..self",
        }],
    },
    Mutant {
        name: "joined-of-anyone",
        breaks: "a worker takes the answer of another coordinator",
        edits: &[Edit {
            file: "protocol/seal/join/request.rs",
            old: "if !signed.is_by(&*self.suite, &self.coordinator) {",
            new: "if !MUTANT && !signed.is_by(&*self.suite, &self.coordinator) {",
        }],
    },
    Mutant {
        name: "joined-to-another-join",
        breaks: "a worker takes the answer to an earlier join of its key",
        edits: &[Edit {
            file: "protocol/seal/join/request.rs",
            old: "if answer.join.0 != self.digest {",
            new: "if !MUTANT && answer.join.0 != self.digest {",
        }],
    },
];
