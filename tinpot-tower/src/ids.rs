//! Integer ids of objects that Tinpot knows by others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tinpot_core::access::Records;
use tinpot_core::access::records::{Change, Record};
use tinpot_core::{Error, ErrorKind, Result};

/// The kind of the documents with the last id of each kind of object.
const LAST: &str = "tower.last-id";
/// The kind of the documents with the id of each object.
const ID: &str = "tower.id";
/// The tries of one id while other processes take ids.
const TRIES: usize = 32;
/// The ids that are remembered.
const KNOWN: usize = 100_000;

/// A kind of objects with ids of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum IdOf {
    Team,
    Token,
    App,
    /// A runner, by its name.
    Runner,
}

impl IdOf {
    fn name(self) -> &'static str {
        match self {
            IdOf::Team => "team",
            IdOf::Token => "token",
            IdOf::App => "app",
            IdOf::Runner => "runner",
        }
    }
}

type Known = HashMap<(IdOf, Arc<str>), u64>;

/// The integer ids, counted from 1 in each kind. An object gets one when it is first shown.
#[derive(Debug)]
pub(crate) struct Ids {
    records: Arc<dyn Records>,
    known: Mutex<Known>,
}

impl Ids {
    pub(crate) fn new(records: Arc<dyn Records>) -> Self {
        Self { records, known: Mutex::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the id of an object, which is the same from now on.
    pub(crate) async fn of(&self, kind: IdOf, object: &str) -> Result<u64> {
        let key = (kind, Arc::<str>::from(object));
        if let Some(id) = self.known().get(&key) {
            return Ok(*id);
        }
        let document = format!("{}/{object}", kind.name());
        for _ in 0..TRIES {
            let id = match self.records.get(ID, &document).await? {
                Some(found) => read(&found)?,
                None => match self.take(kind, &document).await? {
                    Some(id) => id,
                    None => continue,
                },
            };
            let mut known = self.known();
            if known.len() >= KNOWN {
                known.clear();
            }
            known.insert(key, id);
            return Ok(id);
        }
        Err(Error::new(ErrorKind::Unavailable, "too many objects are being made: try again"))
    }

    /// Takes the next id. Returns `None` if others were faster.
    async fn take(&self, kind: IdOf, document: &str) -> Result<Option<u64>> {
        let last = self.records.get(LAST, kind.name()).await?;
        let (id, version) = match &last {
            Some(last) => (read(last)? + 1, last.version),
            None => (1, 0),
        };
        let text = id.to_string();
        let changes = [
            Change::replace(LAST, kind.name(), version, text.clone()),
            Change::create(ID, document, text),
        ];
        match self.records.change(&changes).await {
            Ok(_) => Ok(Some(id)),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Forgets the id of an object that is gone. It is not given again.
    pub(crate) async fn forget(&self, kind: IdOf, object: &str) -> Result<()> {
        self.known().remove(&(kind, Arc::<str>::from(object)));
        let document = format!("{}/{object}", kind.name());
        let Some(found) = self.records.get(ID, &document).await? else { return Ok(()) };
        match self.records.change(&[Change::remove(ID, document, found.version)]).await {
            Err(error) if error.kind() != ErrorKind::Conflict => Err(error),
            _ => Ok(()),
        }
    }
}

/// Gives objects of a new store the ids that they had elsewhere. Ids that are taken later are larger.
#[cfg(feature = "import")]
pub(crate) async fn keep(records: &dyn Records, ids: &[(IdOf, String, u64)]) -> Result<()> {
    let mut changes = Vec::with_capacity(ids.len());
    let mut last = HashMap::<IdOf, u64>::new();
    for (kind, object, id) in ids {
        let most = last.entry(*kind).or_default();
        *most = (*most).max(*id);
        changes.push(Change::create(ID, format!("{}/{object}", kind.name()), id.to_string()));
    }
    let last = last.into_iter().map(|(kind, id)| Change::create(LAST, kind.name(), id.to_string()));
    changes.extend(last);
    for changes in changes.chunks(tinpot_core::access::records::MAX_CHANGES) {
        records.change(changes).await?;
    }
    Ok(())
}

fn read(record: &Record) -> Result<u64> {
    let number = std::str::from_utf8(&record.document).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let message = format!("the {} {:?} is no number", record.kind, record.id);
        Error::new(ErrorKind::Malformed, message)
    })
}
