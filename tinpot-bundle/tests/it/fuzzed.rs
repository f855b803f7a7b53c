//! A bounded run of what `fuzz/` does at length.

use std::path::{Path, PathBuf};

use tinpot_bundle::testing::fuzz;
use tinpot_bundle::{Limits, Manifest, Towerfile, inspect};
use tinpot_core::testing::fuzz::run;

const ITERATIONS: u32 = 20_000;

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name)
}

#[test]
fn towerfiles() {
    run(&corpus("towerfile"), 11, ITERATIONS, fuzz::towerfile);
}

#[test]
fn archives() {
    run(&corpus("archive"), 12, ITERATIONS, fuzz::archive);
}

#[test]
fn manifests() {
    run(&corpus("manifest"), 13, ITERATIONS, fuzz::manifest);
}

/// Inputs that are refused at once would lead nowhere.
#[test]
fn the_corpus_is_valid() {
    let files = |name: &str| {
        let entries = std::fs::read_dir(corpus(name)).expect("a folder");
        entries.map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a file"))
    };
    for text in files("towerfile") {
        Towerfile::parse(std::str::from_utf8(&text).expect("UTF-8")).expect("a Towerfile");
    }
    for tar in files("archive") {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, &tar).expect("memory");
        let packed = packed.finish().expect("memory");
        inspect(&*packed, &Limits::default()).expect("an archive");
    }
    for manifest in files("manifest") {
        Manifest::parse(&manifest).expect("a manifest");
    }
}
