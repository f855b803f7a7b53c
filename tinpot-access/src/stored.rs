//! Documents in the records, each with its version.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tinpot_core::access::records::{Change, Record};
use tinpot_core::{Error, ErrorKind, Result};

/// A document with its version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored<T> {
    pub(crate) version: u64,
    pub(crate) value: T,
}

/// Reads the document of a record.
pub(crate) fn read<T: DeserializeOwned>(record: &Record) -> Result<Stored<T>, serde_json::Error> {
    let value = serde_json::from_slice(&record.document)?;
    Ok(Stored { version: record.version, value })
}

/// Returns the change that writes a document in place of this version.
pub(crate) fn write<T: Serialize>(
    kind: &'static str,
    id: &str,
    version: u64,
    value: &T,
) -> Result<Change> {
    let document = serde_json::to_vec(value).map_err(|error| {
        Error::new(ErrorKind::Other, format!("writing the {kind} {id:?}")).with_source(error)
    })?;
    Ok(Change::replace(kind, id, version, document))
}
