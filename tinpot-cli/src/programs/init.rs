//! Example actions for a directory that has none.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::args::{Global, InitArgs};
use crate::exit::{CliError, Code, Done};
use crate::output;

/// The example files, with their text.
const FILES: &[(&str, &str)] = &[("hello.py", include_str!("init/hello.py"))];

/// Writes the examples into a directory that is missing, or empty but for hidden files, and returns
/// their names.
///
/// # Errors
/// Fails if the directory cannot be read or written.
pub(crate) fn write_examples(dir: &Path) -> Result<Vec<String>, String> {
    let cannot = |what: &str, e: std::io::Error| format!("cannot {what} {}: {e}", dir.display());
    match fs::read_dir(dir) {
        Ok(entries) => {
            let visible = |name: &std::ffi::OsStr| !name.as_encoded_bytes().starts_with(b".");
            if entries.flatten().any(|entry| visible(&entry.file_name())) {
                return Ok(Vec::new());
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(dir).map_err(|e| cannot("create", e))?;
        }
        Err(e) => return Err(cannot("read", e)),
    }
    for (name, text) in FILES {
        // `create_new` never overwrites a file that appeared meanwhile.
        let file = fs::File::create_new(dir.join(name));
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|e| cannot("write to", e))?;
    }
    Ok(FILES.iter().map(|(name, _)| (*name).to_owned()).collect())
}

/// `tinpot init`.
pub(crate) fn init(arguments: &InitArgs, global: &Global) -> Done {
    let dir = &arguments.dir;
    let written = write_examples(dir).map_err(|message| CliError::new(Code::Failed, message))?;
    if written.is_empty() {
        let message = format!("{} is not empty: name a new or an empty directory", dir.display());
        return Err(CliError::new(Code::Conflict, message));
    }
    if global.json {
        let files: Vec<_> = written.iter().map(|name| dir.join(name)).collect();
        output::println(&serde_json::json!({ "written": files }).to_string())?;
        return Ok(Code::Success);
    }
    for name in &written {
        output::println(&format!("wrote {}", dir.join(name).display()))?;
    }
    output::say(&format!("next: tinpot dev {}", crate::shell::quoted(&dir.display().to_string())));
    Ok(Code::Success)
}
