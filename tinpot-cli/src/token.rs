//! The API token that the command sends to its server.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ureq::http::HeaderValue;

use crate::args::Global;
use crate::dev_file;
use crate::exit::{CliError, Code};

/// The variable with a token, if no file is named. There is no flag for it: every user of the machine
/// sees the arguments of its processes.
const VARIABLE: &str = "TINPOT_TOKEN";
/// The largest file with a token, in bytes.
const BYTES: u64 = 4096;
/// The bits of a mode that let others than the owner use a file.
const OTHERS: u32 = 0o077;

/// A token, and the setting that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// The value of the header. `Debug` leaves it out.
    pub(crate) header: HeaderValue,
    pub(crate) source: String,
}

/// The source of the token of `tinpot dev`, which is another one after a restart.
pub(crate) const OF_DEV: &str = "tinpot dev";

impl Token {
    /// Returns the header for a request to this server.
    pub(crate) fn header_for(&self, base: &str) -> HeaderValue {
        let again = (self.source == OF_DEV).then(|| dev_file::find(base)).flatten();
        let again = again.and_then(|file| Self::new(&file.token, OF_DEV.to_owned()).ok());
        again.map_or_else(|| self.header.clone(), |token| token.header)
    }

    /// Returns the token of a `tinpot dev` at this URL if it is another one than that of the header
    /// which was sent. A token from elsewhere is never replaced.
    pub(crate) fn newer(
        present: Option<&Self>,
        sent: Option<&HeaderValue>,
        base: &str,
    ) -> Option<Self> {
        if present.is_some_and(|token| token.source != OF_DEV) {
            return None;
        }
        // By another name, the URL may lead to the server of another user.
        let file = dev_file::find(base).filter(|file| file.url == base)?;
        let token = Self::new(&file.token, OF_DEV.to_owned()).ok()?;
        (Some(&token.header) != sent).then_some(token)
    }

    /// Returns the token that the options or the environment name.
    ///
    /// # Errors
    /// Fails if its file cannot be read, or if others can read it.
    pub(crate) fn of(global: &Global) -> Result<Option<Self>, CliError> {
        let file = global.token_file.as_deref().filter(|path| !path.as_os_str().is_empty());
        if let Some(path) = file {
            let text = read(path)?;
            return Self::new(&text, path.display().to_string()).map(Some);
        }
        let text = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
        text.map(|text| Self::new(&text, VARIABLE.to_owned())).transpose()
    }

    pub(crate) fn new(text: &str, source: String) -> Result<Self, CliError> {
        let text = text.trim();
        let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let header = HeaderValue::from_str(&format!("Bearer {text}")).ok().filter(|_| is_word);
        let Some(mut header) = header else {
            let message = format!("{source} must have one API token, which starts with tpt_");
            return Err(CliError::usage(message));
        };
        header.set_sensitive(true);
        Ok(Self { header, source })
    }
}

fn read(path: &Path) -> Result<String, CliError> {
    let shown = path.display();
    let cannot = |e: std::io::Error| {
        let code = match e.kind() {
            std::io::ErrorKind::NotFound => Code::NotFound,
            _ => Code::Usage,
        };
        let message =
            format!("cannot read the token in {shown} (--token-file, TINPOT_TOKEN_FILE): {e}");
        CliError::new(code, message)
    };
    let file = File::open(path).map_err(cannot)?;
    let mode = file.metadata().map_err(cannot)?.permissions().mode();
    if mode & OTHERS != 0 {
        let mode = mode & 0o777;
        let message = format!("{shown} may be read by others ({mode:04o}): chmod 600 {shown}");
        return Err(CliError::usage(message));
    }
    let mut text = String::new();
    file.take(BYTES).read_to_string(&mut text).map_err(cannot)?;
    Ok(text)
}
