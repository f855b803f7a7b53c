//! Secrets that the user types on a terminal, which does not show them.

use std::io::{self, IsTerminal, Read, Write};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use crate::exit::{CliError, Code};

/// The longest secret, in bytes.
const SECRET_BYTES: usize = 64 * 1024;

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;

/// Returns true if there is a user to ask.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for the secret with that name.
///
/// # Errors
/// Fails if the user interrupts, or the terminal is gone.
pub(crate) fn ask(name: &str) -> Result<String, CliError> {
    let cannot = |e: &dyn std::fmt::Display| {
        CliError::new(Code::Failed, format!("cannot read {name} from the terminal: {e}"))
    };
    let silent = Silent::start().map_err(|e| cannot(&e))?;
    let mut err = io::stderr().lock();
    write!(err, "{name} (secret, not shown): ")
        .and_then(|()| err.flush())
        .map_err(|e| cannot(&e))?;
    let typed = read(io::stdin().lock());
    drop(silent);
    // The user's own line end was not shown.
    let _ = writeln!(err);
    let bytes = typed.map_err(|e| cannot(&e))?.ok_or_else(|| CliError::quiet(Code::Interrupted))?;
    String::from_utf8(bytes).map_err(|_| CliError::usage(format!("{name} must be UTF-8")))
}

/// Reads to the end of the line; `None` if the user interrupts.
fn read(mut from: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut typed: Vec<u8> = Vec::new();
    let mut byte = [0];
    loop {
        if from.read(&mut byte)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match byte[0] {
            b'\n' | b'\r' => return Ok(Some(typed)),
            CTRL_C => return Ok(None),
            CTRL_D if typed.is_empty() => return Ok(None),
            CTRL_D => return Ok(Some(typed)),
            CTRL_U => typed.clear(),
            0x08 | 0x7f => {
                // A character may have several bytes.
                while typed.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
            }
            _ if typed.len() >= SECRET_BYTES => {
                return Err(io::Error::other(format!("it has more than {SECRET_BYTES} bytes")));
            }
            other => typed.push(other),
        }
    }
}

/// A terminal that shows nothing of what is typed, and sends Ctrl-C as a byte: a signal would end
/// the program and leave the terminal silent.
struct Silent {
    before: Termios,
}

impl Silent {
    fn start() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes -=
            LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn keys_edit_the_secret() {
        let typed = |keys: &str| {
            let read = read(keys.as_bytes()).map_err(|e| e.to_string());
            read.map(|bytes| bytes.map(|bytes| String::from_utf8(bytes).expect("UTF-8")))
        };
        assert_eq!(typed("abc\n"), Ok(Some("abc".to_owned())));
        assert_eq!(typed("abé\x7fc\r"), Ok(Some("abc".to_owned())));
        assert_eq!(typed("wrong\x15right\n"), Ok(Some("right".to_owned())));
        assert_eq!(typed("ab\x03"), Ok(None));
        assert_eq!(typed("\x04"), Ok(None));
        assert!(typed("ab").is_err(), "the terminal is gone");
    }
}
