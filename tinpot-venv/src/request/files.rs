//! Lists of requirements, and the files that they name.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::read;
use crate::key::Key;

/// The number of files below the local packages of one request.
const MAX_FILES: usize = 10_000;
/// The number of lists that include each other.
const MAX_LISTS: usize = 100;
/// Options whose value is another list.
const LISTS: [&str; 4] = ["-r", "--requirement", "-c", "--constraint"];

/// Adds everything that a list names to a key: other lists, and the names, sizes and times of files.
/// Returns the paths of the other lists.
pub(super) fn add(key: &mut Key, folder: &Path, list: &str) -> Result<Vec<PathBuf>, String> {
    let mut lists = vec![(folder.to_owned(), list.to_owned(), Vec::new())];
    let (mut seen, mut files) = (Vec::new(), 0);
    while let Some((folder, list, above)) = lists.pop() {
        for line in lines(&list) {
            if let Some((_, other)) = other_list(&line) {
                let path = folder.join(other);
                if other.contains("://") {
                    continue;
                }
                let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
                if above.contains(&real) {
                    // pip ends with a page of its own code.
                    return Err(format!("{} includes itself", real.display()));
                }
                if seen.contains(&path) {
                    continue;
                }
                if seen.len() >= MAX_LISTS {
                    return Err(format!("more than {MAX_LISTS} lists include each other"));
                }
                let text = read(&path)?;
                key.part(path.as_os_str().as_encoded_bytes());
                key.part(&text);
                let parent = path.parent().unwrap_or(&folder).to_owned();
                seen.push(path);
                let within = above.iter().cloned().chain([real]).collect();
                lists.push((parent, text, within));
                continue;
            }
            for path in line.split([' ', '=']).filter_map(|word| local(&folder, word)) {
                key.part(path.as_os_str().as_encoded_bytes());
                add_files(key, &path, &mut files)?;
            }
        }
    }
    Ok(seen)
}

/// Returns a list without `tinpot`, whose copy in the worker comes first anyway. Paths of other lists
/// become absolute, because the installer gets a copy of this one.
pub(super) fn without_tinpot(folder: &Path, list: &str) -> String {
    let kept = lines(list).into_iter().filter(|line| !is_tinpot(line));
    let kept = kept.map(|line| match other_list(&line) {
        Some((option, other)) if !other.contains("://") => {
            format!("{option} {}", folder.join(other).display())
        }
        _ => line,
    });
    kept.flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// Returns true if a list names `tinpot`.
pub(super) fn names_tinpot(list: &str) -> bool {
    lines(list).iter().any(|line| is_tinpot(line))
}

fn is_tinpot(line: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name = &line[..line.find(|c| !is_name(c)).unwrap_or(line.len())];
    name.eq_ignore_ascii_case("tinpot")
}

/// Returns the lines of a list, continued ones joined, without comments.
fn lines(list: &str) -> Vec<String> {
    let text = list.replace("\r\n", "\n").replace("\\\n", " ");
    let lines = text.lines().map(|line| {
        // A comment begins a line, or follows a blank.
        let line = if line.starts_with('#') { "" } else { line };
        line.split(" #").next().unwrap_or_default().trim().to_owned()
    });
    lines.filter(|line| !line.is_empty()).collect()
}

/// Returns the option and the path of a line that includes another list.
fn other_list(line: &str) -> Option<(&str, &str)> {
    let (option, path) = line.split_once([' ', '=']).or_else(|| {
        // `-rother.txt`
        (line.starts_with("-r") || line.starts_with("-c")).then(|| line.split_at(2))
    })?;
    LISTS.contains(&option).then(|| (option, path.trim()))
}

/// Returns the path of a word that names a file or a folder of this machine.
fn local(folder: &Path, word: &str) -> Option<PathBuf> {
    let path = match word.split_once("://") {
        Some((scheme, path)) if scheme.ends_with("file") => path,
        Some(_) => return None,
        None => word,
    };
    let is_path = path.contains('/') || path.ends_with(".whl") || path.ends_with(".tar.gz");
    // An extra may follow, as in `./package[extra]`.
    let path = folder.join(path.split('[').next().unwrap_or_default());
    ((is_path || word == ".") && path.exists()).then_some(path)
}

fn add_files(key: &mut Key, path: &Path, files: &mut usize) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    *files += 1;
    if *files > MAX_FILES {
        return Err(format!("{} and what is below it are too many files", path.display()));
    }
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    key.part(path.as_os_str().as_encoded_bytes());
    if !metadata.is_dir() {
        for number in [metadata.len() as i64, metadata.mtime(), metadata.mtime_nsec()] {
            key.part(number.to_le_bytes());
        }
        return Ok(());
    }
    let mut below: Vec<_> = fs::read_dir(path).map_err(failed)?.flatten().collect();
    below.sort_by_key(fs::DirEntry::file_name);
    for entry in below {
        let name = entry.file_name();
        // A build writes these itself.
        let is_made = name == "__pycache__" || name == "build" || name == ".git";
        if !is_made && !name.as_encoded_bytes().ends_with(b".egg-info") {
            add_files(key, &entry.path(), files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{add, without_tinpot};
    use crate::key::Key;

    fn key(folder: &Path, list: &str) -> String {
        let mut key = Key::default();
        add(&mut key, folder, list).expect("a key");
        key.finish()
    }

    #[test]
    fn files_that_a_list_names_count() {
        let place = tempfile::tempdir().expect("a directory");
        let folder = place.path();
        fs::write(folder.join("other.txt"), "less\n").expect("a file");
        fs::write(folder.join("list.txt"), "-rother.txt\n./package[x]\n").expect("a file");
        fs::create_dir(folder.join("package")).expect("a directory");
        let list = "-r list.txt # comment\nrequests==1 ; python_version > '3'\n";
        let first = key(folder, list);
        assert_eq!(first, key(folder, list));
        fs::write(folder.join("package/new.py"), "").expect("a file");
        let second = key(folder, list);
        assert_ne!(first, second);
        fs::write(folder.join("other.txt"), "less\nmore\n").expect("a file");
        assert_ne!(second, key(folder, list));
        let missing = add(&mut Key::default(), folder, "-r none.txt").expect_err("an error");
        assert!(missing.contains("none.txt"), "{missing}");
        // Twice is fine, in a circle is not.
        key(folder, "-r list.txt\n-r other.txt\n-c other.txt\n");
        fs::write(folder.join("other.txt"), "-r ./list.txt\n").expect("a file");
        let circle = add(&mut Key::default(), folder, list).expect_err("an error");
        assert!(circle.ends_with("list.txt includes itself"), "{circle}");
    }

    #[test]
    fn own_package_is_left_out() {
        let list = "tinpot>=0.1\nTinpot\ntinpot-tools==1\n-r more.txt\n--hash=x \\\n  y\n";
        let kept = without_tinpot(Path::new("/f"), list);
        assert_eq!(kept, "tinpot-tools==1\n-r /f/more.txt\n--hash=x    y\n");
    }
}
