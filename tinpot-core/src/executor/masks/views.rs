//! Views of a text: its content with escapes decoded, and the place of each byte in the text.
//!
//! A secret that is written as JSON, by `repr`, in a URL, in HTML or for a shell is found in the
//! view that decodes that, whichever characters the writer escapes. Views of views find JSON within
//! JSON, or JSON within a URL.

/// The most views of one text: all of the first level, and all pairs.
const VIEWS_MAX: usize = 48;
/// The deepest nesting.
const DEPTH_MAX: usize = 3;

/// A text after some decoding.
#[derive(Debug)]
pub(super) struct View {
    pub(super) bytes: Vec<u8>,
    /// The place in the original text of each byte, and of the end.
    places: Vec<u32>,
    depth: usize,
}

/// The notations that are decoded.
#[derive(Clone, Copy, Debug)]
enum Notation {
    /// `%C3%BC`.
    Percent,
    /// `+` for a blank, and the above.
    Form,
    /// `\u00fc`, `\xfc`, `\n`, `\"`: JSON, and the literals of most languages.
    Backslash,
    /// `\xc3\xbc`, `\303\274`: the same for bytes.
    Bytes,
    /// `&amp;`, `&#252;`.
    Entities,
    /// `'"'"'` and `'\''`: a quote within quotes.
    Shell,
}

const NOTATIONS: [Notation; 6] = [
    Notation::Percent,
    Notation::Form,
    Notation::Backslash,
    Notation::Bytes,
    Notation::Entities,
    Notation::Shell,
];

/// The longest entity, such as `&#x10ffff;`.
const ENTITY_BYTES: usize = 10;

impl View {
    /// Returns the place in the original text of a byte of this view, or of its end.
    pub(super) fn place(&self, at: usize) -> usize {
        self.places.get(at).map_or(0, |place| *place as usize)
    }
}

/// Returns the views of a text that differ from it.
pub(super) fn of(text: &[u8]) -> Vec<View> {
    let mut views: Vec<View> = Vec::new();
    for notation in NOTATIONS {
        views.extend(decoded(text, notation, |at| at as u32, 1));
    }
    let mut next = 0;
    while let Some(view) = views.get(next) {
        if view.depth < DEPTH_MAX && views.len() < VIEWS_MAX {
            let deeper: Vec<View> = NOTATIONS
                .into_iter()
                .filter_map(|notation| {
                    let place = |at: usize| view.place(at) as u32;
                    decoded(&view.bytes, notation, place, view.depth + 1)
                })
                .collect();
            views.extend(deeper);
        }
        next += 1;
    }
    views.truncate(VIEWS_MAX);
    views
}

/// Returns a text with one notation decoded; `None` if it has nothing of that.
fn decoded(
    text: &[u8],
    notation: Notation,
    place: impl Fn(usize) -> u32,
    depth: usize,
) -> Option<View> {
    let mut at = notation.find(text)?;
    let mut has_changed = false;
    let mut view = View { bytes: Vec::new(), places: Vec::new(), depth };
    let mut copied = 0;
    let copy = |view: &mut View, range: std::ops::Range<usize>| {
        view.bytes.extend_from_slice(&text[range.clone()]);
        view.places.extend(range.map(&place));
    };
    loop {
        let length = match notation.decode(&text[at..]) {
            Some((decoded, length)) => {
                copy(&mut view, copied..at);
                let bytes = decoded.as_bytes();
                view.bytes.extend_from_slice(bytes);
                view.places.extend(bytes.iter().map(|_| place(at)));
                has_changed = true;
                copied = at + length;
                length
            }
            None => 1,
        };
        match notation.find(&text[at + length..]) {
            Some(next) => at += length + next,
            None => break,
        }
    }
    if !has_changed {
        return None;
    }
    copy(&mut view, copied..text.len());
    view.places.push(place(text.len()));
    Some(view)
}

/// The meaning of an escape.
enum Decoded {
    Char([u8; 4], usize),
    Byte([u8; 1]),
}

impl Decoded {
    fn char(decoded: char) -> Self {
        let mut buffer = [0; 4];
        let length = decoded.encode_utf8(&mut buffer).len();
        Self::Char(buffer, length)
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Char(buffer, length) => &buffer[..*length],
            Self::Byte(byte) => byte,
        }
    }
}

impl Notation {
    /// Returns the first place at which an escape may begin.
    fn find(self, text: &[u8]) -> Option<usize> {
        text.iter().position(|byte| match self {
            Self::Percent => *byte == b'%',
            Self::Form => matches!(byte, b'%' | b'+'),
            Self::Backslash | Self::Bytes => *byte == b'\\',
            Self::Entities => *byte == b'&',
            Self::Shell => *byte == b'\'',
        })
    }

    /// Returns what the escape at the beginning stands for, and its length.
    fn decode(self, text: &[u8]) -> Option<(Decoded, usize)> {
        match (self, text) {
            (Self::Form, [b'+', ..]) => Some((Decoded::char(' '), 1)),
            (Self::Percent | Self::Form, _) => {
                Some((Decoded::Byte([number(text.get(1..3)?, 16)? as u8]), 3))
            }
            (Self::Bytes, [b'\\', b'x', ..]) => {
                Some((Decoded::Byte([number(text.get(2..4)?, 16)? as u8]), 4))
            }
            (Self::Bytes, [b'\\', b'0'..=b'3', ..]) => {
                Some((Decoded::Byte([number(text.get(1..4)?, 8)? as u8]), 4))
            }
            (Self::Backslash | Self::Bytes, _) => backslash(text),
            (Self::Entities, _) => entity(text),
            (Self::Shell, _) => {
                let quoted = [&b"'\"'\"'"[..], b"'\\''"];
                let found = quoted.into_iter().find(|quoted| text.starts_with(quoted))?;
                Some((Decoded::char('\''), found.len()))
            }
        }
    }
}

fn backslash(text: &[u8]) -> Option<(Decoded, usize)> {
    let second = *text.get(1)?;
    let simple = |decoded| Some((Decoded::char(decoded), 2));
    match second {
        b'n' => simple('\n'),
        b'r' => simple('\r'),
        b't' => simple('\t'),
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        b'v' => simple('\u{b}'),
        b'a' => simple('\u{7}'),
        b'x' => Some((Decoded::char(char::from_u32(number(text.get(2..4)?, 16)?)?), 4)),
        b'U' => Some((Decoded::char(char::from_u32(number(text.get(2..10)?, 16)?)?), 10)),
        b'u' if text.get(2) == Some(&b'{') => {
            let end = text.iter().take(ENTITY_BYTES + 1).position(|byte| *byte == b'}')?;
            Some((Decoded::char(char::from_u32(number(&text[3..end], 16)?)?), end + 1))
        }
        b'u' => {
            let first = number(text.get(2..6)?, 16)?;
            if let Some(decoded) = char::from_u32(first) {
                return Some((Decoded::char(decoded), 6));
            }
            let second = match text.get(6..8)? {
                b"\\u" => number(text.get(8..12)?, 16)?,
                _ => return None,
            };
            let pair = char::decode_utf16([first as u16, second as u16]).next()?.ok()?;
            Some((Decoded::char(pair), 12))
        }
        _ if second.is_ascii_punctuation() || second == b' ' => simple(second.into()),
        _ => None,
    }
}

fn entity(text: &[u8]) -> Option<(Decoded, usize)> {
    let end = text.iter().take(ENTITY_BYTES).position(|byte| *byte == b';')?;
    let decoded = match &text[1..end] {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(number(digits, 16)?)?,
        [b'#', digits @ ..] => char::from_u32(number(digits, 10)?)?,
        _ => return None,
    };
    Some((Decoded::char(decoded), end + 1))
}

/// Returns a number that consists of digits only.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    if digits.first() == Some(&b'+') {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}
