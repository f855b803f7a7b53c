//! Splits a stream of bytes into lines, with bounded memory.

/// The longest line that is kept. With its marker it has the maximum length of a log line.
const KEPT_BYTES: usize = 64 * 1024 - 128;

/// A splitter, with the part of a line that has no end yet.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    partial: Vec<u8>,
    dropped: usize,
}

impl LineSplitter {
    /// Appends every line that ends in `data`.
    pub(crate) fn split(&mut self, mut data: &[u8], lines: &mut Vec<String>) {
        while let Some(end) = memchr::memchr(b'\n', data) {
            let (line, rest) = data.split_at(end);
            if self.partial.is_empty() && self.dropped == 0 && line.len() <= KEPT_BYTES {
                lines.push(text(line));
            } else {
                self.keep(line);
                self.finish(lines, true);
            }
            data = &rest[1..];
        }
        self.keep(data);
    }

    /// Appends the last line, which has no end. With `even_empty` also an empty one.
    pub(crate) fn finish(&mut self, lines: &mut Vec<String>, even_empty: bool) {
        if self.partial.is_empty() && !even_empty {
            return;
        }
        let mut line = text(&self.partial);
        if self.dropped > 0 {
            line.push_str(&format!(" … [tinpot] {} bytes of this line are not kept", self.dropped));
        }
        self.partial.clear();
        self.dropped = 0;
        lines.push(line);
    }

    fn keep(&mut self, data: &[u8]) {
        let room = KEPT_BYTES.saturating_sub(self.partial.len()).min(data.len());
        self.partial.extend_from_slice(&data[..room]);
        self.dropped += data.len() - room;
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{KEPT_BYTES, LineSplitter};

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (LineSplitter::default(), Vec::new());
        for chunk in chunks {
            lines.split(chunk, &mut found);
        }
        lines.finish(&mut found, false);
        found
    }

    #[test]
    fn lines_are_the_same_wherever_the_chunks_end() {
        let whole = "a\n\nb\rc\nlast ü".as_bytes();
        for cut in 0..whole.len() {
            let found = lines(&[&whole[..cut], &whole[cut..]]);
            assert_eq!(found, ["a", "", "b\rc", "last ü"], "cut at {cut}");
        }
    }

    #[test]
    fn long_line_is_cut_and_marked() {
        let chunk = vec![b'x'; 40_000];
        let found = lines(&[&chunk, &chunk, &chunk, b"\nnext\n"]);
        assert_eq!(found.len(), 2);
        assert!(found[0].len() < 64 * 1024, "{}", found[0].len());
        let dropped = 120_000 - KEPT_BYTES;
        assert!(found[0].ends_with(&format!("{dropped} bytes of this line are not kept")));
        assert_eq!(found[1], "next");
    }

    #[test]
    fn invalid_utf_8_is_replaced() {
        assert_eq!(lines(&[b"a\xffb\0\n"]), ["a\u{fffd}b\0"]);
    }
}
