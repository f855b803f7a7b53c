//! Example actions for a folder that has none.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::args::{Global, InitArgs};
use crate::exit::{Code, Done, Failure};
use crate::output;

/// Every file that is written, with its text.
const FILES: &[(&str, &str)] = &[("hello.py", include_str!("examples/hello.py"))];

/// Writes the examples into a folder that is missing or has nothing in it but hidden files; the names of the files that it wrote.
///
/// # Errors
/// Why the folder cannot be read or written.
pub(crate) fn write_examples(dir: &Path) -> Result<Vec<String>, String> {
    let cannot = |what: &str, e: std::io::Error| format!("{} cannot be {what}: {e}", dir.display());
    match fs::read_dir(dir) {
        Ok(entries) => {
            let visible = |name: &std::ffi::OsStr| !name.as_encoded_bytes().starts_with(b".");
            if entries.flatten().any(|entry| visible(&entry.file_name())) {
                return Ok(Vec::new());
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(dir).map_err(|e| cannot("made", e))?;
        }
        Err(e) => return Err(cannot("read", e)),
    }
    for (name, text) in FILES {
        // Never over a file that appeared meanwhile.
        let file = fs::File::create_new(dir.join(name));
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|e| cannot("written", e))?;
    }
    Ok(FILES.iter().map(|(name, _)| (*name).to_owned()).collect())
}

/// `tinpot init`.
pub(crate) fn init(arguments: &InitArgs, global: &Global) -> Done {
    let dir = &arguments.dir;
    let written = write_examples(dir).map_err(|message| Failure::new(Code::Failed, message))?;
    if written.is_empty() {
        let message = format!(
            "{} is not empty, and nothing in it is touched: name a folder that is empty or not there yet",
            dir.display()
        );
        return Err(Failure::new(Code::Conflict, message));
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
