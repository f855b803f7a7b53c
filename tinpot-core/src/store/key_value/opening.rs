//! The beginning of a session: its epoch, and the state that the coordinator resumes from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::record::{decode, encode};
use super::{KeyValue, KeyValueStore, Shared, keys};
use crate::model::error::Result;
use crate::model::execution::Execution;
use crate::model::fence::Epoch;
use crate::model::opened::{Opened, WaitingCount};

/// Pairs read at once.
const PAGE: usize = 1_024;

impl<K: KeyValueStore> Shared<K> {
    /// Starts the next epoch and reads the state at its beginning.
    pub(super) async fn begin(&self) -> Result<Opened> {
        let epoch = match self.database.get(&keys::epoch().0).await? {
            Some(bytes) => decode::<Epoch>(&bytes)?,
            None => Epoch { instance: (Uuid::new_v4().as_u128() as u32).max(1), number: 0 },
        };
        let epoch = Epoch { number: epoch.number + 1, ..epoch };
        self.database.write(vec![(keys::epoch().0, Some(encode(&epoch)?))]).await?;
        let mut opened = Opened::new(epoch);
        let mut granted = Vec::new();
        let mut longest_lease = 0;
        self.each(keys::granted().all(), |key, lease| {
            granted.push(keys::id_of(key)?);
            let lease = lease.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            longest_lease = longest_lease.max(lease);
            Ok(())
        })
        .await?;
        opened.longest_lease = Duration::from_micros(longest_lease);
        opened.granted = self.load_all(granted).await?;
        let mut open_logs = Vec::new();
        self.each(keys::open_logs().all(), |key, _| {
            open_logs.push(keys::id_of(key)?);
            Ok(())
        })
        .await?;
        opened.open_logs = self.load_all(open_logs).await?;
        opened.waiting = self.waiting().await?;
        opened.last_number = self.counts().await?.last_number;
        self.each(keys::actions().all(), |_, action| {
            opened.actions.push(Arc::new(decode(action)?));
            Ok(())
        })
        .await?;
        self.each(keys::paused_queues().all(), |_, value| {
            opened.paused.push(decode(value)?);
            Ok(())
        })
        .await?;
        Ok(opened)
    }

    async fn waiting(&self) -> Result<Vec<WaitingCount>> {
        type Lane = (String, String, Option<String>);
        let mut waiting: BTreeMap<Lane, (u64, u64)> = BTreeMap::new();
        let mut count = |names: &[u8], has_runtime: bool, ready, delayed| -> Result<()> {
            let (queue, action, rest) = keys::names_of(names)?;
            let runtime = keys::runtime_of(rest).filter(|_| has_runtime).map(str::to_owned);
            let lane = (queue.to_owned(), action.to_owned(), runtime);
            let counts = waiting.entry(lane).or_default();
            *counts = (counts.0 + ready, counts.1 + delayed);
            Ok(())
        };
        self.each(keys::ready().all(), |key, _| count(&key[1..], false, 1, 0)).await?;
        let with_bundle = keys::ready_with_bundle().all();
        self.each(with_bundle, |key, _| count(&key[1..], true, 1, 0)).await?;
        self.each(keys::delayed().all(), |_, names| count(names, true, 0, 1)).await?;
        let count = |((queue, action, runtime), (ready, delayed)): (Lane, (u64, u64))| {
            WaitingCount::new(queue, action, ready, delayed).runtime(runtime.map(Arc::from))
        };
        Ok(waiting.into_iter().map(count).collect())
    }

    async fn load_all(&self, ids: Vec<crate::ExecutionId>) -> Result<Vec<Arc<Execution>>> {
        let mut executions = Vec::with_capacity(ids.len());
        for id in ids {
            executions.extend(self.execution(id).await?.map(Arc::new));
        }
        Ok(executions)
    }

    /// Passes every pair in a range to `take`, page by page.
    async fn each(
        &self,
        range: Range<Vec<u8>>,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<()> + Send,
    ) -> Result<()> {
        let mut from = range.start;
        loop {
            let page: Vec<KeyValue> = self.database.scan(from..range.end.clone(), PAGE).await?;
            for (key, value) in &page {
                take(key, value)?;
            }
            let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) else { return Ok(()) };
            from = [last.as_slice(), &[0]].concat();
        }
    }
}
