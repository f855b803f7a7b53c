//! Maintenance in small steps: packs logs that have ended, removes executions beyond the bounds,
//! and indexes the history of earlier versions.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Statement, params};
use tinpot_core::{ExecutionId, Timestamp};

use super::records::{Bucket, Records};
use super::search_index;
use crate::config::Retention;
use crate::error::Result;
use crate::record::{execution_id, micros};

/// Executions examined or removed in one step: about a millisecond.
const STEP: u64 = 256;
/// The excess, and the time without a step, from which a step is made even while requests keep
/// coming. That removes up to 5,000 executions per second, more than end in that time.
const URGENT: u64 = 4 * STEP;
const OVERDUE: Duration = Duration::from_millis(50);
/// Log rows removed in one step: a few megabytes.
const LOG_ROWS: i64 = 64;
/// The interval between rounds in which ages are checked.
const AGE_ROUND: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Sweeper {
    retention: Retention,
    /// The latest time of a commit, and the moment of that commit.
    now: Option<(Timestamp, Instant)>,
    /// Buckets whose ages are still to be checked in this round, and the id to continue after.
    round: VecDeque<(Bucket, [u8; 16])>,
    next_round: Option<Instant>,
    paused_until: Option<Instant>,
    /// The last look for work between requests, and the executions that have ended since.
    last_look: Instant,
    unlooked: u64,
    has_forgotten_logs: bool,
    /// True while executions of an earlier version are not in the index of words.
    has_unindexed: bool,
}

impl Sweeper {
    pub(super) fn new(retention: Retention, has_unindexed: bool) -> Self {
        Self {
            retention,
            now: None,
            round: VecDeque::new(),
            next_round: None,
            paused_until: None,
            last_look: Instant::now(),
            unlooked: 0,
            has_forgotten_logs: true,
            has_unindexed,
        }
    }

    /// Notes the time of a commit.
    pub(super) fn notice(&mut self, at: Timestamp) {
        if self.now.is_none_or(|(known, _)| known < at) {
            self.now = Some((at, Instant::now()));
        }
    }

    /// Makes no step for a while, because the database cannot be written.
    pub(super) fn pause(&mut self) {
        self.paused_until = Some(Instant::now() + AGE_ROUND);
    }

    /// Returns true if much is left that waits for nothing.
    pub(super) fn is_catching_up(&self) -> bool {
        self.has_unindexed
    }

    /// Returns true if a step would find work.
    pub(super) fn has_work(&self, records: &Records) -> bool {
        if self.paused_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        let is_round = || {
            !self.round.is_empty()
                || (self.now.is_some() && self.next_round.is_none_or(|next| next <= Instant::now()))
        };
        self.has_forgotten_logs
            || self.has_unindexed
            || !records.loose.is_empty()
            || self.excess(records).is_some()
            || is_round()
    }

    /// Makes a step if far too much is kept, or if the last step is too long ago.
    pub(super) fn step_if_urgent(
        &mut self,
        connection: &Connection,
        records: &mut Records,
    ) -> Result<()> {
        // Not with every commit: with many actions, a look takes a while.
        self.unlooked += records.moves.len() as u64;
        let is_overdue = self.last_look.elapsed() > OVERDUE;
        if !is_overdue && self.unlooked < STEP {
            return Ok(());
        }
        let unlooked = std::mem::take(&mut self.unlooked);
        self.last_look = Instant::now();
        if let Some((excess, buckets)) = self.excess(records)
            && excess >= URGENT
        {
            // More than have ended meanwhile, for commits of any size.
            let number = excess.min(unlooked + STEP);
            return self.forget_oldest(connection, records, &buckets, number);
        }
        if is_overdue && self.has_work(records) {
            self.step(connection, records)?;
        }
        Ok(())
    }

    /// Makes a step.
    pub(super) fn step(&mut self, connection: &Connection, records: &mut Records) -> Result<()> {
        self.last_look = Instant::now();
        if let Some((excess, buckets)) = self.excess(records) {
            return self.forget_oldest(connection, records, &buckets, excess.min(STEP));
        }
        if !records.loose.is_empty() {
            return records.pack_one(connection);
        }
        if self.has_forgotten_logs {
            return self.remove_forgotten_logs(connection);
        }
        if self.has_unindexed {
            self.has_unindexed = search_index::catch_up(connection)?;
            return Ok(());
        }
        if self.next_round.is_none_or(|next| next <= Instant::now()) {
            self.next_round = Some(Instant::now() + AGE_ROUND);
            self.round = records.ended.keys().map(|bucket| (*bucket, [0; 16])).collect();
        }
        self.look_at_ages(connection, records)
    }

    /// Returns the excess over the first exceeded bound, and the buckets to remove from. Changes of
    /// the current transaction are not counted.
    fn excess(&self, records: &Records) -> Option<(u64, Vec<Bucket>)> {
        let over = |bound: Option<u64>, is_counted: &dyn Fn(i64) -> bool| {
            let bound = bound?;
            let counted = records.ended.iter().filter(|((route, _), _)| is_counted(*route));
            let excess = counted.clone().map(|(_, count)| count).sum::<u64>().checked_sub(bound)?;
            (excess > 0).then(|| (excess, counted.map(|(bucket, _)| *bucket).collect()))
        };
        over(self.retention.overall.executions, &|_| true).or_else(|| {
            self.retention.actions.iter().find_map(|(action, keep)| {
                over(keep.executions, &|route| records.queue_actions.action(route) == action)
            })
        })
    }

    /// Removes up to `number` executions of these buckets: those with the smallest ids.
    fn forget_oldest(
        &mut self,
        connection: &Connection,
        records: &mut Records,
        buckets: &[Bucket],
        number: u64,
    ) -> Result<()> {
        // A few of each bucket. Up to the smallest last id of the buckets that have more, these are
        // the oldest of all.
        let of_each = (2 * number / buckets.len() as u64).clamp(4, number.max(4));
        let mut statement = connection.prepare_cached(
            "SELECT id, row, log_lines, parameters IS NULL FROM executions INDEXED BY listed WHERE route = ?1 AND state = ?2 \
             ORDER BY id LIMIT ?3",
        )?;
        let mut found: Vec<(Victim, Bucket)> = Vec::new();
        let mut known_up_to: Option<ExecutionId> = None;
        for bucket in buckets {
            let before = found.len();
            let mut rows = statement.query(params![bucket.0, bucket.1.code(), of_each as i64])?;
            while let Some(row) = rows.next()? {
                found.push((Victim::read(row)?, *bucket));
            }
            if let Some((last, _)) = found.last()
                && (found.len() - before) as u64 == of_each
            {
                known_up_to = Some(known_up_to.map_or(last.id, |known| known.min(last.id)));
            }
        }
        found.sort_unstable_by_key(|(victim, _)| victim.id);
        let oldest = found
            .iter()
            .take(number as usize)
            .take_while(|(victim, _)| known_up_to.is_none_or(|known| victim.id <= known));
        let mut largest = 0;
        for (victim, bucket) in oldest {
            self.has_forgotten_logs |= victim.forget(connection)?;
            records.forget(victim.id, *bucket);
            largest = largest.max(victim.row);
        }
        note_removed(connection, largest)
    }

    /// Checks some executions of one bucket, the oldest first, and removes those that ended too
    /// long ago.
    fn look_at_ages(&mut self, connection: &Connection, records: &mut Records) -> Result<()> {
        let Some((bucket, from)) = self.round.pop_front() else { return Ok(()) };
        let age = self.retention.age_of(records.queue_actions.action(bucket.0));
        let (Some(age), Some((at, since))) = (age, self.now) else { return Ok(()) };
        let now = micros(at).saturating_add(since.elapsed().as_micros() as i64);
        let cutoff = now.saturating_sub(crate::record::duration_micros(age));
        let mut statement = connection.prepare_cached(
            "SELECT id, row, log_lines, parameters IS NULL, accepted_at, finished_at FROM executions INDEXED BY listed \
             WHERE route = ?1 AND state = ?2 AND id > ?3 ORDER BY id LIMIT ?4",
        )?;
        let (seen, victims) = too_old(&mut statement, bucket, from, cutoff)?;
        let mut largest = 0;
        for victim in victims {
            self.has_forgotten_logs |= victim.forget(connection)?;
            records.forget(victim.id, bucket);
            largest = largest.max(victim.row);
        }
        note_removed(connection, largest)?;
        if let Some(last) = seen {
            self.round.push_front((bucket, last));
        }
        Ok(())
    }

    /// Removes some rows of logs whose executions were removed.
    fn remove_forgotten_logs(&mut self, connection: &Connection) -> Result<()> {
        let sql = "DELETE FROM log_chunks WHERE row IN (SELECT row FROM log_chunks INDEXED BY log_order \
                   WHERE execution = (SELECT min(execution) FROM forgotten_logs) LIMIT ?1)";
        let removed = connection.prepare_cached(sql)?.execute([LOG_ROWS])?;
        if (removed as i64) < LOG_ROWS {
            let sql = "DELETE FROM forgotten_logs WHERE execution = (SELECT min(execution) FROM forgotten_logs)";
            self.has_forgotten_logs = connection.prepare_cached(sql)?.execute([])? > 0;
        }
        Ok(())
    }
}

/// Notes the largest row of those that were removed, so that no execution gets its number again.
fn note_removed(connection: &Connection, largest: i64) -> Result<()> {
    if largest > 0 {
        let sql = "UPDATE store SET removed = ?1 WHERE removed < ?1";
        connection.prepare_cached(sql)?.execute([largest])?;
    }
    Ok(())
}

/// Returns the next executions of a bucket that ended before `cutoff`, and the last checked id if
/// there may be more.
fn too_old(
    statement: &mut Statement<'_>,
    bucket: Bucket,
    from: [u8; 16],
    cutoff: i64,
) -> Result<(Option<[u8; 16]>, Vec<Victim>)> {
    let mut victims = Vec::new();
    let mut rows = statement.query(params![bucket.0, bucket.1.code(), from, STEP as i64])?;
    let (mut seen, mut last) = (0, None);
    while let Some(row) = rows.next()? {
        let (accepted_at, finished_at): (i64, Option<i64>) = (row.get(4)?, row.get(5)?);
        // Ids are in the order of acceptance, so all that follow are younger.
        if accepted_at >= cutoff {
            return Ok((None, victims));
        }
        if finished_at.is_none_or(|at| at < cutoff) {
            victims.push(Victim::read(row)?);
        }
        (seen, last) = (seen + 1, Some(row.get(0)?));
    }
    Ok((last.filter(|_| seen == STEP), victims))
}

/// An execution to remove.
#[derive(Debug)]
struct Victim {
    id: ExecutionId,
    row: i64,
    has_log: bool,
    has_large_parameters: bool,
}

impl Victim {
    fn read(row: &rusqlite::Row<'_>) -> Result<Self> {
        let log_lines: i64 = row.get(2)?;
        Ok(Self {
            id: execution_id(row, 0)?,
            row: row.get(1)?,
            has_log: log_lines > 0,
            has_large_parameters: row.get(3)?,
        })
    }

    /// Removes the row. Returns true if the log is so large that it is removed later.
    fn forget(&self, connection: &Connection) -> Result<bool> {
        let execute = |sql: &str| connection.prepare_cached(sql)?.execute([self.row]);
        execute("DELETE FROM executions WHERE row = ?1")?;
        search_index::remove(connection, self.row)?;
        if self.has_large_parameters {
            execute("DELETE FROM large_parameters WHERE row = ?1")?;
        }
        if !self.has_log {
            return Ok(false);
        }
        let is_long =
            "SELECT 1 FROM log_chunks INDEXED BY log_order WHERE execution = ?1 LIMIT 1 OFFSET 4";
        if connection.prepare_cached(is_long)?.exists([self.row])? {
            execute("INSERT INTO forgotten_logs (execution) VALUES (?1)")?;
            return Ok(true);
        }
        execute("DELETE FROM log_chunks WHERE execution = ?1")?;
        Ok(false)
    }
}
