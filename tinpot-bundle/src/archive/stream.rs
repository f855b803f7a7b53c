//! The blocks of a `tar.gz`, within the limits of size and ratio.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use tinpot_core::{Error, ErrorKind, Result};

use super::PIECE;
use super::header::BLOCK;
use crate::digest::Hasher;
use crate::limits::{Limits, refused};
use crate::manifest::Artifact;

/// Counts and hashes the packed bytes.
struct Packed<R> {
    inner: R,
    hasher: Hasher,
    max_bytes: u64,
    is_too_large: bool,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Packed<R> {
    /// Fills the whole buffer, so that the ratio is checked at the same positions, however the
    /// bytes arrive.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.inner.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failure = Some(error);
                    return Err(io::ErrorKind::Other.into());
                }
            }
        }
        self.hasher.update(&buffer[..filled]);
        if self.hasher.bytes() > self.max_bytes {
            self.is_too_large = true;
            return Err(io::ErrorKind::Other.into());
        }
        Ok(filled)
    }
}

pub(super) struct Tar<'a, R: Read> {
    gzip: GzDecoder<BufReader<Packed<R>>>,
    limits: &'a Limits,
    unpacked: u64,
    piece: Vec<u8>,
}

impl<'a, R: Read> Tar<'a, R> {
    pub(super) fn new(reader: R, limits: &'a Limits) -> Self {
        let packed = Packed {
            inner: reader,
            hasher: Hasher::new(),
            max_bytes: limits.packed_bytes,
            is_too_large: false,
            failure: None,
        };
        let gzip = GzDecoder::new(BufReader::with_capacity(PIECE, packed));
        Self { gzip, limits, unpacked: 0, piece: vec![0; PIECE] }
    }

    /// Reads the next block. Returns `None` after the two empty blocks that end the archive.
    pub(super) fn header(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        if block != [0; BLOCK] {
            return Ok(Some(block));
        }
        self.fill(&mut block)?;
        if block != [0; BLOCK] {
            return Err(refused("there is data after the end of the archive"));
        }
        Ok(None)
    }

    /// Reads the content of an entry.
    pub(super) fn content(
        &mut self,
        bytes: u64,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        // Before anything is read, because the size may be wrong.
        if bytes > self.limits.unpacked_bytes.saturating_sub(self.unpacked) {
            return Err(self.too_much());
        }
        let mut piece = std::mem::take(&mut self.piece);
        let mut left = bytes;
        while left > 0 {
            let part = &mut piece[..left.min(PIECE as u64) as usize];
            self.fill(part)?;
            take(part)?;
            left -= part.len() as u64;
        }
        let padding = bytes.next_multiple_of(BLOCK as u64) - bytes;
        self.fill(&mut piece[..padding as usize])?;
        self.piece = piece;
        Ok(())
    }

    /// Reads what follows the end of the archive: zeros up to a multiple of a larger block.
    pub(super) fn finish(mut self) -> Result<Artifact> {
        loop {
            let mut piece = std::mem::take(&mut self.piece);
            let read = self.read(&mut piece)?;
            if piece[..read].iter().any(|byte| *byte != 0) {
                return Err(refused("there is data after the end of the archive"));
            }
            if read == 0 {
                break;
            }
            self.piece = piece;
        }
        let mut rest = self.gzip.into_inner();
        let is_end = match rest.fill_buf() {
            Ok(rest) => rest.is_empty(),
            Err(_) => false,
        };
        let packed = rest.into_inner();
        if let Some(error) = failure(&packed, self.limits) {
            return Err(error);
        }
        if !is_end {
            return Err(refused("there is data after the end of the compressed archive"));
        }
        let bytes = packed.hasher.bytes();
        check_ratio(self.unpacked, bytes, self.limits)?;
        Ok(Artifact { digest: packed.hasher.finish(), bytes })
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            match self.read(buffer)? {
                0 => return Err(refused("the archive ends early: it was cut off")),
                read => buffer = &mut buffer[read..],
            }
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = loop {
            match self.gzip.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(&error)),
                Ok(read) => break read,
            }
        };
        self.unpacked += read as u64;
        if self.unpacked > self.limits.unpacked_bytes {
            return Err(self.too_much());
        }
        // Includes what the reader holds in advance: at most one piece more than was inflated.
        check_ratio(self.unpacked, self.gzip.get_ref().get_ref().hasher.bytes(), self.limits)?;
        Ok(read)
    }

    fn too_much(&self) -> Error {
        refused(format!("the content must have at most {} bytes", self.limits.unpacked_bytes))
    }

    fn failed(&self, error: &io::Error) -> Error {
        failure(self.gzip.get_ref().get_ref(), self.limits).unwrap_or_else(|| match error.kind() {
            io::ErrorKind::UnexpectedEof => refused("the archive ends early: it was cut off"),
            _ => refused(format!("the archive must be a tar.gz file ({error})")),
        })
    }
}

/// Returns the failure of the reader below the decoder, which hides it.
fn failure<R>(packed: &Packed<R>, limits: &Limits) -> Option<Error> {
    if packed.is_too_large {
        let max = limits.packed_bytes;
        return Some(refused(format!("the archive must have at most {max} bytes")));
    }
    let error = packed.failure.as_ref()?;
    Some(Error::new(ErrorKind::Unavailable, format!("bundle: cannot read the archive: {error}")))
}

fn check_ratio(unpacked: u64, packed: u64, limits: &Limits) -> Result<()> {
    if unpacked > limits.ratio_from_bytes && unpacked > packed.saturating_mul(limits.ratio) {
        let ratio = limits.ratio;
        return Err(refused(format!(
            "the content must have at most {ratio} times the size of the archive"
        )));
    }
    Ok(())
}
