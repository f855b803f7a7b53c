//! Output: results on standard output, everything else on standard error.

use std::io::{self, IsTerminal, Write};

use crate::exit::CliError;

/// Colours, if the user wants them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    pub(crate) enabled: bool,
}

impl Paint {
    /// Colours for standard error.
    pub(crate) fn stderr() -> Self {
        Self { enabled: wanted(io::stderr().is_terminal()) }
    }

    /// Colours for standard output.
    pub(crate) fn stdout() -> Self {
        Self { enabled: wanted(io::stdout().is_terminal()) }
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.enabled { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    /// Returns a status in its colour.
    pub(crate) fn status(self, status: &str) -> String {
        match status {
            "succeeded" => self.green(status),
            "failed" | "timed_out" | "lost" => self.red(status),
            "running" | "cancelling" | "cancelled" => self.yellow(status),
            _ => status.to_owned(),
        }
    }
}

/// Returns true for a terminal, unless `NO_COLOR` is set to any value but the empty one
/// (no-color.org).
fn wanted(terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Writes to standard output, and flushes it.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a line to standard output.
pub(crate) fn println(text: &str) -> Result<(), CliError> {
    print(&format!("{text}\n"))
}

/// Writes a line to standard error. Ignores errors, which could not be reported.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Returns a log line that is safe to print. Of all escape sequences it keeps colours and styles
/// only, and only with `colour`, so that the output of an action cannot move the cursor, rename the
/// window or type for the user.
pub(crate) fn clean(line: &str, colour: bool) -> String {
    if !line.bytes().any(|byte| byte < 0x20 || byte == 0x7f || byte == 0xc2) {
        return line.to_owned();
    }
    let mut out = String::with_capacity(line.len());
    let (mut rest, mut coloured) = (line, false);
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\x1b' => {
                let end = sequence(after);
                let sequence = &after[..end];
                if colour && sequence.starts_with('[') && sequence.ends_with('m') {
                    out.push(c);
                    out.push_str(sequence);
                    coloured = true;
                }
                &after[end..]
            }
            // A progress bar that draws over itself: the last state is the one to show.
            '\r' if after.is_empty() => after,
            '\r' => {
                out.clear();
                after
            }
            '\t' => {
                out.push(c);
                after
            }
            c if c.is_control() => after,
            c => {
                out.push(c);
                after
            }
        };
    }
    if coloured {
        out.push_str("\x1b[0m");
    }
    out
}

/// Returns the length of an escape sequence, without the escape character.
fn sequence(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(b'[') => {
            let end = bytes.iter().skip(1).position(|byte| (0x40..=0x7e).contains(byte));
            end.map_or(bytes.len(), |end| end + 2)
        }
        // An operating system command or another string: up to the bell or the string terminator.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => {
            let bell = text.find('\x07').map(|at| at + 1);
            let string_end = text.find("\x1b\\").map(|at| at + 2);
            bell.into_iter().chain(string_end).min().unwrap_or(bytes.len())
        }
        Some(first) if first.is_ascii() => 1,
        _ => 0,
    }
}

/// Returns a duration for people.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), (s % 60.0).floor()),
        s => format!("{:.0} h {:02.0} min", (s / 3600.0).floor(), (s % 3600.0 / 60.0).floor()),
    }
}

/// Returns a size for people, in units of 1,024.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let (mut size, mut unit) = (bytes as f64 / 1_024.0, 0);
    while size >= 1_023.95 && unit + 1 < units.len() {
        size /= 1_024.0;
        unit += 1;
    }
    format!("{size:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::{clean, seconds, size};

    #[test]
    fn sizes_have_a_fitting_unit() {
        let all = [0, 1_023, 1_024, 1_048_575, 104_857_600, 1 << 40].map(size);
        assert_eq!(all, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "100.0 MiB", "1024.0 GiB"]);
    }

    #[test]
    fn a_line_keeps_its_colours_and_no_other_sequences() {
        let line = "\x1b]0;title\x07\x1b[31mred\x1b[0m\x1b[2J\x1b[1A plain\x08\u{9b}x";
        assert_eq!(clean(line, true), "\x1b[31mred\x1b[0m plainx\x1b[0m");
        assert_eq!(clean(line, false), "red plainx");
        assert_eq!(clean("10%\r50%\r100%", true), "100%");
        assert_eq!(clean("a\tb\x1b", true), "a\tb");
        assert_eq!(clean("naïve — ünïcode", false), "naïve — ünïcode");
    }

    #[test]
    fn durations_have_a_fitting_unit() {
        let all = [0.0, 0.25, 1.0, 59.94, 61.0, 3725.0].map(seconds);
        assert_eq!(all, ["0 ms", "250 ms", "1.0 s", "59.9 s", "1 min 01 s", "1 h 02 min"]);
    }
}
