//! The packages that an app needs.

use std::fs;

use tinpot_bundle::Towerfile;
use tinpot_core::{Error, ErrorKind, Result};

use crate::workspace::Workspace;

/// The file of requirements of an app without another.
const DEFAULT: &str = "requirements.txt";
/// The largest file of requirements.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Options that name no file of the app.
const HARMLESS: [&str; 10] = [
    "-i",
    "--index-url",
    "--extra-index-url",
    "--no-index",
    "--pre",
    "--prefer-binary",
    "--require-hashes",
    "--only-binary",
    "--no-binary",
    "--trusted-host",
];

/// A file of requirements.
#[derive(Debug)]
pub(super) struct Requirements {
    path: String,
    text: Vec<u8>,
}

impl Requirements {
    /// Reads the file; returns `None` for an app that needs no packages.
    pub(super) fn read(towerfile: &Towerfile, workspace: &Workspace) -> Result<Option<Self>> {
        let named = towerfile.tinpot.requirements.as_deref();
        let path = named.unwrap_or(DEFAULT).trim_start_matches('/');
        let full = workspace.work().join(path);
        let metadata = match fs::metadata(&full) {
            Ok(metadata) => metadata,
            Err(_) if named.is_none() => return Ok(None),
            Err(error) => {
                let message =
                    format!("cannot read {path}, which tinpot.requirements names: {error}");
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
        };
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            let message = format!("{path} must be a file of at most {MAX_BYTES} bytes");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let text = fs::read(&full).map_err(|e| crate::workspace::failed("read", &full, &e))?;
        Ok(Some(Self { path: path.to_owned(), text }))
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Returns true for a lock file of uv.
    pub(super) fn is_lock(&self) -> bool {
        !self.path.ends_with(".txt")
    }

    /// Returns true if packages are used from the workspace, as `-e .` does.
    pub(super) fn refer_to_workspace(&self) -> bool {
        self.lines().iter().any(|line| line.starts_with("-e") || line.starts_with("--editable"))
    }

    /// Returns true if it depends on other files of the app, as by `-r` or a path.
    pub(super) fn refer_to_files(&self) -> bool {
        // A lock may have members of its workspace.
        self.is_lock() || self.lines().iter().any(|line| refers_to_files(line))
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.text).replace("\\\n", " ");
        let lines = text.lines().map(|line| {
            // A comment begins a line, or follows a blank.
            let line = if line.starts_with('#') { "" } else { line };
            line.split(" #").next().unwrap_or_default().trim().to_owned()
        });
        lines.filter(|line| !line.is_empty()).collect()
    }
}

fn refers_to_files(line: &str) -> bool {
    if line.starts_with('-') {
        let option = line.split([' ', '=']).next().unwrap_or_default();
        return !HARMLESS.contains(&option);
    }
    // `name @ https://…` names no file, and a path without a scheme does.
    let without_urls = line.split_whitespace().filter(|word| {
        !word.starts_with("--hash") && (!word.contains("://") || word.starts_with("file:"))
    });
    without_urls.into_iter().any(|word| {
        word.contains('/') || word.ends_with(".whl") || word.ends_with(".tar.gz") || word == "."
    })
}

#[cfg(test)]
mod tests {
    use super::Requirements;

    fn of(text: &str) -> Requirements {
        Requirements { path: "requirements.txt".to_owned(), text: text.into() }
    }

    #[test]
    fn files_of_the_app_are_found() {
        for text in [
            "requests==2.31 # ./x\n# -r other.txt\nhttpx[http2]>=0.2; python_version<'4'\n",
            "--index-url https://example.org/simple/\nx @ https://example.org/x.zip\n",
            "x==1 \\\n    --hash=sha256:00/11\n",
            "",
        ] {
            assert!(!of(text).refer_to_files(), "{text}");
        }
        for text in [
            "-r other.txt",
            "-c limits.txt",
            "./x",
            "x @ file:///x",
            "a.whl",
            "-e .",
            "--find-links w",
        ] {
            assert!(of(text).refer_to_files(), "{text}");
        }
        assert!(of("-e .").refer_to_workspace() && !of("./x").refer_to_workspace());
    }
}
