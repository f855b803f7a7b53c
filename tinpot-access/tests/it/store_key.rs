//! The key of a store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tinpot_access::StoreKeys;
use tinpot_core::ErrorKind;
use tinpot_core::access::{SealedPlace, SecretSealer};
use tinpot_core::testing::secret_sealer::Subject;

#[derive(Debug)]
struct Keys(StoreKeys);

impl Subject for Keys {
    fn sealer(&self) -> Arc<dyn SecretSealer> {
        Arc::new(self.0.sealer())
    }

    fn stranger(&self) -> Arc<dyn SecretSealer> {
        Arc::new(StoreKeys::generate().expect("a key").sealer())
    }

    fn rotated(&self) -> Arc<dyn SecretSealer> {
        Arc::new(self.0.rotated().expect("a key").sealer())
    }
}

fn keys() -> Keys {
    Keys(StoreKeys::generate().expect("a key"))
}

tinpot_core::secret_sealer_conformance!(keys);

const PLACE: (&str, &str, &str, &str) = ("secret", "default", "token", "1");

fn place() -> SealedPlace<'static> {
    let (kind, team, id, path) = PLACE;
    SealedPlace::new(kind, team, id, path)
}

#[test]
fn a_key_is_made_once_for_its_owner_and_two_rotations_forget_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.key");
    let first = StoreKeys::load_or_create(&path).expect("a key");
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    let sealed = first.sealer().seal(&place(), b"hunter2").expect("sealed");
    let again = StoreKeys::load_or_create(&path).expect("a key");
    assert_eq!(again.sealer().open(&place(), &sealed).expect("opened"), b"hunter2");
    again.rotated().expect("a key").replace(&path).expect("a file");
    let second = StoreKeys::load(&path).expect("keys");
    assert_eq!(second.sealer().open(&place(), &sealed).expect("opened"), b"hunter2");
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    second.rotated().expect("a key").replace(&path).expect("a file");
    let third = StoreKeys::load(&path).expect("keys");
    let error = third.sealer().open(&place(), &sealed).expect_err("no key");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let names: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn what_a_later_key_has_sealed_opens_without_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.key");
    let first = StoreKeys::load_or_create(&path).expect("a key");
    let running = first.sealer().read_again(&path);
    let rotated = first.rotated().expect("a key");
    rotated.replace(&path).expect("a file");
    let sealed = rotated.sealer().seal(&place(), b"hunter2").expect("sealed");
    let begun = Instant::now();
    assert_eq!(running.open(&place(), &sealed).expect("opened"), b"hunter2");
    assert!(first.sealer().open(&place(), &sealed).is_err());
    // It seals as before until it starts again: the mark of the store names its key.
    let own = running.seal(&place(), b"own").expect("sealed");
    assert!(running.is_current(&own) && !running.is_current(&sealed));
    assert_eq!(first.sealer().open(&place(), &own).expect("opened"), b"own");
    // The file is read once a second at most, and what it had is still known.
    let later = StoreKeys::generate().expect("a key");
    later.replace(&path).expect("a file");
    let sealed_later = later.sealer().seal(&place(), b"later").expect("sealed");
    let early = running.open(&place(), &sealed_later);
    if begun.elapsed() < Duration::from_secs(1) {
        assert_eq!(early.expect_err("not read yet").kind(), ErrorKind::NotFound);
    }
    assert_eq!(running.open(&place(), &own).expect("opened"), b"own");
}

#[test]
fn files_that_are_no_keys_are_refused_without_their_content() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.key");
    let line = format!("tinpot-store-key-1 {}\n", "A".repeat(43) + "=");
    for (text, why) in [
        (String::new(), "it is empty"),
        ("hunter2".to_owned(), "a line does not begin as one of a key"),
        ("tinpot-store-key-1 hunter2".to_owned(), "a line has no 32 bytes in base64"),
        (format!("tinpot-store-key-1 {}", "A".repeat(3_000)), "a line has no 32 bytes in base64"),
        (line.repeat(3), "it has more than 2 keys"),
    ] {
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        let error = StoreKeys::load_or_create(&path).expect_err("no key");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().ends_with(why) && !error.message().contains("hunter2"), "{error}");
    }
    fs::write(&path, line).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
    let error = StoreKeys::load(&path).expect_err("others may read it");
    assert!(error.message().contains("chmod 600"), "{error}");
}
