//! Reads tables from bytes that a peer sent. Every offset is checked, and the work is bounded.

use super::slots::Slot;
use crate::fault::Fault;

/// Tables that every message may have, however short it is.
const FREE_TABLES: usize = 64;
/// Bytes of texts that every message may have.
const FREE_BYTES: usize = 4096;

/// The bytes of one message, with a budget.
///
/// Offsets may point several times at one table, so that 540 bytes describe a value of half a
/// gigabyte. A table takes at least eight bytes of its own, so the budget allows twice as many
/// visits as there could be tables, and twice as many bytes of text as there are bytes.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    tables_left: usize,
    bytes_left: usize,
}

/// A table: its place, and that of its vtable, whose bounds are checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    at: usize,
    vtable: usize,
    vtable_len: usize,
}

/// A vector of tables: the place of its first offset, and their number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    at: usize,
    pub(crate) len: usize,
}

type Read<T> = Result<T, Fault>;

#[cold]
fn outside() -> Fault {
    Fault::new("the bytes end, or an offset points outside of them")
}

#[cold]
fn missing(slot: Slot) -> Fault {
    Fault::new("required, and missing").within(slot.name)
}

#[cold]
fn shared() -> Fault {
    Fault::new("the value is much larger than its bytes: it repeats parts of them")
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let tables_left = bytes.len() / 4 + FREE_TABLES;
        Self { bytes, tables_left, bytes_left: 2 * bytes.len() + FREE_BYTES }
    }

    /// Returns the table of the whole message.
    pub(crate) fn root(&mut self) -> Read<Table> {
        self.enter(0)
    }

    fn array<const N: usize>(&self, at: usize) -> Read<[u8; N]> {
        let bytes = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
        bytes.copied().ok_or_else(outside)
    }

    fn u16(&self, at: usize) -> Read<usize> {
        Ok(u16::from_le_bytes(self.array(at)?).into())
    }

    fn u32(&self, at: usize) -> Read<usize> {
        Ok(u32::from_le_bytes(self.array(at)?) as usize)
    }

    /// Returns where the offset at this place points.
    fn target(&self, at: usize) -> Read<usize> {
        at.checked_add(self.u32(at)?).ok_or_else(outside)
    }

    /// Returns the table to which the offset at this place points.
    fn enter(&mut self, offset_at: usize) -> Read<Table> {
        self.tables_left = self.tables_left.checked_sub(1).ok_or_else(shared)?;
        let at = self.target(offset_at)?;
        let distance = i32::from_le_bytes(self.array(at)?);
        let vtable = i64::try_from(at).ok().and_then(|at| at.checked_sub(distance.into()));
        let vtable = vtable.and_then(|at| usize::try_from(at).ok()).ok_or_else(outside)?;
        let vtable_len = self.u16(vtable)?;
        if vtable_len < 4 || vtable + vtable_len > self.bytes.len() {
            return Err(outside());
        }
        Ok(Table { at, vtable, vtable_len })
    }

    /// Returns the place of a field; `None` if it is absent.
    fn field(&self, table: Table, slot: Slot, union_value: bool) -> Read<Option<usize>> {
        let entry = 4 + 2 * (usize::from(slot.at) + usize::from(union_value));
        if entry + 2 > table.vtable_len {
            return Ok(None);
        }
        let offset = self.u16(table.vtable + entry)?;
        Ok((offset != 0).then_some(table.at + offset))
    }

    /// Returns the bytes of a number; zeros if it is absent.
    fn number<const N: usize>(&self, table: Table, slot: Slot) -> Read<[u8; N]> {
        match self.field(table, slot, false)? {
            Some(at) => self.array(at).map_err(|fault| fault.within(slot.name)),
            None => Ok([0; N]),
        }
    }

    pub(crate) fn byte(&self, table: Table, slot: Slot) -> Read<u8> {
        Ok(u8::from_le_bytes(self.number(table, slot)?))
    }

    pub(crate) fn bool(&self, table: Table, slot: Slot) -> Read<bool> {
        Ok(self.byte(table, slot)? != 0)
    }

    pub(crate) fn i32(&self, table: Table, slot: Slot) -> Read<i32> {
        Ok(i32::from_le_bytes(self.number(table, slot)?))
    }

    pub(crate) fn i64(&self, table: Table, slot: Slot) -> Read<i64> {
        Ok(i64::from_le_bytes(self.number(table, slot)?))
    }

    pub(crate) fn u64(&self, table: Table, slot: Slot) -> Read<u64> {
        Ok(u64::from_le_bytes(self.number(table, slot)?))
    }

    pub(crate) fn f64(&self, table: Table, slot: Slot) -> Read<f64> {
        Ok(f64::from_le_bytes(self.number(table, slot)?))
    }

    /// Reads a table; `None` if it is absent.
    pub(crate) fn optional_table(&mut self, table: Table, slot: Slot) -> Read<Option<Table>> {
        match self.field(table, slot, false)? {
            Some(at) => self.enter(at).map(Some).map_err(|fault| fault.within(slot.name)),
            None => Ok(None),
        }
    }

    pub(crate) fn table(&mut self, table: Table, slot: Slot) -> Read<Table> {
        self.optional_table(table, slot)?.ok_or_else(|| missing(slot))
    }

    /// Reads a union: its tag, and its table.
    pub(crate) fn union(&mut self, table: Table, slot: Slot) -> Read<(u8, Table)> {
        let tag = self.byte(table, slot)?;
        match self.field(table, slot, true)? {
            Some(at) if tag != 0 => {
                let value = self.enter(at).map_err(|fault| fault.within(slot.name))?;
                Ok((tag, value))
            }
            _ => Err(missing(slot)),
        }
    }

    /// Reads the place and the length of a vector.
    fn vector(&self, table: Table, slot: Slot) -> Read<Option<(usize, usize)>> {
        let Some(at) = self.field(table, slot, false)? else { return Ok(None) };
        let at = self.target(at)?;
        Ok(Some((at + 4, self.u32(at)?)))
    }

    pub(crate) fn tables(&self, table: Table, slot: Slot) -> Read<Tables> {
        let (at, len) = self.vector(table, slot)?.ok_or_else(|| missing(slot))?;
        // Offsets of four bytes: a length that cannot be true is refused before anything is reserved.
        let end = len.checked_mul(4).and_then(|bytes| at.checked_add(bytes));
        if end.is_none_or(|end| end > self.bytes.len()) {
            return Err(outside().within(slot.name));
        }
        if len > self.tables_left {
            return Err(shared().within(slot.name));
        }
        Ok(Tables { at, len })
    }

    pub(crate) fn element(&mut self, tables: Tables, index: usize) -> Read<Table> {
        self.enter(tables.at + 4 * index)
    }

    fn slice(&mut self, table: Table, slot: Slot) -> Read<Option<&'a [u8]>> {
        let named = |fault: Fault| fault.within(slot.name);
        let Some((at, len)) = self.vector(table, slot).map_err(named)? else { return Ok(None) };
        let bytes = at.checked_add(len).and_then(|end| self.bytes.get(at..end));
        let bytes = bytes.ok_or_else(|| named(outside()))?;
        self.bytes_left = self.bytes_left.checked_sub(len).ok_or_else(|| named(shared()))?;
        Ok(Some(bytes))
    }

    pub(crate) fn bytes(&mut self, table: Table, slot: Slot) -> Read<&'a [u8]> {
        self.slice(table, slot)?.ok_or_else(|| missing(slot))
    }

    pub(crate) fn optional_text(&mut self, table: Table, slot: Slot) -> Read<Option<&'a str>> {
        let Some(bytes) = self.slice(table, slot)? else { return Ok(None) };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Fault::new("must be UTF-8").within(slot.name)),
        }
    }

    pub(crate) fn text(&mut self, table: Table, slot: Slot) -> Read<&'a str> {
        self.optional_text(table, slot)?.ok_or_else(|| missing(slot))
    }
}
