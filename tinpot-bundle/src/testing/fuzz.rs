//! Entry points for fuzzing: the readers of what strangers upload.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tinpot_core::ErrorKind;

use crate::{Limits, Manifest, Towerfile, content_digest, inspect};

/// Reads a Towerfile. It is valid, or refused with a reason.
///
/// # Panics
/// If a promise is broken.
pub fn towerfile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Towerfile::parse(text) {
        Ok(towerfile) => {
            serde_json::to_value(&towerfile).expect("a normal form");
            if let Err(error) = towerfile.action() {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            }
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(error.message().starts_with("Towerfile: "), "{error}");
        }
    }
}

/// Reads bytes as an archive, and as the tar file within one. It is valid, or refused with a reason.
///
/// # Panics
/// If a promise is broken.
pub fn archive(bytes: &[u8]) {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).expect("memory");
    let packed = packed.finish().expect("memory");
    let limits = Limits::default();
    for archive in [bytes, &packed] {
        match inspect(archive, &limits) {
            Ok(inspection) => {
                assert_eq!(inspection.artifact.bytes, archive.len() as u64);
                assert_eq!(inspection.content, content_digest(&inspection.files));
                assert!(inspection.files.keys().all(|path| is_inside(path)), "{inspection:?}");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}"),
        }
    }
}

fn is_inside(path: &str) -> bool {
    path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

/// Reads a manifest. It is in canonical form, or refused with a reason.
///
/// # Panics
/// If a promise is broken.
pub fn manifest(bytes: &[u8]) {
    match Manifest::parse(bytes) {
        Ok(manifest) => assert_eq!(manifest.to_bytes().expect("JSON"), bytes),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Malformed, "{error}"),
    }
}
