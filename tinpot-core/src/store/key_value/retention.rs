//! Retention: the removal of the oldest ended executions.

use super::record::encode;
use super::session::{Counts, Writer};
use super::{KeyValueChange, KeyValueStore, keys};
use crate::model::error::Result;
use crate::model::id::ExecutionId;

/// Executions removed after a write, besides as many as it has ended: enough to catch up.
const STEP: usize = 32;
/// Log chunks removed at once. A longer log is removed in steps, after its execution.
const LOG_STEP: usize = 256;

impl<K: KeyValueStore> Writer<K> {
    /// Removes ended executions beyond the limits, the oldest first. `ended` is the most that the
    /// last write has ended.
    ///
    /// A failure is logged and not returned: the write before it was confirmed, and the next write
    /// tries again.
    pub(super) async fn remove_oldest(&mut self, ended: usize) {
        let removed = async {
            self.remove_logs().await?;
            for _ in 0..STEP.saturating_add(2 * ended) {
                let limits = self.shared.limits;
                let is_beyond = self.counts.ended > limits.executions as u64
                    || self.counts.log_bytes > limits.log_bytes as u64;
                if !is_beyond || !self.remove_one().await? {
                    break;
                }
            }
            Ok::<_, crate::Error>(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(%error, "cannot remove old executions now");
        }
    }

    /// Removes the execution that ended first. Returns false if there is none.
    async fn remove_one(&mut self) -> Result<bool> {
        let oldest = self.shared.database.scan(keys::ended().all(), 1).await?;
        let Some((ended_key, _)) = oldest.into_iter().next() else { return Ok(false) };
        let id = keys::id_of(&ended_key)?;
        let mut changes: Vec<KeyValueChange> = vec![
            (ended_key, None),
            (keys::execution(id).0, None),
            (keys::parameters(id).0, None),
            (keys::open_log(id).0, None),
        ];
        let mut counts = Counts { ended: self.counts.ended.saturating_sub(1), ..self.counts };
        if let Some(record) = self.shared.record(id).await? {
            counts.log_bytes = counts.log_bytes.saturating_sub(record.log_bytes);
            if let Some(key) = &record.execution.idempotency_key {
                changes.push((keys::idempotency_key(key).0, None));
            }
            changes.push((keys::number(record.execution.number).0, None));
            if let Some(parent) = &record.execution.parent {
                changes.push((keys::child(parent.execution, id).0, None));
            }
        }
        let (chunks, is_all) = self.log_keys(id).await?;
        changes.extend(chunks);
        if !is_all {
            changes.push((keys::removed_log(id).0, Some(Vec::new())));
        }
        changes.push((keys::counts().0, Some(encode(&counts)?)));
        self.shared.database.write(changes).await?;
        self.forget(id);
        self.counts = counts;
        Ok(true)
    }

    /// Removes a part of the logs of removed executions.
    async fn remove_logs(&mut self) -> Result<()> {
        let removed = self.shared.database.scan(keys::removed_logs().all(), 1).await?;
        let Some((key, _)) = removed.into_iter().next() else { return Ok(()) };
        let (mut changes, is_all) = self.log_keys(keys::id_of(&key)?).await?;
        if is_all {
            changes.push((key, None));
        }
        self.shared.database.write(changes).await
    }

    /// Returns the removal of the first chunks of a log, and true if these are all.
    async fn log_keys(&self, id: ExecutionId) -> Result<(Vec<KeyValueChange>, bool)> {
        let chunks = self.shared.database.scan(keys::log(id).all(), LOG_STEP).await?;
        let is_all = chunks.len() < LOG_STEP;
        Ok((chunks.into_iter().map(|(key, _)| (key, None)).collect(), is_all))
    }
}
