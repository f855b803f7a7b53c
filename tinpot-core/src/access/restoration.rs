//! The note of a store that it was put back to an earlier state.

use serde::{Deserialize, Serialize};

use super::records::{Change, Records};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::time::Timestamp;

/// The note of a store that its records were put back to an earlier state, such as by a backup: what
/// was revoked or removed since then is back.
///
/// The store writes it by itself, as a document of its records. It stays until an operator has
/// decided about the credentials, and [`settle`](Self::settle) removes it.
///
/// ```
/// use tinpot_core::access::{MemoryRecords, Records, Restoration};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let records = MemoryRecords::new();
/// assert_eq!(Restoration::of(&records).await?, None);
///
/// let note = Restoration::new(41, Some(57));
/// records.change(&[note.change(0)?]).await?;
/// assert_eq!(Restoration::of(&records).await?, Some(note));
///
/// Restoration::settle(&records).await?;
/// assert_eq!(Restoration::of(&records).await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Restoration {
    /// The time at which it was noticed.
    pub noticed: Timestamp,
    /// The revision of the records that were put back.
    pub revision: u64,
    /// The last revision before that; `None` if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

impl Restoration {
    /// The kind of the document.
    pub const KIND: &'static str = "restoration";
    /// The name of the document.
    pub const ID: &'static str = "one";

    /// Creates a note, as of now.
    pub fn new(revision: u64, before: Option<u64>) -> Self {
        Self { noticed: Timestamp::now(), revision, before }
    }

    /// Returns the change that writes the note in place of the document with this version; 0 if there
    /// is none.
    ///
    /// # Errors
    /// `Other` if it cannot be written as JSON, which does not happen.
    pub fn change(&self, version: u64) -> Result<Change> {
        let document = serde_json::to_vec(self)
            .map_err(|error| Error::new(ErrorKind::Other, error.to_string()))?;
        Ok(Change::replace(Self::KIND, Self::ID, version, document))
    }

    /// Returns the note in these records; `None` if there is none.
    ///
    /// # Errors
    /// `Malformed` if it cannot be read; those of [`Records::get`].
    pub async fn of(records: &dyn Records) -> Result<Option<Self>> {
        let Some(found) = records.get(Self::KIND, Self::ID).await? else { return Ok(None) };
        serde_json::from_slice(&found.document).map(Some).map_err(|error| {
            let message = format!("the note of a restored store cannot be read: {error}");
            Error::new(ErrorKind::Malformed, message)
        })
    }

    /// Removes the note, if there is one.
    ///
    /// # Errors
    /// Those of [`Records::change`]: `Conflict` if another process does the same.
    pub async fn settle(records: &dyn Records) -> Result<()> {
        match records.get(Self::KIND, Self::ID).await? {
            Some(found) => {
                let remove = Change::remove(Self::KIND, Self::ID, found.version);
                records.change(&[remove]).await.map(drop)
            }
            None => Ok(()),
        }
    }
}
