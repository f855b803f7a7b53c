//! Records: small documents and append-only logs, where access control keeps what it knows.

mod forward;
mod memory;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::memory::MemoryRecords;
use crate::model::error::{Error, ErrorKind, Result};

/// The largest document in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
/// The largest entry of a log in bytes.
pub const MAX_ENTRY_BYTES: usize = 64 * 1024;
/// The largest number of changes in one call.
pub const MAX_CHANGES: usize = 256;
/// The largest number of entries in one call, and of records and entries in one answer.
pub const MAX_ENTRIES: usize = 4_096;
/// The largest size of all documents or entries of one call, in bytes.
pub const MAX_CALL_BYTES: usize = 4 * 1024 * 1024;
/// The longest name of a kind, a document or a log, in bytes.
pub const MAX_NAME_BYTES: usize = 512;

/// One document, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The kind, such as `user`.
    pub kind: Arc<str>,
    /// The name of the document within its kind.
    pub id: Arc<str>,
    /// The revision that wrote it. It is never the same for two states of one document.
    pub version: u64,
    /// The content.
    pub document: Bytes,
}

impl Record {
    /// Creates a record. For implementations of [`Records`].
    pub fn new(
        kind: impl Into<Arc<str>>,
        id: impl Into<Arc<str>>,
        version: u64,
        document: impl Into<Bytes>,
    ) -> Self {
        Self { kind: kind.into(), id: id.into(), version, document: document.into() }
    }
}

/// One change of a document, on the condition that its stored version is the named one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The kind.
    pub kind: Arc<str>,
    /// The name of the document within its kind.
    pub id: Arc<str>,
    /// The version that it replaces; 0 if there must be none.
    pub replaces: u64,
    /// The new content; `None` to remove the document.
    pub document: Option<Bytes>,
}

impl Change {
    /// Creates a document that must not be there yet.
    pub fn create(
        kind: impl Into<Arc<str>>,
        id: impl Into<Arc<str>>,
        document: impl Into<Bytes>,
    ) -> Self {
        Self::replace(kind, id, 0, document)
    }

    /// Replaces this version of a document.
    pub fn replace(
        kind: impl Into<Arc<str>>,
        id: impl Into<Arc<str>>,
        version: u64,
        document: impl Into<Bytes>,
    ) -> Self {
        let (kind, id) = (kind.into(), id.into());
        Self { kind, id, replaces: version, document: Some(document.into()) }
    }

    /// Removes this version of a document.
    pub fn remove(kind: impl Into<Arc<str>>, id: impl Into<Arc<str>>, version: u64) -> Self {
        Self { kind: kind.into(), id: id.into(), replaces: version, document: None }
    }
}

/// The changes after a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// The revision up to which this goes: the argument of the next call.
    pub revision: u64,
    /// If true, the store no longer knows all that was removed since: forget everything, and list
    /// it again. The changes are then missing here.
    pub is_reset: bool,
    /// The documents with the state that they have now, each once, in the order of their versions.
    pub records: Vec<Record>,
    /// The kinds and names of documents that were removed and are not there now.
    pub removed: Vec<(Arc<str>, Arc<str>)>,
}

/// Small documents and append-only logs, shared by all processes of one namespace.
///
/// The implementation does not know what is in them.
///
/// # Contract
/// - **Atomic**: a call of `change` or `append` is applied as a whole or not at all.
/// - **Durable**: once a write resolved with `Ok`, it survives every failure that the implementation
///   claims to survive. ([`MemoryRecords`] survive none.)
/// - **Visible**: a read that starts after a write resolved sees it, in each process.
/// - **Revisions**: each `change` that changes something takes the next revision of the whole store.
///   It is the version of every document that it writes.
/// - **Nothing is missed**: a reader that lists all kinds, and then asks `changed` from the revision
///   before the lists on, knows every document. A store may forget which documents were
///   removed long ago; then it says `is_reset`.
/// - **Stamps**: once a `change` that changes something has resolved, each `stamp` differs from every
///   one before it, in each process.
/// - **Logs**: entries are numbered from 1 on, without gaps. The numbers go on after a trim, and
///   after the log is empty.
/// - **Bounds**: calls beyond the constants of this module fail with `InvalidInput`.
/// - **Cancel safety**: a dropped write was applied as a whole or not at all.
#[async_trait]
pub trait Records: fmt::Debug + Send + Sync + 'static {
    /// Applies changes if each document has the version that its change replaces, and returns the
    /// revision. Without changes it returns the current revision.
    ///
    /// # Errors
    /// `Conflict` if a version differs, or if two changes name the same document; `InvalidInput`
    /// beyond the bounds; `StorageFull`, `Unavailable`. In each case nothing was applied.
    async fn change(&self, changes: &[Change]) -> Result<u64>;

    /// Returns one document; `None` if there is none.
    ///
    /// # Errors
    /// `Malformed` if it cannot be read, `Unavailable`.
    async fn get(&self, kind: &str, id: &str) -> Result<Option<Record>>;

    /// Returns documents of a kind whose names are greater than `after`, in the order of the bytes
    /// of their names: at most `limit`, and at most [`MAX_ENTRIES`]. An empty page is the end.
    ///
    /// # Errors
    /// `Malformed` if a document cannot be read, `Unavailable`.
    async fn list(&self, kind: &str, after: &str, limit: usize) -> Result<Vec<Record>>;

    /// Returns the changes after a revision, or the first of them: then the revision in the answer
    /// is not the current one yet. Costs one look at an index if nothing has changed.
    ///
    /// # Errors
    /// `Malformed` if a document cannot be read, `Unavailable`.
    async fn changed(&self, after: u64) -> Result<Changed>;

    /// Returns a number by which a reader notices changes, also those of other processes, between
    /// two calls of `changed`. Takes a microsecond, and waits for nothing. `None` if the store cannot
    /// tell.
    fn stamp(&self) -> Option<u64>;

    /// Appends entries to a log, in order, and returns the number of the last one. Without entries
    /// it returns the number of the last entry so far; 0 if there never was one.
    ///
    /// With `after`, the log must end with that number: so a chain of entries has one writer at a
    /// time.
    ///
    /// # Errors
    /// `Conflict` if the log ends elsewhere, `InvalidInput` beyond the bounds, `StorageFull`,
    /// `Unavailable`. In each case nothing was appended.
    async fn append(&self, log: &str, after: Option<u64>, entries: &[Bytes]) -> Result<u64>;

    /// Returns entries with numbers above `after`, in order: at most `limit`, and at most
    /// [`MAX_ENTRIES`]. An empty page is the end.
    ///
    /// # Errors
    /// `Malformed` if an entry cannot be read, `Unavailable`.
    async fn entries(&self, log: &str, after: u64, limit: usize) -> Result<Vec<(u64, Bytes)>>;

    /// Removes the entries up to this number.
    ///
    /// # Errors
    /// `StorageFull`, `Unavailable`.
    async fn trim(&self, log: &str, up_to: u64) -> Result<()>;
}

/// Checks the bounds of a call of [`Records::change`]. For implementations.
///
/// # Errors
/// `InvalidInput` beyond a bound, `Conflict` if two changes name the same document.
pub fn check_changes(changes: &[Change]) -> Result<()> {
    at_most("changes of one call", changes.len(), MAX_CHANGES)?;
    let mut bytes = 0;
    let mut named = std::collections::BTreeSet::new();
    for Change { kind, id, document, .. } in changes {
        check_name("the kind of a document", kind)?;
        check_name("the name of a document", id)?;
        let size = document.as_ref().map_or(0, Bytes::len);
        at_most("bytes of a document", size, MAX_DOCUMENT_BYTES)?;
        bytes += size;
        if !named.insert((kind, id)) {
            let message = format!("one call changes the {kind} {id:?} twice");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
    }
    at_most("bytes of one call", bytes, MAX_CALL_BYTES)
}

/// Checks the bounds of a call of [`Records::append`]. For implementations.
///
/// # Errors
/// `InvalidInput` beyond a bound.
pub fn check_entries(log: &str, entries: &[Bytes]) -> Result<()> {
    check_name("the name of a log", log)?;
    at_most("entries of one call", entries.len(), MAX_ENTRIES)?;
    let mut bytes = 0;
    for entry in entries {
        at_most("bytes of an entry", entry.len(), MAX_ENTRY_BYTES)?;
        bytes += entry.len();
    }
    at_most("bytes of one call", bytes, MAX_CALL_BYTES)
}

/// Returns the error of a document that has another version than the change replaces. For
/// implementations.
pub fn version_conflict(change: &Change, found: u64) -> Error {
    let Change { kind, id, replaces, .. } = change;
    let message = match (*replaces, found) {
        (0, _) => format!("the {kind} {id:?} is there already"),
        (_, 0) => format!("the {kind} {id:?} is not there any more"),
        _ => format!("the {kind} {id:?} has changed: version {found}, not {replaces}"),
    };
    Error::new(ErrorKind::Conflict, message)
}

/// Returns the error of a log that ends elsewhere than the call says. For implementations.
pub fn end_conflict(log: &str, after: u64, found: u64) -> Error {
    let message = format!("the log {log:?} ends with entry {found}, not {after}");
    Error::new(ErrorKind::Conflict, message)
}

fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        let message = format!("{what} must have 1 to {MAX_NAME_BYTES} bytes (got {})", name.len());
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(())
}

fn at_most(what: &str, got: usize, bound: usize) -> Result<()> {
    if got > bound {
        let message = format!("{what}: at most {bound} (got {got})");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(())
}
