//! A store of one's own: three methods on a key-value database, redb. Part of the `custom_store`
//! example.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use redb::{Database, ReadableDatabase, TableDefinition};
use tinpot_core::store::{KeyValue, KeyValueChange, KeyValueStore};
use tinpot_core::{Error, ErrorKind, Result};

const PAIRS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("pairs");

/// A redb database as a [`KeyValueStore`].
#[derive(Clone, Debug)]
pub struct Redb(Arc<Database>);

impl Redb {
    /// Opens the database in a file, which is created if it does not exist.
    ///
    /// # Errors
    /// `Other` if the file cannot be opened, for one because another process has it open.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let database = Database::create(path).map_err(failed)?;
        let begin = database.begin_write().map_err(failed)?;
        begin.open_table(PAIRS).map_err(failed)?;
        begin.commit().map_err(failed)?;
        Ok(Self(Arc::new(database)))
    }

    /// Runs blocking work on a thread for it.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T> {
        let database = self.0.clone();
        let task = tokio::task::spawn_blocking(move || work(&database));
        task.await.map_err(failed)?.map_err(failed)
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Other, "the redb database failed").with_source(error)
}

#[async_trait]
impl KeyValueStore for Redb {
    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let key = key.to_vec();
        self.run(move |database| {
            let table = database.begin_read()?.open_table(PAIRS)?;
            Ok(table.get(&key[..])?.map(|value| value.value().to_vec()))
        })
        .await
    }

    async fn scan(&self, range: Range<Vec<u8>>, limit: usize) -> Result<Vec<KeyValue>> {
        self.run(move |database| {
            let table = database.begin_read()?.open_table(PAIRS)?;
            let pairs = table.range(&range.start[..]..&range.end[..])?.take(limit);
            let owned = pairs.map(|pair| {
                let (key, value) = pair?;
                Ok((key.value().to_vec(), value.value().to_vec()))
            });
            owned.collect()
        })
        .await
    }

    async fn write(&self, changes: Vec<KeyValueChange>) -> Result<()> {
        self.run(move |database| {
            let transaction = database.begin_write()?;
            let mut table = transaction.open_table(PAIRS)?;
            for (key, value) in &changes {
                match value {
                    Some(value) => table.insert(&key[..], &value[..])?,
                    None => table.remove(&key[..])?,
                };
            }
            drop(table);
            Ok(transaction.commit()?)
        })
        .await
    }
}
