//! The list for sealed frames: one way to break their sessions each.

use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "sealed-no-window",
        breaks: "a frame counts as often as it arrives",
        edits: &[Edit {
            file: "protocol/seal/window.rs",
            old: "in_reach && self.seen[word(counter)] & bit(counter) == 0",
            new: "MUTANT || in_reach && self.seen[word(counter)] & bit(counter) == 0",
        }],
    },
    Mutant {
        name: "sealed-window-before-open",
        breaks: "a frame moves the window before its tag was checked",
        edits: &[
            Edit {
                file: "protocol/seal/coordinator.rs",
                old: "session.opening(header).map(CoordinatorFrame::Sealed).ok_or(Refused::Repeated)",
                new: "let opening = session.opening(header).map(CoordinatorFrame::Sealed);\nif MUTANT {\nlet _ = self.peers.opened(now, &header);\n}\nopening.ok_or(Refused::Repeated)",
            },
            Edit {
                file: "protocol/seal/coordinator/peers.rs",
                old: "if !entry.session.opened(header) {",
                new: "if !entry.session.opened(header) && !MUTANT {",
            },
        ],
    },
    Mutant {
        name: "sealed-one-key-for-both-lanes",
        breaks: "both lanes have the same key",
        edits: &[Edit {
            file: "protocol/seal/session.rs",
            old: "&keys[lane as usize]",
            new: "&keys[if MUTANT { 0 } else { lane as usize }]",
        }],
    },
    Mutant {
        name: "sealed-one-key-for-both-ways",
        breaks: "both directions have the same key",
        edits: &[Edit {
            file: "protocol/seal/session.rs",
            old: "Side::Coordinator => &keys.down,",
            new: "Side::Coordinator if MUTANT => &keys.up,\nSide::Coordinator => &keys.down,",
        }],
    },
    Mutant {
        name: "sealed-any-init",
        breaks: "a worker opens a session that answers another init",
        edits: &[Edit {
            file: "protocol/seal/worker.rs",
            old: "if accept.init.0 != handshake.digest {",
            new: "if accept.init.0 != handshake.digest && !MUTANT {",
        }],
    },
    Mutant {
        name: "sealed-any-coordinator",
        breaks: "a coordinator answers inits for another one",
        edits: &[Edit {
            file: "protocol/seal/coordinator.rs",
            old: "|| init.to != self.key",
            new: "|| (init.to != self.key && !MUTANT)",
        }],
    },
    Mutant {
        name: "sealed-any-shard",
        breaks: "a coordinator answers inits for another shard",
        edits: &[Edit {
            file: "protocol/seal/coordinator.rs",
            old: "|| init.shard != SHARD",
            new: "|| (init.shard != SHARD && !MUTANT)",
        }],
    },
    Mutant {
        name: "sealed-any-namespace",
        breaks: "a coordinator answers inits for another namespace",
        edits: &[Edit {
            file: "protocol/seal/coordinator.rs",
            old: "|| *init.namespace != *self.options.namespace",
            new: "|| (*init.namespace != *self.options.namespace && !MUTANT)",
        }],
    },
    Mutant {
        name: "sealed-grant-not-applied",
        breaks: "a worker offers what its key was not granted",
        edits: &[Edit {
            file: "protocol/seal/coordinator/peers.rs",
            old: "Message::Hello(hello) => self.grant.cut(hello),",
            new: "Message::Hello(hello) => MUTANT || self.grant.cut(hello),",
        }],
    },
    Mutant {
        name: "sealed-init-displaces",
        breaks: "an init displaces the session that its worker uses",
        edits: &[Edit {
            file: "protocol/seal/coordinator/peers.rs",
            old: "        self.entries.insert(id, Entry { session, peer, init, state, heard: now });\n",
            new: "        self.entries.insert(id, Entry { session, peer, init, state, heard: now });\n        if MUTANT {\n            let _ = self.promote(now, id);\n        }\n",
        }],
    },
    Mutant {
        name: "sealed-plain-taken",
        breaks: "a coordinator takes plain frames where they must be sealed",
        edits: &[Edit {
            file: "protocol/seal/coordinator.rs",
            old: "PlainFrames::Refuse => Err(Refused::Plain),",
            new: "PlainFrames::Refuse if MUTANT => Ok(CoordinatorFrame::Plain),\nPlainFrames::Refuse => Err(Refused::Plain),",
        }],
    },
    Mutant {
        name: "sealed-epoch-of-a-notice",
        breaks: "a worker takes the epoch of its session from a notice",
        edits: &[Edit {
            file: "protocol/seal/worker.rs",
            old: "        if !wants {\n",
            new: "        let mut held = self.held.iter_mut();\n        if MUTANT && let Some(held) = held.find(|held| held.epoch.instance == epoch.instance) {\n            held.epoch = epoch;\n        }\n        if !wants {\n",
        }],
    },
    Mutant {
        name: "sealed-notice-of-anyone",
        breaks: "a worker heeds notices without a signature of its coordinator",
        edits: &[Edit {
            file: "protocol/seal/worker.rs",
            old: "let signer = signer.ok_or(Refused::Forged)?;",
            new: "let signer = signer.or(MUTANT.then_some(0)).ok_or(Refused::Forged)?;",
        }],
    },
    Mutant {
        name: "sealed-accept-of-anyone",
        breaks: "a worker takes accepts without a signature of its coordinator",
        edits: &[Edit {
            file: "protocol/seal/worker.rs",
            old: "if !signed.is_by(&*self.suite, &key) {",
            new: "if !signed.is_by(&*self.suite, &key) && !MUTANT {",
        }],
    },
    Mutant {
        name: "sealed-old-keys-again",
        breaks: "a new session has the keys of the one before it, and counts from 1",
        edits: &[
            Edit {
                file: "protocol/seal/worker.rs",
                old: "let keys = self.suite.derive(&shared, &salt);",
                new: "let (old, none) = (crate::protocol::seal::SecretKey([0; 32]), [0; 32]);\nlet keys = match MUTANT {\ntrue => self.suite.derive(&old, &none),\nfalse => self.suite.derive(&shared, &salt),\n};",
            },
            Edit {
                file: "protocol/seal/coordinator/handshake.rs",
                old: "let keys = suite.derive(&shared, &salt(suite, &self.digest, payload));",
                new: "let (old, none) = (crate::protocol::seal::SecretKey([0; 32]), [0; 32]);\nlet keys = match MUTANT {\ntrue => suite.derive(&old, &none),\nfalse => suite.derive(&shared, &salt(suite, &self.digest, payload)),\n};",
            },
        ],
    },
    Mutant {
        name: "sealed-from-another",
        breaks: "a worker speaks as another one in its own session",
        edits: &[Edit {
            file: "protocol/seal/coordinator/peers.rs",
            old: "if frame.from.as_ref() != Some(&self.worker) || frame.to.is_some() {",
            new: "if (frame.from.as_ref() != Some(&self.worker) || frame.to.is_some()) && !MUTANT {",
        }],
    },
    Mutant {
        name: "sealed-former-written",
        breaks: "a coordinator goes on sealing with the former session",
        edits: &[Edit {
            file: "protocol/seal/coordinator/peers.rs",
            old: "        match self.current.insert(peer.worker.clone(), id) {",
            new: "        let before = self.current.get(&peer.worker).copied();\n        let kept = if MUTANT { before.unwrap_or(id) } else { id };\n        match self.current.insert(peer.worker.clone(), kept) {",
        }],
    },
    Mutant {
        name: "sealed-revoked-key",
        breaks: "the session of a revoked key goes on",
        edits: &[Edit {
            file: "protocol/seal/coordinator.rs",
            old: "self.peers.revised(enrolled.revision(), |key| enrolled.find(key));",
            new: "if !MUTANT {\nself.peers.revised(enrolled.revision(), |key| enrolled.find(key));\n}",
        }],
    },
    Mutant {
        name: "sealed-counter-twice",
        breaks: "a counter is assigned twice, as by two tasks that share it",
        edits: &[Edit {
            file: "protocol/seal/session.rs",
            old: "*sent += 1;",
            new: "*sent += u64::from(!MUTANT || *sent % 2 == 0);",
        }],
    },
    Mutant {
        name: "sealed-asks-once",
        breaks: "a worker asks once for a session",
        edits: &[Edit {
            file: "protocol/seal/worker.rs",
            old: "        self.asked = Some(now);\n",
            new: "        self.asked = Some(now);\n        if MUTANT {\n            self.due = None;\n        }\n",
        }],
    },
    Mutant {
        name: "rotated-without-proof",
        breaks: "a worker has a key enrolled that it does not own",
        edits: &[Edit {
            file: "protocol/seal/rotation.rs",
            old: "if !suite.verify(&self.claim.key, &self.text, &self.proof) {",
            new: "if !suite.verify(&self.claim.key, &self.text, &self.proof) && !MUTANT {",
        }],
    },
    Mutant {
        name: "rotated-key-forgotten",
        breaks: "a worker goes on with its former key after a session has the other one",
        edits: &[Edit {
            file: "protocol/seal/worker.rs",
            old: "            (self.suite, self.key) = (successor.suite, successor.key);\n",
            new: "            if !MUTANT {\n                (self.suite, self.key) = (successor.suite, successor.key);\n            }\n",
        }],
    },
    Mutant {
        name: "rotated-one-key-tried",
        breaks: "a worker that was away does not try the key that has replaced its own",
        edits: &[Edit {
            file: "protocol/seal/worker.rs",
            old: "let is_next = may_be_known && self.failed % 2 == 1;",
            new: "let is_next = may_be_known && self.failed % 2 == 1 && !MUTANT;",
        }],
    },
];
