//! Sealed frames, as both ends of a session see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tinpot_core::protocol::Tick;
use tinpot_core::protocol::seal::{
    FrameKind, HEADER_BYTES, Header, SecretKey, Session, Side, Suite, TAG_BYTES, is_plain,
};
use tinpot_core::testing::ToySuite;
use tinpot_core::transport::Lane;

const NOW: Tick = Tick(0);

fn toy_suite(identity: u8) -> Arc<dyn Suite> {
    static SEED: AtomicU64 = AtomicU64::new(0);
    let seed = SEED.fetch_add(1 << 32, Ordering::Relaxed);
    Arc::new(ToySuite::new(identity.into(), seed))
}

tinpot_core::seal_suite_conformance!(toy_suite);

/// Returns the worker's and the coordinator's end of a session.
fn session(suite: &ToySuite, id: u64, secret: u8) -> (Session, Session) {
    let end = |side| {
        let keys = suite.derive(&SecretKey([secret; 32]), &[0; 32]);
        Session::new(NOW, id, side, keys)
    };
    (end(Side::Worker), end(Side::Coordinator))
}

fn seal(suite: &ToySuite, session: &mut Session, lane: Lane, document: &str) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    frame.extend_from_slice(document.as_bytes());
    session.sealing(lane).expect("a counter").seal(suite, &mut frame);
    frame
}

/// Opens a frame as it arrived on a lane.
fn open(suite: &ToySuite, session: &mut Session, frame: &[u8]) -> Option<String> {
    let header = Header::decode(frame)?;
    let opening = session.opening(header)?;
    let mut frame = frame.to_vec();
    let place = opening.open(suite, &mut frame)?;
    session.opened(&header).then(|| String::from_utf8_lossy(&frame[place]).into_owned())
}

#[test]
fn a_header_has_one_form() {
    let header =
        Header { kind: FrameKind::Sealed, lane: Lane::Logs, session: 0x0102, counter: 0x0304 };
    let bytes = header.encode();
    assert_eq!(&bytes, b"TPF1\x00\x01\x00\x00\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\x03\x04");
    assert_eq!(Header::decode(&bytes), Some(header));
    for (place, value) in [(0, b'X'), (3, b'2'), (4, 9), (5, 2), (6, 1), (7, 1)] {
        let mut other = bytes;
        other[place] = value;
        assert_eq!(Header::decode(&other), None, "{other:?}");
    }
    assert_eq!(Header::decode(&bytes[..HEADER_BYTES - 1]), None);
    assert!(is_plain(b"{\"v\":1}") && is_plain(b"") && !is_plain(&bytes));
}

#[test]
fn what_is_opened_is_what_was_sealed_and_the_carrier_sees_nothing_of_it() {
    let suite = ToySuite::new(1, 1);
    let (mut worker, mut coordinator) = session(&suite, 7, 1);
    for lane in Lane::ALL {
        for document in ["{\"secret\":\"canary\"}", "", "x"] {
            let frame = seal(&suite, &mut worker, lane, document);
            assert_eq!(frame.len(), HEADER_BYTES + document.len() + TAG_BYTES);
            assert!(!String::from_utf8_lossy(&frame).contains("canary"));
            assert_eq!(open(&suite, &mut coordinator, &frame).as_deref(), Some(document));
            let frame = seal(&suite, &mut coordinator, lane, document);
            assert_eq!(open(&suite, &mut worker, &frame).as_deref(), Some(document));
        }
    }
}

#[test]
fn a_frame_opens_once_unchanged_in_its_own_session_lane_and_direction() {
    let suite = ToySuite::new(1, 1);
    let (mut worker, mut coordinator) = session(&suite, 7, 1);
    let (mut other_worker, mut other) = session(&suite, 7, 2);
    let frame = seal(&suite, &mut worker, Lane::Control, "{\"v\":1}");
    assert_eq!(open(&suite, &mut worker, &frame), None, "it came back to its sender");
    assert_eq!(open(&suite, &mut other, &frame), None, "it has the keys of another session");
    assert_eq!(open(&suite, &mut other_worker, &frame), None);
    for place in 4..frame.len() {
        let mut changed = frame.clone();
        changed[place] ^= 1;
        assert_eq!(open(&suite, &mut coordinator, &changed), None, "byte {place} was changed");
    }
    for length in 0..frame.len() {
        assert_eq!(open(&suite, &mut coordinator, &frame[..length]), None, "cut to {length}");
    }
    // What could not be opened has not moved the window.
    assert!(open(&suite, &mut coordinator, &frame).is_some());
    assert_eq!(open(&suite, &mut coordinator, &frame), None, "it was repeated");
}

#[test]
fn frames_may_overtake_each_other_within_the_window() {
    let suite = ToySuite::new(1, 1);
    let (mut worker, mut coordinator) = session(&suite, 7, 1);
    let frames: Vec<Vec<u8>> =
        (0..5_000).map(|_| seal(&suite, &mut worker, Lane::Logs, "{}")).collect();
    assert!(open(&suite, &mut coordinator, &frames[4_999]).is_some());
    assert!(open(&suite, &mut coordinator, &frames[4_999 - 4_096]).is_some());
    assert_eq!(open(&suite, &mut coordinator, &frames[4_999 - 4_097]), None, "it is too late");
    // The other lane has a window of its own.
    let first = seal(&suite, &mut worker, Lane::Control, "{}");
    assert!(open(&suite, &mut coordinator, &first).is_some());
}

#[test]
fn a_session_is_worn_after_a_day() {
    let suite = ToySuite::new(1, 1);
    let (worker, _) = session(&suite, 7, 1);
    let age = Duration::from_secs(24 * 3600);
    assert!(!worker.is_worn(Tick(86_399_999_999), age));
    assert!(worker.is_worn(Tick(86_400_000_000), age));
}
