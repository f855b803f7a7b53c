//! Entries, as they are stored.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tinpot_core::Result;
use tinpot_core::access::AuditEvent;

use super::unreadable;
use crate::secret::Digest;

/// The largest entry in bytes. Longer texts are cut.
const MOST_BYTES: usize = 2_048;
/// The room that most entries need, in bytes.
const ROOM: usize = 512;
/// The bounds of the texts of an entry, in bytes, from the first try to the last. The last one fits,
/// whatever the texts are: in JSON a byte takes at most 6.
const BOUNDS: [usize; 5] = [1_024, 512, 128, 32, 12];

/// An event with its place in the chain.
///
/// [`ChainAudit`](super::ChainAudit) has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditEntry {
    /// The number of the entry in its log.
    pub n: u64,
    /// The digest of the entry before.
    prev: Digest,
    /// The event.
    #[serde(flatten)]
    pub event: AuditEvent,
}

impl AuditEntry {
    pub(super) fn prev(&self) -> Digest {
        self.prev
    }
}

/// An entry of an event that is elsewhere.
#[derive(Serialize)]
struct EntryOf<'a> {
    n: u64,
    prev: Digest,
    #[serde(flatten)]
    event: &'a AuditEvent,
}

/// Writes an event as the entry with this number, after the one with this digest.
pub(super) fn write(n: u64, prev: Digest, event: &AuditEvent) -> Result<Bytes> {
    let json = |event: &AuditEvent| {
        let mut bytes = Vec::with_capacity(ROOM);
        let written = serde_json::to_writer(&mut bytes, &EntryOf { n, prev, event });
        written.map(|()| bytes).map_err(|error| unreadable(&error))
    };
    let mut bytes = json(event)?;
    if bytes.len() > MOST_BYTES {
        let mut short = event.clone();
        for bound in BOUNDS {
            cut(&mut short, bound);
            bytes = json(&short)?;
            if bytes.len() <= MOST_BYTES {
                break;
            }
        }
    }
    Ok(bytes.into())
}

pub(super) fn parse(bytes: &[u8]) -> Result<AuditEntry> {
    serde_json::from_slice(bytes).map_err(|error| unreadable(&error))
}

fn cut(event: &mut AuditEvent, bound: usize) {
    let end = |text: &str| {
        (text.len() > bound).then(|| (0..=bound).rev().find(|at| text.is_char_boundary(*at)))?
    };
    let AuditEvent { who, what, target, detail, why, from, request_id, node, .. } = event;
    for text in [detail, why, from, request_id, node] {
        if let Some(end) = end(text) {
            text.truncate(end);
        }
    }
    let names: [&mut Arc<str>; 9] = [
        &mut who.id,
        &mut who.name,
        &mut who.team,
        &mut who.via,
        &mut who.kind,
        what,
        &mut target.kind,
        &mut target.id,
        &mut target.team,
    ];
    for name in names {
        if let Some(end) = end(name) {
            *name = name[..end].into();
        }
    }
}
