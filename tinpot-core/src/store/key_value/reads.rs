//! Reads: executions, lists and logs.

use std::ops::Range;
use std::sync::Arc;

use super::record::{Record, decode};
use super::{KeyValueStore, Shared, keys};
use crate::model::error::Result;
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::log::LogChunk;
use crate::model::page::{ListOptions, QueueOrder, QueuePage};
use crate::model::search::Search;

/// Records, or log chunks, read at once: as large a part of a page as is worth reading in vain.
const PAGE: usize = 128;

impl<K: KeyValueStore> Shared<K> {
    /// Returns the record of an execution, without parameters that have a key of their own.
    pub(super) async fn record(&self, id: ExecutionId) -> Result<Option<Record>> {
        let bytes = self.database.get(&keys::execution(id).0).await?;
        bytes.map(|bytes| decode(&bytes)).transpose()
    }

    /// Returns an execution.
    pub(super) async fn execution(&self, id: ExecutionId) -> Result<Option<Execution>> {
        match self.record(id).await? {
            Some(record) => self.complete(record).await,
            None => Ok(None),
        }
    }

    /// Reads the parameters that are not in the record. They are gone if the execution was removed
    /// after the record was read.
    async fn complete(&self, record: Record) -> Result<Option<Execution>> {
        let mut execution = record.execution;
        if record.large_parameters {
            let key = keys::parameters(execution.id);
            let Some(bytes) = self.database.get(&key.0).await? else { return Ok(None) };
            execution.parameters = Json::parse(String::from_utf8_lossy(&bytes))?;
        }
        Ok(Some(execution))
    }

    pub(super) async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        if let Some(key) = &options.idempotency_key {
            let id = self.database.get(&keys::idempotency_key(key).0).await?;
            let Some(id) = id.map(|id| keys::id_of(&id)).transpose()? else {
                return Ok(Vec::new());
            };
            return Ok(self.execution(id).await?.map(Arc::new).into_iter().collect());
        }
        let search = options.search.as_deref().map(Search::new);
        if let Some(number) = options.number {
            let id = self.database.get(&keys::number(number).0).await?;
            let id = id.map(|id| keys::id_of(&id)).transpose()?;
            let is_before = |id: &ExecutionId| options.before.is_none_or(|before| *id < before);
            let Some(id) = id.filter(is_before) else { return Ok(Vec::new()) };
            let wanted = |execution: &Execution| {
                options.filters_match(execution)
                    && search.as_ref().is_none_or(|search| search.matches(execution))
            };
            let found = self.execution(id).await?.filter(wanted);
            return Ok(found.map(Arc::new).into_iter().collect());
        }
        let range = match options.parent {
            Some(parent) => {
                let before = options.before.map(|before| keys::child(parent, before));
                keys::children(parent).after(before)
            }
            None => keys::executions().after(options.before.map(keys::execution)),
        };
        let size = options.page_size();
        let mut found = Vec::new();
        let mut from = range.start;
        loop {
            // Without a filter, one scan is the page: then it is of one moment.
            let limit = size.max(PAGE);
            let page = self.database.scan(from..range.end.clone(), limit).await?;
            for (key, value) in &page {
                let record = match options.parent {
                    None => Some(decode(value)?),
                    Some(_) => self.record(keys::newest_first_id_of(key)?).await?,
                };
                let record =
                    record.filter(|record: &Record| options.filters_match(&record.execution));
                if let Some(record) = record
                    && let Some(execution) = self.complete(record).await?
                    && search.as_ref().is_none_or(|search| search.matches(&execution))
                {
                    found.push(Arc::new(execution));
                    if found.len() == size {
                        return Ok(found);
                    }
                }
            }
            let Some((last, _)) = page.last().filter(|_| page.len() == limit) else {
                return Ok(found);
            };
            from = [last.as_slice(), &[0]].concat();
        }
    }

    pub(super) async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>> {
        // The log of a removed execution may still be on its way out.
        if self.database.get(&keys::execution(id).0).await?.is_none() {
            return Ok(Vec::new());
        }
        let end = keys::log(id).all().end;
        let mut from = keys::log_until(id, after.saturating_add(1)).0;
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        loop {
            let page = self.database.scan(from..end.clone(), PAGE).await?;
            for (_, value) in &page {
                if bytes > 0 && bytes >= max_bytes {
                    return Ok(chunks);
                }
                let chunk: LogChunk = decode(value)?;
                bytes += chunk.size_bytes();
                chunks.push(Arc::new(chunk));
            }
            let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) else {
                return Ok(chunks);
            };
            from = [last.as_slice(), &[0]].concat();
        }
    }

    pub(super) async fn queued(&self, page: &QueuePage) -> Result<Vec<Arc<Execution>>> {
        let ids = self.database.scan(range_of(&page.order), page.limit).await?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        for (key, _) in ids {
            if bytes > page.max_bytes {
                break;
            }
            if let Some(execution) = self.execution(keys::id_of(&key)?).await? {
                bytes += execution.parameters.as_str().len();
                found.push(Arc::new(execution));
            }
        }
        Ok(found)
    }
}

fn range_of(order: &QueueOrder) -> Range<Vec<u8>> {
    match order {
        QueueOrder::Ready { queue, action, runtime, after } => {
            let runtime = runtime.as_deref();
            let after = after.map(|(rank, id)| keys::ready_at(queue, action, runtime, rank, id));
            keys::ready_in(queue, action, runtime).after(after)
        }
        QueueOrder::Delayed { after } => {
            keys::delayed().after(after.map(|(time, id)| keys::delayed_until(time, id)))
        }
        QueueOrder::Expired { at } => keys::expired(*at),
    }
}
