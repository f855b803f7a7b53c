//! Log lines: they are appended to a tail of small rows, which is packed into one compressed row
//! when it has grown.

use rusqlite::{Connection, params};
use tinpot_core::log_sink::LogBatch;
use tinpot_core::store::LogSpan;

use super::records::Records;
use crate::error::Result;
use crate::log_codec;

/// The size of the text in one compressed row. More would compress little better, and every read
/// unpacks whole rows.
const PACK_BYTES: usize = 64 * 1024;
/// The largest row of the tail that more lines are added to: both fit in one page of the database,
/// which has to be written anyway.
const TAIL_ROW_BYTES: usize = 3 * 1024;

/// Lines that become a row or a part of one.
#[derive(Debug)]
struct Piece {
    first_seq: u64,
    last_seq: u64,
    packed: bool,
    data: Vec<u8>,
}

/// One [`LogBatch`], encoded, and compressed where it is long enough.
#[derive(Debug)]
pub(crate) struct Lines {
    span: LogSpan,
    pieces: Vec<Piece>,
}

impl Lines {
    pub(super) fn of(batch: &LogBatch) -> Result<Self> {
        let span = LogSpan::of(batch)?;
        let mut pieces = Vec::new();
        let mut first_seq = span.first_seq.unwrap_or_default();
        let mut last_seq = first_seq;
        let mut data = Vec::new();
        for chunk in batch.chunks.iter().filter(|chunk| !chunk.lines.is_empty()) {
            log_codec::append(&mut data, chunk)?;
            last_seq = chunk.last_seq();
            if data.len() >= PACK_BYTES {
                let data = log_codec::pack(&std::mem::take(&mut data));
                pieces.push(Piece { first_seq, last_seq, packed: true, data });
                first_seq = last_seq + 1;
            }
        }
        if !data.is_empty() {
            pieces.push(Piece { first_seq, last_seq, packed: false, data });
        }
        Ok(Self { span, pieces })
    }
}

/// The last rows of a log, which are not packed yet.
#[derive(Debug, Default)]
pub(super) struct Tail {
    rows: Vec<TailRow>,
    bytes: usize,
    /// The data of the last row while it has room for more.
    last: Vec<u8>,
}

#[derive(Debug)]
struct TailRow {
    row: i64,
    first_seq: u64,
    last_seq: u64,
}

/// Appends all of it, or nothing: then the problem is [`Refused`](crate::error::Problem::Refused),
/// unless the database failed.
pub(super) fn append(records: &mut Records, connection: &Connection, all: &[Lines]) -> Result<()> {
    let spans: Vec<LogSpan> = all.iter().map(|lines| lines.span).collect();
    records.append(connection, &spans)?;
    for lines in all {
        let Some(row) = records.row(lines.span.execution) else { continue };
        let tail = match &mut row.tail {
            Some(tail) => tail,
            none => none.insert(Tail::load(connection, row.row)?),
        };
        for piece in &lines.pieces {
            tail.append(connection, row.row, piece)?;
        }
    }
    Ok(())
}

impl Tail {
    pub(super) fn load(connection: &Connection, execution: i64) -> Result<Self> {
        let mut tail = Self::default();
        let mut statement = connection.prepare_cached(
            "SELECT packed, row FROM log_chunks INDEXED BY log_order WHERE execution = ?1 ORDER BY first_seq DESC",
        )?;
        let mut rows = statement.query([execution])?;
        while let Some(row) = rows.next()?
            && !row.get(0)?
        {
            let row: i64 = row.get(1)?;
            let sql = "SELECT first_seq, last_seq, data FROM log_chunks WHERE row = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let (first_seq, last_seq, data): (i64, i64, Vec<u8>) =
                statement.query_row([row], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            tail.bytes += data.len();
            if tail.rows.is_empty() {
                tail.last = data;
            }
            let (first_seq, last_seq) = (first_seq as u64, last_seq as u64);
            tail.rows.push(TailRow { row, first_seq, last_seq });
        }
        tail.rows.reverse();
        Ok(tail)
    }

    fn append(&mut self, connection: &Connection, execution: i64, piece: &Piece) -> Result<()> {
        if piece.packed {
            self.pack(connection, execution)?;
            insert(connection, execution, piece)?;
            return Ok(());
        }
        match self.rows.last_mut() {
            Some(last) if self.last.len() + piece.data.len() <= TAIL_ROW_BYTES => {
                self.last.extend_from_slice(&piece.data);
                last.last_seq = piece.last_seq;
                let sql = "UPDATE log_chunks SET last_seq = ?2, data = ?3 WHERE row = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                statement.execute(params![last.row, piece.last_seq as i64, self.last])?;
            }
            _ => {
                let row = insert(connection, execution, piece)?;
                let (first_seq, last_seq) = (piece.first_seq, piece.last_seq);
                self.rows.push(TailRow { row, first_seq, last_seq });
                self.last.clone_from(&piece.data);
            }
        }
        self.bytes += piece.data.len();
        if self.bytes >= PACK_BYTES {
            self.pack(connection, execution)?;
        }
        Ok(())
    }

    /// Replaces the tail by one compressed row.
    pub(super) fn pack(&mut self, connection: &Connection, execution: i64) -> Result<()> {
        let (Some(first), Some(last)) = (self.rows.first(), self.rows.last()) else {
            return Ok(());
        };
        let (first_seq, last_seq) = (first.first_seq, last.last_seq);
        let mut data = Vec::with_capacity(self.bytes);
        for row in &self.rows {
            let sql = "DELETE FROM log_chunks WHERE row = ?1 RETURNING data";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([row.row])?;
            while let Some(row) = rows.next()? {
                data.extend_from_slice(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
            }
        }
        let data = log_codec::pack(&data);
        insert(connection, execution, &Piece { first_seq, last_seq, packed: true, data })?;
        *self = Self::default();
        Ok(())
    }

    /// Returns true if packing saves space, which it does not for a single small row.
    pub(super) fn is_worth_packing(&self) -> bool {
        self.rows.len() > 1
    }
}

fn insert(connection: &Connection, execution: i64, piece: &Piece) -> Result<i64> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO log_chunks (execution, first_seq, last_seq, packed, data) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let (first_seq, last_seq) = (piece.first_seq as i64, piece.last_seq as i64);
    Ok(statement.insert(params![execution, first_seq, last_seq, piece.packed, piece.data])?)
}
