//! Splits a stream of bytes into lines and marks, with bounded memory.

use std::sync::Arc;

/// The longest line that is kept. With its marker it has the maximum length of a log line.
const KEPT_BYTES: usize = 64 * 1024 - 128;
/// The longest message of the Python package. The largest is a summary of 40 KiB whose characters
/// JSON writes as six bytes each.
const MARK_BYTES: usize = 512 * 1024;
/// The first character of a mark.
pub const ESCAPE: u8 = 0x1b;

/// A part of a stream.
#[derive(Debug, PartialEq)]
pub enum Part {
    /// A printed line, without its end.
    Line(String),
    /// A message of the Python package: JSON.
    Mark(Vec<u8>),
}

/// A splitter, with the part of a line that has no end yet.
///
/// A carriage return within a line begins the line again, as on a terminal: of a meter that
/// overwrites itself, the last state is kept.
#[derive(Debug, Default)]
pub struct LineSplitter {
    /// The beginning of each mark, which may occur anywhere in the stream. Empty if there are none.
    prefix: Arc<[u8]>,
    line: UnfinishedLine,
    /// Bytes that may be the beginning of a mark.
    carry: Vec<u8>,
    /// The beginning of a mark, and the number of further bytes that are not kept.
    mark: Option<(Vec<u8>, usize)>,
}

/// The beginning of a line that has no end yet.
#[derive(Debug, Default)]
struct UnfinishedLine {
    kept: Vec<u8>,
    dropped: usize,
    /// If true, the last character was a carriage return: more text overwrites the line.
    is_at_start: bool,
    /// If true, text of this line was overwritten.
    is_meter: bool,
}

impl LineSplitter {
    /// Returns a splitter of a stream with marks that begin with `prefix`.
    pub fn with_marks(prefix: &Arc<[u8]>) -> Self {
        Self { prefix: prefix.clone(), ..Self::default() }
    }

    /// Appends every part that ends in `data`.
    pub fn split(&mut self, data: &[u8], parts: &mut Vec<Part>) {
        if self.carry.is_empty() {
            return self.take(data, parts);
        }
        let mut joined = std::mem::take(&mut self.carry);
        joined.extend_from_slice(data);
        self.take(&joined, parts);
    }

    /// Appends the last line if it has no end.
    pub fn finish(&mut self, parts: &mut Vec<Part>) {
        let carry = std::mem::take(&mut self.carry);
        self.line.extend(&carry);
        self.mark = None;
        if !self.line.is_blank() {
            parts.push(self.line.end());
        }
        self.line = UnfinishedLine::default();
    }

    /// Ends a line that has no end yet before something else is written, so that both keep their
    /// order. A meter continues after that.
    pub fn end_before(&mut self, parts: &mut Vec<Part>) {
        if !self.line.is_blank() && !self.line.is_meter && !self.line.is_at_start {
            parts.push(self.line.end());
        }
    }

    /// Returns true if there is a line that has no end yet.
    pub fn is_unfinished(&self) -> bool {
        !self.line.is_blank()
    }

    /// Returns the beginning of a line that has no end yet, at most its last `max_bytes`.
    pub fn unfinished(&self, max_bytes: usize) -> Option<String> {
        if self.line.is_blank() {
            return None;
        }
        let kept = &self.line.kept;
        let mut start = kept.len().saturating_sub(max_bytes);
        while kept.get(start).is_some_and(|byte| byte & 0xc0 == 0x80) {
            start += 1;
        }
        let text = text(&kept[start..]);
        Some(if start > 0 || self.line.dropped > 0 { format!("… {text}") } else { text })
    }

    fn take(&mut self, mut data: &[u8], parts: &mut Vec<Part>) {
        while !data.is_empty() {
            data = match &self.mark {
                Some(_) => self.take_mark(data, parts),
                None => self.take_text(data, parts),
            };
        }
    }

    /// Takes the text up to a line end or a mark, and returns the rest.
    fn take_text<'a>(&mut self, data: &'a [u8], parts: &mut Vec<Part>) -> &'a [u8] {
        let mut from = 0;
        loop {
            let found = memchr::memchr2(b'\n', ESCAPE, &data[from..]).map(|at| from + at);
            let Some(at) = found else {
                self.line.extend(data);
                return &[];
            };
            let (before, rest) = data.split_at(at);
            if rest[0] == b'\n' {
                if self.line.is_new() && before.len() <= KEPT_BYTES && !before.contains(&b'\r') {
                    parts.push(Part::Line(text(before)));
                } else {
                    self.line.extend(before);
                    parts.push(self.line.end());
                }
                return &rest[1..];
            }
            if !self.prefix.is_empty() {
                if let Some(after) = rest.strip_prefix(&*self.prefix) {
                    self.line.extend(before);
                    self.mark = Some((Vec::new(), 0));
                    return after;
                }
                if self.prefix.starts_with(rest) {
                    self.line.extend(before);
                    self.carry = rest.to_vec();
                    return &[];
                }
            }
            from = at + 1;
        }
    }

    /// Takes a part of a mark, and returns the rest.
    fn take_mark<'a>(&mut self, data: &'a [u8], parts: &mut Vec<Part>) -> &'a [u8] {
        let Some((mark, dropped)) = &mut self.mark else { return data };
        let end = memchr::memchr(b'\n', data);
        let piece = &data[..end.unwrap_or(data.len())];
        let kept = MARK_BYTES.saturating_sub(mark.len()).min(piece.len());
        mark.extend_from_slice(&piece[..kept]);
        *dropped += piece.len() - kept;
        let Some(end) = end else { return &[] };
        let (mark, dropped) = self.mark.take().unwrap_or_default();
        if ends_line(&mark) {
            self.end_before(parts);
        }
        if dropped == 0 {
            parts.push(Part::Mark(mark));
        } else {
            let size = mark.len() + dropped;
            parts.push(Part::Line(format!(
                "[tinpot] a message must have at most {MARK_BYTES} bytes, not {size}"
            )));
        }
        &data[end + 1..]
    }
}

impl UnfinishedLine {
    /// Returns true if nothing of the line was taken yet.
    fn is_new(&self) -> bool {
        self.kept.is_empty() && self.dropped == 0 && !self.is_at_start && !self.is_meter
    }

    /// Returns true if there is nothing to show.
    fn is_blank(&self) -> bool {
        self.kept.is_empty() || self.is_meter && is_cleared(&self.kept)
    }

    fn extend(&mut self, data: &[u8]) {
        let text = without_returns(data);
        if !text.is_empty() {
            if std::mem::take(&mut self.is_at_start) {
                self.clear();
            }
            let last = match memchr::memrchr(b'\r', text) {
                Some(at) => {
                    self.clear();
                    &text[at + 1..]
                }
                None => text,
            };
            let room = KEPT_BYTES.saturating_sub(self.kept.len()).min(last.len());
            self.kept.extend_from_slice(&last[..room]);
            self.dropped += last.len() - room;
        }
        if text.len() < data.len() {
            self.is_at_start = true;
        }
    }

    fn clear(&mut self) {
        // A carriage return at the beginning of a line overwrites nothing, but belongs to a meter.
        self.is_meter = true;
        self.kept.clear();
        self.dropped = 0;
    }

    /// Returns the line, and begins the next one.
    fn end(&mut self) -> Part {
        if let (1.., Err(error)) = (self.dropped, std::str::from_utf8(&self.kept))
            && error.error_len().is_none()
        {
            // A character that was cut in two.
            self.dropped += self.kept.len() - error.valid_up_to();
            self.kept.truncate(error.valid_up_to());
        }
        let mut line = if self.is_blank() { String::new() } else { text(&self.kept) };
        if self.dropped > 0 {
            line.push_str(&format!(" … [tinpot] {} bytes of this line are not kept", self.dropped));
        }
        self.kept.clear();
        (self.dropped, self.is_at_start, self.is_meter) = (0, false, false);
        Part::Line(line)
    }
}

/// Returns text without the carriage returns at its end.
fn without_returns(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
    &text[..end]
}

/// Returns true for a message after which text without a line end is a line of its own: a log line,
/// a step, or a line of the other stream. The lines then keep their order.
fn ends_line(mark: &[u8]) -> bool {
    match mark {
        [b'{', b'"', b'l' | b'e' | b's', b'"', ..] => true,
        [b'{', b'"', b'o', b'"', ..] => memchr::memmem::find(mark, b"\\n").is_some(),
        _ => false,
    }
}

/// Returns true for text that a terminal shows as nothing: blanks, and sequences such as "erase
/// this line".
fn is_cleared(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b' ' | b'\t', _) => after,
            (&ESCAPE, [b'[', sequence @ ..]) => {
                match sequence.iter().position(|byte| (0x40..=0x7e).contains(byte)) {
                    Some(end) => &sequence[end + 1..],
                    None => return false,
                }
            }
            _ => return false,
        };
    }
    true
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{KEPT_BYTES, LineSplitter, MARK_BYTES, Part};

    const PREFIX: &[u8] = b"\x1b_mark";

    fn parts(chunks: &[&[u8]]) -> Vec<Part> {
        let (mut lines, mut found) = (LineSplitter::with_marks(&PREFIX.into()), Vec::new());
        for chunk in chunks {
            lines.split(chunk, &mut found);
        }
        lines.finish(&mut found);
        found
    }

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let line = |part| match part {
            Part::Line(line) => line,
            Part::Mark(mark) => format!("<{}>", String::from_utf8_lossy(&mark)),
        };
        parts(chunks).into_iter().map(line).collect()
    }

    #[test]
    fn parts_are_the_same_wherever_the_chunks_end() {
        for (whole, expected) in [
            ("a\n\nb\rc\r\nlast ü", &["a", "", "c", "last ü"][..]),
            ("a\r\nb\r\r\n\rc\n\r\n", &["a", "b", "c", ""]),
            ("\r 10%\r100%\ndone\n", &["100%", "done"]),
            ("50%\r\x1b[K", &[]),
            ("50%\r   \r\nnext\r", &["", "next"]),
            ("50%\r   \rnext", &["next"]),
            ("kept\r", &["kept"]),
            (
                "a\x1b_mark{\"p\":1}\nb\x1b_mask\x1b_mark{\"l\":1}\nc",
                &["<{\"p\":1}>", "ab\x1b_mask", "<{\"l\":1}>", "c"],
            ),
            ("10%\r20%\x1b_mark{\"l\":1}\n\r30%\n", &["<{\"l\":1}>", "30%"]),
            (
                "a\x1b_mark{\"o\":1,\"m\":\".\"}\nb\x1b_mark{\"o\":1,\"m\":\"\\n\"}\n\x1b_ma",
                &["<{\"o\":1,\"m\":\".\"}>", "ab", "<{\"o\":1,\"m\":\"\\n\"}>", "\x1b_ma"],
            ),
        ] {
            for cut in 0..whole.len() {
                let (first, second) = whole.as_bytes().split_at(cut);
                assert_eq!(lines(&[first, second]), expected, "{whole:?} cut at {cut}");
            }
            let single: Vec<&[u8]> = whole.as_bytes().chunks(1).collect();
            assert_eq!(lines(&single), expected, "{whole:?}, byte by byte");
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
        let wide = "x".to_owned() + &"😀".repeat(20_000);
        let kept = (KEPT_BYTES - 1) / 4;
        let dropped = wide.len() - 1 - 4 * kept;
        let [found] = &lines(&[wide.as_bytes()])[..] else { panic!("one line") };
        let expected = format!("x{} … [tinpot] {dropped} bytes", "😀".repeat(kept));
        assert!(found.starts_with(&expected), "{}", &found[found.len() - 100..]);
    }

    #[test]
    fn long_meter_keeps_its_last_state() {
        let states: String = (0..20_000).map(|at| format!("\r{at:5} {}", "#".repeat(60))).collect();
        let found = lines(&[states.as_bytes(), b"\n"]);
        assert_eq!(found, [format!("19999 {}", "#".repeat(60))]);
    }

    #[test]
    fn mark_is_found_wherever_it_begins_and_a_huge_one_is_refused_with_a_word() {
        for length in KEPT_BYTES - 8..KEPT_BYTES + 2 {
            let line = [&vec![b'x'; length], PREFIX, b"{\"p\":1}\n\n"].concat();
            let found = parts(&[&line]);
            assert_eq!(found[0], Part::Mark(b"{\"p\":1}".to_vec()), "{length}");
            assert_eq!(found.len(), 2);
        }
        let huge = [PREFIX, &vec![b'x'; MARK_BYTES + 1], b"\nnext\n"].concat();
        let expected =
            format!("[tinpot] a message must have at most 524288 bytes, not {}", 524_289);
        assert_eq!(lines(&[&huge]), [expected.as_str(), "next"]);
    }

    #[test]
    fn the_unfinished_line_is_the_end_of_what_a_terminal_shows() {
        let mut splitter = LineSplitter::default();
        let mut shown = |data: &str| {
            splitter.split(data.as_bytes(), &mut Vec::new());
            splitter.unfinished(8)
        };
        assert_eq!(shown("one\n"), None);
        assert_eq!(shown("..").as_deref(), Some(".."));
        assert_eq!(shown("\r10%").as_deref(), Some("10%"));
        assert_eq!(shown("\r").as_deref(), Some("10%"));
        assert_eq!(shown("20%").as_deref(), Some("20%"));
        assert_eq!(shown("\r   "), None);
        assert_eq!(shown("\rüüüüüüü").as_deref(), Some("… üüüü"));
    }

    #[test]
    fn invalid_utf_8_is_replaced() {
        assert_eq!(lines(&[b"a\xffb\0\n"]), ["a\u{fffd}b\0"]);
    }
}
