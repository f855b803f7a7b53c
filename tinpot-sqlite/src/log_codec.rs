//! The encoding of log lines: one JSON document per [`LogChunk`] and line, compressed with LZ4.

use lz4_flex::block::{compress_prepend_size, decompress_size_prepended, uncompressed_size};
use tinpot_core::LogChunk;

use crate::error::{Problem, Result};

/// The highest compression ratio of LZ4.
const LZ4_RATIO_MAX: usize = 255;

/// Appends a chunk to `data`, uncompressed.
pub(crate) fn append(data: &mut Vec<u8>, chunk: &LogChunk) -> Result<()> {
    serde_json::to_writer(&mut *data, chunk)
        .map_err(|error| Problem::Record(format!("log lines from {}: {error}", chunk.first_seq)))?;
    data.push(b'\n');
    Ok(())
}

/// Compresses what [`append`] wrote.
pub(crate) fn pack(data: &[u8]) -> Vec<u8> {
    compress_prepend_size(data)
}

/// Decodes the chunks in `data`.
pub(crate) fn read(data: &[u8], packed: bool) -> Result<Vec<LogChunk>> {
    let damaged = |what: String| Problem::Record(format!("log lines: {what}"));
    let unpacked;
    let data = if packed {
        // A damaged size must not exhaust the memory.
        let (size, _) = uncompressed_size(data).map_err(|error| damaged(error.to_string()))?;
        if size > data.len().saturating_mul(LZ4_RATIO_MAX) {
            return Err(damaged(format!("{} bytes cannot become {size}", data.len())));
        }
        unpacked = decompress_size_prepended(data).map_err(|error| damaged(error.to_string()))?;
        &unpacked
    } else {
        data
    };
    let chunks = serde_json::Deserializer::from_slice(data).into_iter::<LogChunk>();
    chunks.map(|chunk| chunk.map_err(|error| damaged(error.to_string()))).collect()
}

#[cfg(test)]
mod tests {
    use tinpot_core::{Level, LogChunk, Stream, Timestamp};

    use super::{append, pack, read};

    #[test]
    fn lines_come_back_as_they_were() {
        let texts =
            ["", "plain", "\u{1b}[31mred\u{1b}[0m", "tab\tand \"quotes\" \\", "\0\u{7f}é🙂"];
        let lines: Vec<String> = texts.map(str::to_owned).to_vec();
        let time = Timestamp(7);
        let chunk =
            |first_seq, stream, level| LogChunk::new(first_seq, time, stream, level, lines.clone());
        let chunks =
            [chunk(1, Stream::Stdout, Level::Info), chunk(6, Stream::System, Level::Error)];
        let mut data = Vec::new();
        for chunk in &chunks {
            append(&mut data, chunk).unwrap();
        }
        assert_eq!(read(&data, false).unwrap(), chunks);
        assert_eq!(read(&pack(&data), true).unwrap(), chunks);
    }

    #[test]
    fn damage_is_reported_in_bounded_memory() {
        let mut packed = pack(&[b' '; 1000]);
        packed[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        for damaged in [&packed[..], &packed[..2], b"{\"first_seq\":"] {
            assert!(read(damaged, true).is_err());
            assert!(read(damaged, false).is_err());
        }
    }
}
