//! The limits of a bundle, and the rules of its names. Packing, upload and unpacking share them.

use tinpot_core::{Error, ErrorKind, Result};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The limits of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest archive: 100 MiB.
    pub packed_bytes: u64,
    /// The largest content of an archive, including the headers of its entries: 1 GiB.
    pub unpacked_bytes: u64,
    /// The largest ratio of content to archive, for content beyond `ratio_from_bytes`: 200.
    pub ratio: u64,
    /// The content that any archive may have, whatever the ratio: 1 MiB.
    pub ratio_from_bytes: u64,
    /// The largest number of entries: 20,000.
    pub entries: usize,
    /// The largest number of segments of a path: 32.
    pub depth: usize,
    /// The longest path: 1,024 bytes.
    pub path_bytes: usize,
    /// The longest segment of a path: 255 bytes.
    pub name_bytes: usize,
    /// The largest Towerfile: 256 KiB.
    pub towerfile_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packed_bytes: 100 * MIB,
            unpacked_bytes: KIB * MIB,
            ratio: 200,
            ratio_from_bytes: MIB,
            entries: 20_000,
            depth: 32,
            path_bytes: 1_024,
            name_bytes: 255,
            towerfile_bytes: crate::towerfile::MAX_TOWERFILE_BYTES as u64,
        }
    }
}

/// Creates the error of a bundle that is refused.
pub(crate) fn refused(message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("bundle: {message}"))
}

impl Limits {
    /// Returns the normal form of the path of an entry: without `./`, and without a slash at its
    /// end. The root itself is empty.
    ///
    /// # Errors
    /// `InvalidInput` for a path that is not UTF-8, is absolute, has a `..` segment or a control
    /// character, or is too long or too deep.
    pub(crate) fn path(&self, raw: &[u8]) -> Result<String> {
        let shown =
            || String::from_utf8_lossy(&raw[..raw.len().min(200)]).escape_debug().to_string();
        let refuse = |rule: &str| Err(refused(format!("the path \"{}\" {rule}", shown())));
        let Ok(path) = std::str::from_utf8(raw) else { return refuse("must be UTF-8") };
        if path.is_empty() {
            return refuse("must not be empty");
        }
        if path.starts_with('/') {
            return refuse("must be relative");
        }
        if path.chars().any(char::is_control) {
            return refuse("must not have control characters");
        }
        let segments: Vec<&str> =
            path.split('/').filter(|segment| !matches!(*segment, "" | ".")).collect();
        if segments.contains(&"..") {
            return refuse("must not have a .. segment");
        }
        if segments.len() > self.depth {
            let (max, depth) = (self.depth, segments.len());
            return refuse(&format!("must have at most {max} segments (got {depth})"));
        }
        if let Some(long) = segments.iter().find(|segment| segment.len() > self.name_bytes) {
            let (max, bytes) = (self.name_bytes, long.len());
            return refuse(&format!("must have names of at most {max} bytes (got {bytes})"));
        }
        let path = segments.join("/");
        if path.len() > self.path_bytes {
            let (max, bytes) = (self.path_bytes, path.len());
            return refuse(&format!("must have at most {max} bytes (got {bytes})"));
        }
        Ok(path)
    }

    /// Returns the target of a symbolic link, which must stay in the bundle.
    ///
    /// `..` may stand at its start only. There it leaves real folders, because no entry is below a
    /// link. After a name, it could leave the target of another link, and so the bundle.
    ///
    /// # Errors
    /// `InvalidInput` for any other target.
    pub(crate) fn link(&self, path: &str, raw: &[u8]) -> Result<String> {
        let refuse = |rule: &str| {
            let target =
                String::from_utf8_lossy(&raw[..raw.len().min(200)]).escape_debug().to_string();
            Err(refused(format!("the link {path:?} {rule} (got \"{target}\")")))
        };
        let Ok(target) = std::str::from_utf8(raw) else {
            return refuse("must have a target in UTF-8");
        };
        if target.is_empty() || target.len() > self.path_bytes {
            let max = self.path_bytes;
            return refuse(&format!("must have a target of 1 to {max} bytes"));
        }
        if target.chars().any(char::is_control) {
            return refuse("must have a target without control characters");
        }
        let parents = path.split('/').count() - 1;
        let mut segments = target.split('/').filter(|segment| !matches!(*segment, "" | "."));
        let ups = segments.by_ref().take_while(|segment| *segment == "..").count();
        if target.starts_with('/') || ups > parents {
            return refuse("must stay in the bundle: its target is outside");
        }
        if segments.any(|segment| segment == "..") {
            return refuse("must have .. only at the start of its target");
        }
        Ok(target.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn targets_of_links_stay_in_the_bundle() {
        let link = |path: &str, target: &str| Limits::default().link(path, target.as_bytes());
        for (path, target) in
            [("a", "b"), ("a/b", "../c"), ("a/b/c", "../../d/e"), ("a", "./b"), ("a/b", "..")]
        {
            assert_eq!(link(path, target).expect("inside"), target);
        }
        for (path, target) in [
            ("a", "/etc"),
            ("a", ".."),
            ("a", "../b"),
            ("a/b", "../../c"),
            ("a", "b/../c"),
            ("a", ""),
            ("a/b", "../x/../y"),
            ("a", "b\nc"),
            ("a", "./../b"),
        ] {
            link(path, target).expect_err(target);
        }
    }
}
