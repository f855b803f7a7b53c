//! The tables of the protocol: which slot has which field, and the tags of unions.

/// A field of a table. A union has two slots: its tag, then its table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) name: &'static str,
    pub(crate) at: u8,
}

const fn slot(name: &'static str, at: u8) -> Slot {
    Slot { name, at }
}

/// The one field of tables with one field: envelopes, variants, texts, ids.
pub(crate) const ONLY: Slot = slot("value", 0);
/// The union of an envelope.
pub(crate) const MESSAGE: Slot = slot("message", 0);

/// The fields of `AttachWorker` and `WorkerPong`.
pub(crate) mod presence {
    use super::{Slot, slot};

    /// A token, or the id of the worker in the plain dialect.
    pub(crate) const SENDER: Slot = slot("sender", 0);
    pub(crate) const WORKER_TYPE: Slot = slot("worker_type", 1);
}

/// The fields of `RequestResult` and `RequestError`.
pub(crate) mod answer {
    use super::{Slot, slot};

    pub(crate) const ID: Slot = slot("id", 1);
    pub(crate) const RESULT: Slot = slot("result", 2);
    pub(crate) const ERROR: Slot = slot("error", 2);
}

/// The fields of `WorkerRequest`: the token shifts those behind it.
pub(crate) struct RequestSlots {
    pub(crate) worker_id: Slot,
    pub(crate) token: Option<Slot>,
    pub(crate) id: Slot,
    pub(crate) perms: Slot,
    pub(crate) request: Slot,
    pub(crate) timeout_ms: Slot,
}

pub(crate) const TOKEN_REQUEST: RequestSlots = RequestSlots {
    worker_id: slot("worker_id", 0),
    token: Some(slot("token", 1)),
    id: slot("id", 2),
    perms: slot("perms", 3),
    request: slot("request", 4),
    timeout_ms: slot("timeout_ms", 5),
};

pub(crate) const PLAIN_REQUEST: RequestSlots = RequestSlots {
    worker_id: slot("worker_id", 0),
    token: None,
    id: slot("id", 1),
    perms: slot("perms", 2),
    request: slot("request", 3),
    timeout_ms: slot("timeout_ms", 4),
};

/// `PleaseDie` and `WorkerAttached`: with a token, it comes first.
pub(crate) mod addressed {
    use super::{Slot, slot};

    pub(crate) const TOKEN: Slot = slot("token", 0);
    pub(crate) const TOKEN_WORKER_ID: Slot = slot("worker_id", 1);
    pub(crate) const PLAIN_WORKER_ID: Slot = slot("worker_id", 0);
}

/// The fields of `Error`.
pub(crate) mod error {
    use super::{Slot, slot};

    pub(crate) const CODE: Slot = slot("code", 0);
    pub(crate) const MSG: Slot = slot("msg", 1);
    pub(crate) const VALUE: Slot = slot("value", 2);
    pub(crate) const CUSTOM: Slot = slot("custom_symbol", 3);
    /// The code of an error with a symbol of its own.
    pub(crate) const CUSTOM_CODE: u8 = 255;
}

/// The fields of `VarMapPair`.
pub(crate) mod pair {
    use super::{Slot, slot};

    pub(crate) const KEY: Slot = slot("key", 0);
    pub(crate) const VALUE: Slot = slot("value", 1);
}

/// The fields of `VarFlyweight` and `FlyweightSlot`.
pub(crate) mod flyweight {
    use super::{Slot, slot};

    pub(crate) const DELEGATE: Slot = slot("delegate", 0);
    pub(crate) const SLOTS: Slot = slot("slots", 1);
    pub(crate) const CONTENTS: Slot = slot("contents", 2);
    pub(crate) const NAME: Slot = slot("name", 0);
    pub(crate) const VALUE: Slot = slot("value", 1);
}

/// Tags of messages on PUB.
pub(crate) mod to_worker {
    pub(crate) const PING: u8 = 1;
    pub(crate) const REQUEST: u8 = 2;
    pub(crate) const PLEASE_DIE: u8 = 3;
}

/// Tags of messages on REQ.
pub(crate) mod from_worker {
    pub(crate) const ATTACH: u8 = 1;
    pub(crate) const PONG: u8 = 2;
    pub(crate) const DETACH: u8 = 3;
    pub(crate) const RESULT: u8 = 4;
    pub(crate) const ERROR: u8 = 5;
}

/// Tags of replies.
pub(crate) mod reply {
    pub(crate) const ACK: u8 = 1;
    pub(crate) const REJECTED: u8 = 2;
    pub(crate) const ATTACHED: u8 = 3;
    pub(crate) const AUTH_FAILED: u8 = 4;
    pub(crate) const INVALID_PAYLOAD: u8 = 5;
    pub(crate) const UNKNOWN_REQUEST: u8 = 6;
    pub(crate) const NOT_REGISTERED: u8 = 7;
}

/// Tags of errors of a request; the last has a type, the others a message.
pub(crate) mod worker_error {
    pub(crate) const PERMISSION_DENIED: u8 = 1;
    pub(crate) const INVALID_REQUEST: u8 = 2;
    pub(crate) const INTERNAL: u8 = 3;
    pub(crate) const TIMED_OUT: u8 = 4;
    pub(crate) const REQUEST: u8 = 5;
    pub(crate) const DETACHED: u8 = 6;
    pub(crate) const NO_WORKER: u8 = 7;
}

/// Tags of objects.
pub(crate) mod obj {
    pub(crate) const ID: u8 = 1;
    pub(crate) const UU: u8 = 2;
    pub(crate) const ANONYMOUS: u8 = 3;
}

/// Tags of values.
pub(crate) mod var {
    pub(crate) const NONE: u8 = 1;
    pub(crate) const BOOL: u8 = 2;
    pub(crate) const INT: u8 = 3;
    pub(crate) const FLOAT: u8 = 4;
    pub(crate) const STR: u8 = 5;
    pub(crate) const OBJ: u8 = 6;
    pub(crate) const ERR: u8 = 7;
    pub(crate) const LIST: u8 = 8;
    pub(crate) const MAP: u8 = 9;
    pub(crate) const SYM: u8 = 10;
    pub(crate) const BINARY: u8 = 11;
    pub(crate) const FLYWEIGHT: u8 = 12;
    pub(crate) const LAMBDA: u8 = 13;
    pub(crate) const ANONYMOUS: u8 = 14;
}

/// The fields of `EnrollmentRequest` and `EnrollmentResponse`.
pub(crate) mod enrolment {
    use super::{Slot, slot};

    pub(crate) const TOKEN: Slot = slot("enrollment_token", 0);
    pub(crate) const PUBLIC_KEY: Slot = slot("curve_public_key", 1);
    pub(crate) const SERVICE_TYPE: Slot = slot("service_type", 2);
    pub(crate) const HOSTNAME: Slot = slot("hostname", 3);
    pub(crate) const SUCCESS: Slot = slot("success", 0);
    pub(crate) const SERVICE_ID: Slot = slot("service_uuid", 1);
    pub(crate) const DAEMON_KEY: Slot = slot("daemon_curve_public_key", 2);
    pub(crate) const ERROR: Slot = slot("error", 3);
}
