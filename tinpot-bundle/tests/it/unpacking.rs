//! Archives that are taken, and all that are refused.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;
use tinpot_bundle::{Inspection, Limits, inspect, unpack};
use tinpot_core::{ErrorKind, Result};

use super::tarball::{Tarball, gzip};

fn try_unpack(archive: &[u8]) -> (TempDir, Result<Inspection>) {
    let folder = tempfile::tempdir().expect("a folder");
    let unpacked = unpack(archive, &folder.path().join("app"), &Limits::default());
    (folder, unpacked)
}

/// Unpacks an archive that is fine.
fn unpacked(tarball: Tarball) -> (TempDir, Inspection) {
    let archive = tarball.gzip();
    let (folder, unpacked) = try_unpack(&archive);
    let unpacked = unpacked.expect("a good archive");
    assert_eq!(inspect(&archive[..], &Limits::default()).expect("the same"), unpacked);
    (folder, unpacked)
}

/// Holds that an archive is refused by both, and leaves nothing.
fn refused_bytes(archive: &[u8], expected: &str) {
    let (folder, unpacked) = try_unpack(archive);
    let inspected = inspect(archive, &Limits::default());
    for result in [unpacked, inspected] {
        let error = result.map(|inspection| inspection.files).expect_err(expected);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let message = error.to_string();
        assert!(message.contains(expected), "{message:?} does not contain {expected:?}");
        assert!(
            message.starts_with("bundle: ") && !message.contains(char::is_control),
            "{message:?}"
        );
    }
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0, "{expected}");
}

fn refused(tarball: Tarball, expected: &str) {
    refused_bytes(&tarball.gzip(), expected);
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("metadata").permissions().mode() & 0o7777
}

#[test]
fn files_folders_and_links_are_unpacked() {
    let mut tarball = Tarball::app()
        .entry(b'5', "./", "", b"")
        .entry(b'5', "./empty/", "", b"")
        .file("./lib/deep/data", &[7; 1000])
        .link("lib/link", "deep/data")
        .link("lib/deep/up", "../../main.sh")
        .pax(b'g', "comment", "of git");
    tarball.header(b'0', b"tool", b"", 0, 0o6755);
    let (folder, inspection) = unpacked(tarball);
    let app = folder.path().join("app");
    assert_eq!(fs::read(app.join("lib/link")).expect("through the link"), [7; 1000]);
    assert_eq!(fs::read(app.join("lib/deep/up")).expect("through the link"), b"echo hello\n");
    assert!(app.join("empty").is_dir());
    assert_eq!((mode(&app.join("tool")), mode(&app.join("main.sh"))), (0o755, 0o644));
    assert_eq!(mode(&app), 0o700);
    let paths: Vec<&str> = inspection.files.keys().map(String::as_str).collect();
    let expected = ["Towerfile", "lib/deep/data", "lib/deep/up", "lib/link", "main.sh", "tool"];
    assert_eq!(paths, expected);
    let (towerfile, manifest) = inspection.manifest().expect("a manifest");
    assert_eq!((towerfile.name.as_str(), manifest.content), ("hello", inspection.content));
}

#[test]
fn long_names_of_both_kinds_are_read() {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let gnu = Tarball::app()
        .entry(b'L', "././@LongLink", "", format!("{long}\0").as_bytes())
        .file("cut", b"x");
    let pax = Tarball::app().pax(b'x', "path", &long).file("cut", b"x");
    let (_gnu_folder, gnu) = unpacked(gnu);
    let (_pax_folder, pax) = unpacked(pax);
    assert!(gnu.files.contains_key(&long));
    assert_eq!(gnu.content, pax.content);
    let link = Tarball::app().pax(b'x', "linkpath", "./main.sh").link("short", "cut");
    assert!(unpacked(link).0.path().join("app/short").exists());
}

#[test]
fn paths_out_of_the_tree_are_refused() {
    refused(Tarball::app().file("/etc/x", b""), "must be relative");
    refused(Tarball::app().file("../x", b""), "must not have a .. segment");
    refused(Tarball::app().file("a/../../x", b""), "must not have a .. segment");
    refused(Tarball::app().file("a/..", b""), "must not have a .. segment");
    refused(Tarball::app().entry(b'5', "../x/", "", b""), "must not have a .. segment");
    refused(Tarball::app().pax(b'x', "path", "/etc/x").file("ok", b""), "must be relative");
    refused(Tarball::app().entry(b'L', "l", "", b"../x\0").file("ok", b""), "must not have a ..");
}

#[test]
fn links_out_of_the_tree_are_refused() {
    for target in ["/etc/passwd", "..", "../x", "a/../../x"] {
        refused(Tarball::app().link("link", target), "the link \"link\" must");
    }
    refused(Tarball::app().link("a/link", "../../x"), "must stay in the bundle");
    refused(
        Tarball::app().pax(b'x', "linkpath", "/etc").link("link", "ok"),
        "must stay in the bundle",
    );
    // The text of each stays inside, but the second leaves through the first.
    let chain = Tarball::app().link("a/b/up", "../..").link("out", "a/b/up/../x");
    refused(chain, "must have .. only at the start");
    refused(Tarball::app().link("link", ""), "must have a target of 1 to");
}

#[test]
fn entries_below_links_and_files_are_refused() {
    refused(Tarball::app().link("l", "lib").file("l/x", b""), "must not be below the link \"l\"");
    refused(Tarball::app().file("l/x", b"").link("l", "lib"), "must not be both");
    refused(Tarball::app().link("l", "lib").entry(b'5', "l/", "", b""), "must be unique");
    refused(Tarball::app().link("l", "lib").link("l/m/n", "x"), "must not be below the link \"l\"");
    refused(Tarball::app().file("f", b"").file("f/x", b""), "must not be below the file \"f\"");
    refused(Tarball::app().entry(b'5', "d", "", b"").file("d", b""), "must be unique");
    refused(Tarball::app().entry(b'5', "d/e", "", b"").file("d", b""), "must not be both");
}

#[test]
fn other_kinds_are_refused() {
    for (kind, name) in [
        (b'1', "a hard link"),
        (b'3', "a device"),
        (b'4', "a device"),
        (b'6', "a FIFO"),
        (b'S', "a sparse file"),
        (b'7', "the type"),
        (b'D', "the type"),
        (b'V', "the type"),
    ] {
        refused(Tarball::app().entry(kind, "x", "main.sh", b""), name);
    }
    for key in ["GNU.sparse.major", "GNU.sparse.realsize"] {
        refused(Tarball::app().pax(b'x', key, "1").file("x", b""), "sparse files");
    }
    refused(Tarball::app().entry(b'2', "l", "main.sh", b"x"), "must have no content");
}

#[test]
fn repeated_paths_are_refused() {
    refused(Tarball::app().file("main.sh", b"other"), "\"main.sh\" must be unique");
    refused(Tarball::app().file("./main.sh", b"other"), "\"main.sh\" must be unique");
    refused(Tarball::app().file("Towerfile", b"other"), "\"Towerfile\" must be unique");
    refused(Tarball::app().link(".//main.sh", "x"), "\"main.sh\" must be unique");
    let folders = Tarball::app().entry(b'5', "d/", "", b"").entry(b'5', "d", "", b"");
    refused(folders, "\"d\" must be unique");
}

#[test]
fn names_are_checked() {
    refused(Tarball::app().file("a\nb", b""), "must not have control characters");
    refused(Tarball::app().file("a\x1b[31m", b""), "must not have control characters");
    refused(
        Tarball::app().pax(b'x', "path", "a\0b").file("x", b""),
        "must not have control characters",
    );
    refused(Tarball::app().file("\u{85}", b""), "must not have control characters");
    refused(Tarball::app().file(b"\xff\xfe", b""), "must be UTF-8");
    refused(Tarball::app().file("", b""), "must not be empty");
    refused(Tarball::app().file(".", b""), "must not be empty");
    refused(Tarball::app().link(".", "x"), "must not be empty");
    refused(
        Tarball::app().pax(b'x', "path", "n".repeat(256)).file("x", b""),
        "names of at most 255 bytes",
    );
    let deep = vec!["d"; 33].join("/");
    refused(Tarball::app().file(&deep, b""), "at most 32 segments (got 33)");
    let long = vec!["n".repeat(120); 9].join("/");
    refused(Tarball::app().pax(b'x', "path", long).file("x", b""), "at most 1024 bytes");
    refused(Tarball::app().link("l", "a\x07"), "a target without control characters");
    unpacked(Tarball::app().file(vec!["d"; 32].join("/"), b"")).0.close().expect("removed");
}

#[test]
fn extended_headers_are_bounded_and_consistent() {
    let repeated = Tarball::app().pax(b'x', "path", "a").pax(b'x', "path", "b").file("x", b"");
    refused(repeated, "it is repeated");
    refused(
        Tarball::app().pax(b'x', "size", "3").file("x", b"12"),
        "must be that of its entry (2)",
    );
    refused(Tarball::app().pax(b'x', "size", "x").file("x", b"12"), "is invalid");
    refused(
        Tarball::app().pax(b'g', "path", "y").file("x", b""),
        "a global header must not set path",
    );
    refused(Tarball::app().entry(b'x', "pax", "", b"99 path=x\n").file("x", b""), "is damaged");
    refused(Tarball::app().pax(b'x', "path", "a"), "an extended header has no entry");
    refused(
        Tarball::app().entry(b'L', "l", "", &[b'a'; 70_000]).file("x", b""),
        "at most 65536 bytes",
    );
    unpacked(Tarball::app().pax(b'x', "size", "2").file("x", b"12"));
}

#[test]
fn cut_and_damaged_archives_are_refused() {
    let whole = Tarball::app().file("x", &[1; 3000]).gzip();
    for bytes in 0..whole.len() {
        let (folder, unpacked) = try_unpack(&whole[..bytes]);
        let error = unpacked.expect_err("it is cut");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bytes}: {error}");
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
    }
    // Cut before it was compressed.
    let tar = Tarball::app().file("x", &[1; 3000]).0;
    for bytes in [0, 100, 512, 1024, tar.len() - 3072, tar.len() - 1, tar.len()] {
        refused_bytes(&gzip(&tar[..bytes]), "the archive ends early");
    }
    let mut one_block = tar.clone();
    one_block.extend_from_slice(&[0; 512]);
    refused_bytes(&gzip(&one_block), "the archive ends early");
    let mut flipped = tar;
    flipped[3] ^= 1;
    flipped.extend_from_slice(&[0; 1024]);
    refused_bytes(&gzip(&flipped), "a checksum is wrong");
    refused_bytes(b"not gzip at all", "must be a tar.gz file");
    refused_bytes(&gzip(&[b'x'; 600]), "a checksum is wrong");
    let mut damaged = whole.clone();
    let last = damaged.len() - 6;
    damaged[last] ^= 1;
    refused_bytes(&damaged, "must be a tar.gz file");
}

#[test]
fn data_after_the_end_is_refused() {
    let mut whole = Tarball::app().gzip();
    whole.extend_from_slice(&gzip(b"more"));
    refused_bytes(&whole, "data after the end of the compressed archive");
    let mut tar = Tarball::app().0;
    tar.extend_from_slice(&[0; 1024]);
    let mut padded = tar.clone();
    padded.extend_from_slice(&[0; 8192]);
    assert!(inspect(&gzip(&padded)[..], &Limits::default()).is_ok(), "tar pads to 10 KiB");
    padded.push(1);
    refused_bytes(&gzip(&padded), "data after the end of the archive");
    let more = Tarball(tar).file("late", b"x");
    refused(more, "data after the end of the archive");
    let mut single = Tarball::app().0;
    single.extend_from_slice(&[0; 512]);
    refused(Tarball(single).file("late", b"x"), "data after the end of the archive");
}

#[test]
fn bombs_are_refused() {
    refused(Tarball::app().file("zeros", &vec![0; 4 << 20]), "at most 200 times the size");
    // Below 1 MiB, any ratio is accepted.
    unpacked(Tarball::app().file("zeros", &vec![0; 900 << 10]));
    // The size in a header is false: nothing is allocated for it.
    let mut lie = Tarball::app();
    lie.header(b'0', b"x", b"", 8_000_000_000, 0o644);
    refused(lie, "the content must have at most 1073741824 bytes");
}

#[test]
fn every_limit_is_kept() {
    let base = Tarball::app();
    let archive = base.clone().file("x", &[3; 5_000]).gzip();
    let check = |set: &dyn Fn(&mut Limits), expected: &str| {
        let mut limits = Limits::default();
        set(&mut limits);
        let error = inspect(&archive[..], &limits).map(|found| found.files).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(
        &|limits| limits.packed_bytes = archive.len() as u64 - 1,
        "the archive must have at most",
    );
    check(&|limits| limits.unpacked_bytes = 5_000, "the content must have at most 5000 bytes");
    check(&|limits| limits.entries = 2, "at most 2 entries");
    check(&|limits| limits.towerfile_bytes = 10, "the Towerfile must have at most 10 bytes");
    let mut limits = Limits::default();
    limits.packed_bytes = archive.len() as u64;
    limits.entries = 3;
    inspect(&archive[..], &limits).expect("exactly the limits");
    let many = (0..7).fold(base, |tarball, _| tarball.pax(b'g', "comment", "x")).gzip();
    inspect(&many[..], &limits).map(|found| found.files).expect_err("too many headers");
    let large = Tarball::default().file("Towerfile", &vec![b'#'; 256 * 1024 + 1]);
    refused(large, "the Towerfile must have at most 262144 bytes");
}

#[test]
fn a_failing_reader_is_no_fault_of_the_archive() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let archive = Tarball::app().gzip();
    for bytes in [0, 40, archive.len()] {
        let error =
            inspect((&archive[..bytes]).chain(Broken), &Limits::default()).expect_err("it fails");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}

#[test]
fn the_answer_does_not_depend_on_how_the_bytes_arrive() {
    struct Drip<'a>(&'a [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = buffer.len().min(7);
            self.0.read(&mut buffer[..bytes])
        }
    }
    let good = Tarball::app().file("x", &[1; 200_000]).gzip();
    let bomb = Tarball::app().file("x", &vec![0; 4 << 20]).gzip();
    for archive in [good, bomb] {
        let whole = inspect(&archive[..], &Limits::default()).map_err(|error| error.to_string());
        let drip = inspect(Drip(&archive), &Limits::default()).map_err(|error| error.to_string());
        assert_eq!(whole, drip);
    }
}

#[test]
fn a_folder_that_exists_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("mine"), "x").expect("a file");
    let archive = Tarball::app().gzip();
    let error = unpack(&archive[..], folder.path(), &Limits::default()).expect_err("it exists");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
}

#[test]
fn a_towerfile_is_needed_and_its_script_too() {
    let (_folder, without) = unpacked(Tarball::default().file("main.sh", b""));
    assert_eq!(without.manifest().expect_err("no Towerfile").kind(), ErrorKind::NotFound);
    let towerfile = b"[app]\nname = \"hello\"\nscript = \"main.sh\"\n";
    let (_folder, without) = unpacked(Tarball::default().file("Towerfile", towerfile));
    let error = without.manifest().expect_err("no script").to_string();
    assert!(error.contains("app.script \"main.sh\" is not in the archive"), "{error}");
    refused(Tarball::default().file("Towerfile", b"\xff"), "the Towerfile must be UTF-8");
    // Anywhere in the archive.
    let late = (0..100).fold(Tarball::default(), |tarball, n| tarball.file(format!("f{n}"), b""));
    let (_folder, late) = unpacked(late.file("main.sh", b"").file("./Towerfile", towerfile));
    late.manifest().expect("a manifest");
}
