//! Writes tables: each before what it refers to, so that all offsets point forwards.

use super::slots::Slot;

/// A field of a table that is being written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field {
    /// One byte.
    Byte(Slot, u8),
    /// Four bytes.
    Four(Slot, u32),
    /// Eight bytes.
    Eight(Slot, u64),
    /// The tag of a union, and the place of its value.
    Tag(Slot, u8),
    /// An offset, which [`Writer::link`] sets.
    Offset(Slot),
    /// The offset of the value of a union.
    Value(Slot),
}

impl Field {
    fn slot(self) -> u8 {
        match self {
            Self::Byte(slot, _)
            | Self::Four(slot, _)
            | Self::Eight(slot, _)
            | Self::Tag(slot, _)
            | Self::Offset(slot) => slot.at,
            Self::Value(slot) => slot.at + 1,
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Byte(..) | Self::Tag(..) => 1,
            Self::Four(..) | Self::Offset(_) | Self::Value(_) => 4,
            Self::Eight(..) => 8,
        }
    }
}

/// The bytes of one message, while it is written.
#[derive(Debug)]
pub(crate) struct Writer {
    out: Vec<u8>,
    /// The vtables so far, by what is in them.
    vtables: Vec<(u64, usize)>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        // The offset of the root.
        let mut out = Vec::with_capacity(512);
        out.extend([0; 4]);
        Self { out, vtables: Vec::with_capacity(16) }
    }

    /// Returns the bytes, with this table as the root.
    pub(crate) fn finish(mut self, root: usize) -> Vec<u8> {
        self.link(0, root);
        self.out
    }

    fn align(&mut self, remainder: usize, to: usize) {
        while self.out.len() % to != remainder {
            self.out.push(0);
        }
    }

    /// Writes a table. Returns its place, and those of its fields.
    ///
    /// The fields come in order of their sizes, the largest first, so that there are no gaps.
    pub(crate) fn table<const N: usize>(&mut self, fields: [Field; N]) -> (usize, [usize; N]) {
        debug_assert!(fields.windows(2).all(|pair| pair[0].size() >= pair[1].size()));
        debug_assert!(N <= 8, "the key of a vtable has eight fields");
        let mut key = N as u64;
        let (mut size, mut slots) = (4, 0);
        for field in fields {
            // Four bits for the slot, and four for the size: together they are the whole vtable.
            key = key << 8 | u64::from(field.slot() << 4) | field.size() as u64;
            size += field.size();
            slots = slots.max(field.slot() + 1);
        }
        let vtable = match self.vtables.iter().find(|(known, _)| *known == key) {
            Some((_, at)) => *at,
            None => {
                let at = self.vtable(&fields, size, slots.into());
                self.vtables.push((key, at));
                at
            }
        };
        match fields.first().map(|field| field.size()) {
            // The first field is behind the four bytes of the distance.
            Some(8) => self.align(4, 8),
            _ => self.align(0, 4),
        }
        let at = self.out.len();
        self.out.extend(((at - vtable) as i32).to_le_bytes());
        let places = fields.map(|field| {
            let place = self.out.len();
            match field {
                Field::Byte(_, value) | Field::Tag(_, value) => self.out.push(value),
                Field::Four(_, value) => self.out.extend(value.to_le_bytes()),
                Field::Eight(_, value) => self.out.extend(value.to_le_bytes()),
                Field::Offset(_) | Field::Value(_) => self.out.extend([0; 4]),
            }
            place
        });
        (at, places)
    }

    fn vtable(&mut self, fields: &[Field], size: usize, slots: usize) -> usize {
        self.align(0, 2);
        let at = self.out.len();
        self.out.extend((4 + 2 * slots as u16).to_le_bytes());
        self.out.extend((size as u16).to_le_bytes());
        self.out.resize(at + 4 + 2 * slots, 0);
        let mut offset = 4_u16;
        for field in fields {
            let entry = at + 4 + 2 * usize::from(field.slot());
            self.out[entry..entry + 2].copy_from_slice(&offset.to_le_bytes());
            offset += field.size() as u16;
        }
        at
    }

    /// Lets the offset at `place` point to `target`, which was written after it.
    pub(crate) fn link(&mut self, place: usize, target: usize) {
        let distance = (target - place) as u32;
        self.out[place..place + 4].copy_from_slice(&distance.to_le_bytes());
    }

    /// Writes bytes as a vector, and lets the offset at `place` point to it.
    pub(crate) fn bytes(&mut self, place: usize, bytes: &[u8]) {
        self.align(0, 4);
        self.link(place, self.out.len());
        self.out.extend((bytes.len() as u32).to_le_bytes());
        self.out.extend(bytes);
    }

    /// Writes a text, which ends with a zero that does not count.
    pub(crate) fn text(&mut self, place: usize, text: &str) {
        self.bytes(place, text.as_bytes());
        self.out.push(0);
    }

    /// Writes a vector of `len` offsets. Returns the place of the first.
    pub(crate) fn tables(&mut self, place: usize, len: usize) -> usize {
        self.align(0, 4);
        self.link(place, self.out.len());
        self.out.extend((len as u32).to_le_bytes());
        let first = self.out.len();
        self.out.resize(first + 4 * len, 0);
        first
    }

    /// Writes a table with one field, an offset. Returns the place of the field.
    pub(crate) fn boxed(&mut self, place: usize, slot: Slot) -> usize {
        let (at, [inner]) = self.table([Field::Offset(slot)]);
        self.link(place, at);
        inner
    }

    /// Writes a table without fields.
    pub(crate) fn empty(&mut self, place: usize) {
        let (at, []) = self.table([]);
        self.link(place, at);
    }
}
