//! The file by which commands of the same user find the token of a running `tinpot dev`.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::private;

/// A running server for this machine.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DevFile {
    /// The URL, with an address: a name may also lead to the server of another user.
    pub(crate) url: String,
    pub(crate) token: String,
}

/// The file of this process, which is removed when this is dropped. Its lock shows that the process
/// runs: one that is killed leaves the file, but not the lock.
#[derive(Debug)]
pub(crate) struct Written {
    path: PathBuf,
    _locked: File,
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Returns the folders in which the file may be: that of the session, and one that is there without
/// a session.
fn folders() -> impl Iterator<Item = PathBuf> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let session = absolute("XDG_RUNTIME_DIR").filter(|path| path.is_dir());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    [session, state].into_iter().flatten().map(|path| path.join("tinpot"))
}

fn name(port: u16) -> String {
    format!("dev-{port}.json")
}

/// Writes the file of a server. Returns a sentence about the reason if it cannot.
pub(crate) fn write(port: u16, file: &DevFile) -> Result<Written, String> {
    let mut why = "neither XDG_RUNTIME_DIR nor HOME is set".to_owned();
    let text = serde_json::to_string(file).map_err(|error| error.to_string())?;
    for folder in folders() {
        let path = folder.join(name(port));
        match private::folder(&folder).and_then(|()| private::write_locked(&path, &text)) {
            Ok(_locked) => return Ok(Written { path, _locked }),
            Err(error) => why = format!("{}: {error}", path.display()),
        }
    }
    Err(why)
}

/// Removes the files of servers that were killed on this port.
pub(crate) fn remove(port: u16) {
    for folder in folders() {
        let _ = std::fs::remove_file(folder.join(name(port)));
    }
}

/// Returns the running server at a URL.
pub(crate) fn find(url: &str) -> Option<DevFile> {
    let port = port_of(url)?;
    let found = folders().filter_map(|folder| open(&folder.join(name(port))));
    found.filter(|(file, _)| !private::is_left(file)).find_map(|(_, text)| read(&text))
}

/// Returns true if the server at a URL was killed, and none has taken its place.
pub(crate) fn was_killed(url: &str) -> bool {
    let Some(port) = port_of(url) else { return false };
    let mut found = folders().filter_map(|folder| open(&folder.join(name(port)))).peekable();
    found.peek().is_some() && found.all(|(file, _)| private::is_left(&file))
}

/// Opens a file. One that others can change is none.
fn open(path: &Path) -> Option<(File, String)> {
    private::open(path).ok()?
}

fn read(text: &str) -> Option<DevFile> {
    serde_json::from_str(text).ok()
}

/// Returns the port of a URL of this machine, without a path.
fn port_of(url: &str) -> Option<u16> {
    let host = url.trim().trim_end_matches('/').strip_prefix("http://")?;
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    let is_here = name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost");
    port.parse().ok().filter(|_| is_here)
}

#[cfg(test)]
mod tests {
    use super::port_of;

    #[test]
    fn only_urls_of_this_machine_have_the_file() {
        for (url, port) in [
            ("http://127.0.0.1:8000", Some(8000)),
            ("http://localhost:8001/", Some(8001)),
            ("http://LOCALHOST", Some(80)),
            ("http://127.0.0.1:8000/below", None),
            ("http://[::1]:8000", None),
            ("https://127.0.0.1:8000", None),
            ("http://example.org:8000", None),
            ("http://127.0.0.1.example.org:8000", None),
        ] {
            assert_eq!(port_of(url), port, "{url}");
        }
    }
}
