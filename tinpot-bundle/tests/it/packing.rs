//! Packing: what is in, and that it is the same everywhere.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;
use tinpot_bundle::{
    BundleEntry, Hasher, Limits, Manifest, PackEntry, PackOptions, Packed, Runtime, inspect, list,
    pack, read_towerfile, select, unpack,
};
use tinpot_core::ErrorKind;

const TOWERFILE: &str = "[app]\nname = \"hello\"\nscript = \"./main.sh\"\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, content).expect("a file");
    }
    folder
}

fn app(files: &[(&str, &str)]) -> TempDir {
    folder(&[files, &[("Towerfile", TOWERFILE), ("main.sh", "echo hello\n")]].concat())
}

fn packed(folder: &Path) -> (Packed, Vec<u8>) {
    let mut packed = pack(folder, &PackOptions::default()).expect("a bundle");
    let mut archive = Vec::new();
    packed.archive.read_to_end(&mut archive).expect("the archive");
    (packed, archive)
}

fn paths(folder: &Path, options: &PackOptions) -> Vec<String> {
    let towerfile = read_towerfile(folder).expect("a Towerfile");
    let entries = list(folder, &towerfile, options).expect("a list");
    entries.iter().map(|entry| entry.path().to_owned()).collect()
}

fn refused(folder: &Path, expected: &str) {
    let error =
        pack(folder, &PackOptions::default()).map(|packed| packed.manifest).expect_err(expected);
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn the_same_files_give_the_same_bundle() {
    let long = format!("{}/{}/x", "d".repeat(90), "e".repeat(90));
    let files = [("b/two", "2"), ("a.txt", "1"), (long.as_str(), "long"), ("b-c", "3"), ("é", "4")];
    let one = app(&files);
    let reversed: Vec<_> = files.iter().rev().copied().collect();
    let other = app(&reversed);
    for (root, mode, seconds) in [(one.path(), 0o600, 1), (other.path(), 0o664, 1_700_000_000)] {
        symlink("../a.txt", root.join("b/link")).expect("a link");
        for (path, _) in files {
            let file = File::options().write(true).open(root.join(path)).expect("a file");
            file.set_permissions(Permissions::from_mode(mode)).expect("a mode");
            file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).expect("a time");
        }
        fs::set_permissions(root.join("main.sh"), Permissions::from_mode(mode | 0o100))
            .expect("a mode");
    }
    let (packed_one, archive_one) = packed(one.path());
    let (packed_other, archive_other) = packed(other.path());
    assert_eq!(packed_one.manifest, packed_other.manifest);
    assert_eq!(archive_one, archive_other);
    assert_eq!(packed_one.manifest.artifact.digest, Hasher::of(&archive_one));
    assert_eq!(packed_one.manifest.runtime, Runtime::Script);
}

/// A browser lists the files of a folder, and the server selects those of the bundle.
#[test]
fn a_list_of_files_is_selected_as_a_folder_is() {
    let towerfile = "[app]\nname = \"hello\"\nscript = \"main.sh\"\nsource = [\"**\", \".env\"]\n";
    let files = [
        (".tinpotignore", "build/\n*.log\n/lib/skip\n# text\n"),
        (".env", "A=1"),
        (".git/config", "x"),
        ("build/out", "x"),
        ("lib/build", "a file of that name"),
        ("lib/skip", "x"),
        ("lib/deep/skip", "x"),
        ("x.log", "x"),
        ("b", "2"),
        ("B", "2"),
        ("é/ü.py", "x"),
        ("main.sh", "echo"),
        ("Towerfile", towerfile),
    ];
    let app = folder(&files);
    let all: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
    let parsed = read_towerfile(app.path()).expect("a Towerfile");
    let selected = select(&parsed, files[0].1, &all, &Limits::default()).expect("a selection");
    assert_eq!(selected, paths(app.path(), &PackOptions::default()));
    assert!(selected.len() > 5 && selected.len() < files.len(), "{selected:?}");
}

/// Bundles of other machines and releases must keep their identity.
#[test]
fn the_identity_is_pinned() {
    let app = app(&[("lib/a.txt", "a")]);
    fs::set_permissions(app.path().join("main.sh"), Permissions::from_mode(0o755)).expect("a mode");
    symlink("lib/a.txt", app.path().join("link")).expect("a link");
    let (packed, _) = packed(app.path());
    let pinned = "147da795fee9ace687513468a2b04a21545d5c4191c67299fb02cd261379de7c";
    assert_eq!(packed.manifest.content.to_string(), pinned);
}

#[test]
fn every_difference_gives_another_identity() {
    let identity = |change: &dyn Fn(&Path)| {
        let app = app(&[("a", "x"), ("b", "y")]);
        symlink("a", app.path().join("link")).expect("a link");
        change(app.path());
        packed(app.path()).0.manifest.content
    };
    let same = identity(&|_| {});
    let changes: [&dyn Fn(&Path); 5] = [
        &|root| fs::write(root.join("a"), "z").expect("a file"),
        &|root| fs::rename(root.join("b"), root.join("c")).expect("a rename"),
        &|root| fs::set_permissions(root.join("b"), Permissions::from_mode(0o755)).expect("a mode"),
        &|root| {
            fs::remove_file(root.join("link")).expect("a removal");
            symlink("b", root.join("link")).expect("a link");
        },
        &|root| {
            fs::remove_file(root.join("link")).expect("a removal");
            fs::write(root.join("link"), "a").expect("a file");
        },
    ];
    let mut all = vec![same];
    all.extend(changes.map(identity));
    assert_eq!(identity(&|_| {}), same);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 6);
}

#[test]
fn the_towerfile_is_first_and_the_rest_is_sorted() {
    let app = app(&[("b/x", ""), ("b-x", ""), ("A", ""), ("b.x", "")]);
    assert_eq!(
        paths(app.path(), &PackOptions::default()),
        ["Towerfile", "A", "b-x", "b.x", "b/x", "main.sh"]
    );
}

#[test]
fn source_and_exclusions_choose_the_files() {
    let towerfile = "[app]\nname = \"hello\"\nscript = \"main.sh\"\nsource = [\"*.sh\", \"lib/**\", \"none/**\", \".env\"]\n";
    let app = folder(&[
        ("Towerfile", towerfile),
        ("main.sh", ""),
        ("other.txt", ""),
        (".env", ""),
        (".git/x", ""),
        ("lib/a.py", ""),
        ("lib/.hidden", ""),
        ("lib/b/c.log", ""),
        ("lib/build/x", ""),
        (".tinpotignore", "# logs\n*.log\n\nbuild/\n"),
    ]);
    let all = ["Towerfile", ".env", "lib/a.py", "main.sh"];
    assert_eq!(paths(app.path(), &PackOptions::default()), all);
    let options = PackOptions::default().exclude(["lib/*.py", "Towerfile"]);
    assert_eq!(paths(app.path(), &options), ["Towerfile", ".env", "main.sh"]);
    let towerfile = read_towerfile(app.path()).expect("a Towerfile");
    let list = |glob: &str| list(app.path(), &towerfile, &PackOptions::default().exclude([glob]));
    let error = list("*.sh").expect_err("no script").to_string();
    assert!(error.contains("app.script \"main.sh\" must be a file"), "{error}");
    let error = list("[").expect_err("no glob").to_string();
    assert!(error.contains("--exclude \"[\" is not a glob"), "{error}");
    fs::write(app.path().join(".tinpotignore"), "x\n!y\n").expect("a file");
    refused(app.path(), ".tinpotignore:2: \"!y\" must not start with !");
}

#[test]
fn links_are_packed_as_links() {
    let app = app(&[("lib/a", "x")]);
    symlink("lib", app.path().join("folder")).expect("a link");
    symlink("../main.sh", app.path().join("lib/up")).expect("a link");
    let (packed, archive) = packed(app.path());
    let link = |path: &str| packed.manifest.files[path].clone();
    assert_eq!(link("folder"), BundleEntry::Link { link: "lib".to_owned() });
    assert_eq!(link("lib/up"), BundleEntry::Link { link: "../main.sh".to_owned() });
    assert!(!packed.manifest.files.contains_key("folder/a"));
    let target = tempfile::tempdir().expect("a folder");
    let unpacked = unpack(&archive[..], &target.path().join("app"), &Limits::default());
    assert_eq!(unpacked.expect("a bundle").content, packed.manifest.content);
    assert_eq!(fs::read(target.path().join("app/folder/a")).expect("through the link"), b"x");
}

#[test]
fn what_cannot_be_packed_is_refused() {
    let refuse_link = |target: &str, expected: &str| {
        let app = app(&[("a/b", "")]);
        symlink(target, app.path().join("link")).expect("a link");
        refused(app.path(), expected);
    };
    refuse_link("/etc/hosts", "the link \"link\" must stay in the bundle");
    refuse_link("../x", "must stay in the bundle");
    refuse_link("missing", "the link \"link\" must have a target");
    refuse_link("link", "the link \"link\" must have a target");
    let bad = app(&[("a\nb", "")]);
    refused(bad.path(), "must not have control characters");
    let bad = app(&[]);
    fs::write(bad.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "").expect("a file");
    refused(bad.path(), "must be UTF-8: rename or exclude it");
    let deep = app(&[(&vec!["d"; 33].join("/"), "")]);
    refused(deep.path(), "is deeper than 32 segments: exclude it");
    let bomb = app(&[("zeros", &"0".repeat(8 << 20))]);
    refused(bomb.path(), "at most 200 times the size");
    let mut options = PackOptions::default();
    options.limits.entries = 1;
    let error =
        pack(app(&[]).path(), &options).map(|packed| packed.manifest).expect_err("too many");
    assert!(error.to_string().contains("at most 1 files"), "{error}");
    let none = pack(folder(&[]).path(), &PackOptions::default()).map(|packed| packed.manifest);
    assert_eq!(none.expect_err("no Towerfile").kind(), ErrorKind::NotFound);
    let large = folder(&[("Towerfile", &"#".repeat(256 * 1024 + 1))]);
    refused(large.path(), "the Towerfile must have at most 262144 bytes");
}

#[test]
fn long_paths_and_many_sizes_come_back() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let sizes: Vec<(String, String)> = [0, 1, 511, 512, 513, 65_535, 65_536, 70_000]
        .into_iter()
        .map(|bytes| {
            (format!("size-{bytes}"), format!("{bytes} ").repeat(bytes / 2 + 1)[..bytes].to_owned())
        })
        .collect();
    let mut files: Vec<(&str, &str)> =
        sizes.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    files.push((&long, "long"));
    let app = app(&files);
    symlink(&long, app.path().join("link")).expect("a link");
    let (packed, archive) = packed(app.path());
    let target = tempfile::tempdir().expect("a folder");
    let inspection = unpack(&archive[..], &target.path().join("app"), &Limits::default());
    assert_eq!(inspection.expect("a bundle").files, packed.manifest.files);
    for (path, content) in files {
        let unpacked = fs::read_to_string(target.path().join("app").join(path)).expect(path);
        assert!(unpacked == content, "{path}");
    }
    assert_eq!(fs::read(target.path().join("app/link")).expect("the link"), b"long");
}

#[test]
fn gnu_tar_reads_the_archive_and_its_own_is_the_same_bundle() {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let app = app(&[("lib/a", "x"), (&long, "long")]);
    symlink("lib/a", app.path().join("link")).expect("a link");
    let (packed, archive) = packed(app.path());
    let work = tempfile::tempdir().expect("a folder");
    fs::write(work.path().join("a.tgz"), archive).expect("a file");
    fs::create_dir(work.path().join("out")).expect("a folder");
    let tar = |arguments: &[&str]| {
        let status =
            std::process::Command::new("tar").current_dir(work.path()).args(arguments).status();
        assert!(status.expect("tar is installed").success());
    };
    tar(&["-xzf", "a.tgz", "-C", "out"]);
    assert_eq!(fs::read(work.path().join("out").join(&long)).expect("the file"), b"long");
    for format in ["gnu", "posix"] {
        tar(&["-czf", "b.tgz", &format!("--format={format}"), "-C", "out", "."]);
        let bytes = fs::read(work.path().join("b.tgz")).expect("a file");
        let inspection = inspect(&bytes[..], &Limits::default()).expect(format);
        assert_eq!(inspection.content, packed.manifest.content, "{format}");
    }
}

#[test]
fn manifests_are_canonical() {
    let app = app(&[("a", "x")]);
    let (packed, _) = packed(app.path());
    let manifest = packed.manifest;
    let bytes = manifest.to_bytes().expect("JSON");
    assert_eq!(Manifest::parse(&bytes).expect("a manifest"), manifest);
    assert_eq!(manifest.digest().expect("a digest"), Hasher::of(&bytes));
    let text = String::from_utf8(bytes).expect("UTF-8");
    assert!(text.starts_with("{\"artifact\":{\"bytes\":"), "{text}");
    let refused = |text: &str, expected: &str| {
        let error = Manifest::parse(text.as_bytes()).expect_err(expected);
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    refused("{}", "missing field");
    refused(&text.replace("{\"artifact\"", "{ \"artifact\""), "not in canonical form");
    refused(&text.replace("\"a\":{", "\"b\":{"), "states the content");
    refused(&text.replacen('{', "{\"Extra\":1,", 1), "unknown field");
}

#[test]
fn a_list_says_what_would_be_packed() {
    let app = app(&[]);
    let towerfile = read_towerfile(app.path()).expect("a Towerfile");
    let entries = list(app.path(), &towerfile, &PackOptions::default()).expect("a list");
    let [_, PackEntry::File { path, bytes, executable, .. }] = &entries[..] else {
        panic!("{entries:?}")
    };
    assert_eq!((path.as_str(), *bytes, *executable), ("main.sh", 11, false));
}
