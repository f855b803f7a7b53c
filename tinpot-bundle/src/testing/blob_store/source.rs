//! Bodies that watch how they are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::{StreamExt, stream};

use crate::Body;

/// The bytes of a body that its reader holds, now and at most.
#[derive(Debug, Default)]
pub(super) struct Held {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Held {
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// Bytes that are counted as long as they are held.
struct Counted {
    bytes: Vec<u8>,
    held: Arc<Held>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.held.now.fetch_sub(self.bytes.len(), Ordering::SeqCst);
    }
}

/// Returns the content of one piece.
pub(super) fn piece(number: usize, bytes: usize) -> Vec<u8> {
    let mut piece = vec![number as u8; bytes];
    piece[..8].copy_from_slice(&(number as u64).to_le_bytes());
    piece
}

/// Returns a body of many pieces, each made when it is asked for.
pub(super) fn counted(held: &Arc<Held>, pieces: usize, bytes: usize) -> Body {
    let held = Arc::clone(held);
    stream::iter(0..pieces)
        .map(move |number| {
            let now = held.now.fetch_add(bytes, Ordering::SeqCst) + bytes;
            held.most.fetch_max(now, Ordering::SeqCst);
            let held = Arc::clone(&held);
            Ok(Bytes::from_owner(Counted { bytes: piece(number, bytes), held }))
        })
        .boxed()
}
