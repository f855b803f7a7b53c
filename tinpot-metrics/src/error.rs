//! Errors of the crate `prometheus`, as those of the core.

use tinpot_core::{Error, ErrorKind};

pub(crate) fn of(error: prometheus::Error) -> Error {
    Error::new(ErrorKind::Other, "the metrics cannot be registered").with_source(error)
}
