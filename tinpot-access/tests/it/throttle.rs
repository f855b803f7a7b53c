//! Limits on guesses.

use std::net::IpAddr;
use std::time::Duration;

use tinpot_access::{Clock, Throttle};

use crate::support::{DAY, HOUR, Hand, MINUTE};

const SECOND: Duration = Duration::from_secs(1);

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Guesses as fast as it is allowed, for a time, and returns how often that was.
fn guesses(addresses: &[IpAddr], time: Duration) -> u32 {
    let (throttle, clock) = (Throttle::new(), Hand::new());
    let (mut passed, mut guesses) = (Duration::ZERO, 0);
    while passed < time {
        let tries = addresses.iter().map(|from| throttle.attempt(clock.now(), "ada", *from, false));
        let waits: Vec<Duration> = tries.filter_map(Result::err).collect();
        guesses += (addresses.len() - waits.len()) as u32;
        throttle.sweep(clock.now());
        let wait = waits.into_iter().min().unwrap_or(SECOND).max(SECOND);
        clock.pass(wait);
        passed += wait;
    }
    guesses
}

#[test]
fn waits_double_from_a_second_to_a_quarter_of_an_hour() {
    let (throttle, clock, home) = (Throttle::new(), Hand::new(), address("192.0.2.1"));
    for _ in 0..5 {
        throttle.attempt(clock.now(), "ada", home, true).expect("five are free");
    }
    let mut waits = Vec::new();
    for _ in 0..13 {
        throttle.attempt(clock.now(), "ada", home, true).expect("it is its turn");
        let wait = throttle.attempt(clock.now(), "ada", home, true).expect_err("a wait");
        waits.push(wait.as_secs());
        // At least a minute, so that the limit of the address has no effect.
        clock.pass(wait.max(MINUTE));
    }
    let expected = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900];
    assert_eq!(waits, expected);
}

#[test]
fn sign_ins_at_an_identity_provider_take_no_attempts_from_passwords() {
    let (throttle, clock, home) = (Throttle::new(), Hand::new(), address("192.0.2.1"));
    let begun = (0..200).filter(|_| throttle.begin_from(clock.now(), home).is_ok()).count();
    assert_eq!(begun, 120);
    throttle.attempt(clock.now(), "ada", home, false).expect("another limit");
    throttle.begin_from(clock.now(), address("198.51.100.1")).expect("another network");
    let wait = throttle.begin_from(clock.now(), home).expect_err("too many");
    clock.pass(wait);
    throttle.begin_from(clock.now(), home).expect("it is its turn");
    clock.pass(2 * MINUTE);
    throttle.sweep(clock.now());
    throttle.begin_from(clock.now(), home).expect("forgotten");
}

#[test]
fn a_success_forgets_failures_and_a_day_does() {
    let (throttle, clock, home) = (Throttle::new(), Hand::new(), address("2001:db8::1"));
    let fail = |times| {
        for _ in 0..times {
            throttle.attempt(clock.now(), "ada", home, true).expect("it is its turn");
        }
    };
    fail(6);
    throttle.attempt(clock.now(), "ADA", home, true).expect_err("a wait, in whatever case");
    throttle.succeeded("Ada", home);
    fail(6);
    clock.pass(DAY);
    throttle.sweep(clock.now());
    fail(5);
}

#[test]
fn networks_are_counted_and_not_addresses() {
    let (throttle, clock) = (Throttle::new(), Hand::new());
    for (first, near, far) in [
        ("192.0.2.1", "192.0.2.200", "192.0.3.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::1", "2001:db8:1:3::1"),
        ("::ffff:198.51.100.1", "198.51.100.9", "198.51.101.9"),
    ] {
        for number in 0..20 {
            let account = format!("{first}-{number}");
            throttle.attempt(clock.now(), &account, address(first), false).expect("20 a minute");
        }
        let wait = throttle.attempt(clock.now(), "other", address(near), false);
        assert_eq!(wait, Err(3 * SECOND), "{near}");
        throttle.attempt(clock.now(), "other", address(far), false).expect("another network");
    }
}

#[test]
fn strangers_cannot_lock_a_user_out() {
    let (throttle, clock) = (Throttle::new(), Hand::new());
    for number in 0..60 {
        let from = address(&format!("10.0.{number}.1"));
        throttle.attempt(clock.now(), "ada", from, false).expect("60 an hour");
    }
    let home = address("192.0.2.1");
    let wait = throttle.attempt(clock.now(), "ada", home, false).expect_err("too many");
    assert_eq!(wait, MINUTE);
    throttle.attempt(clock.now(), "ada", home, true).expect("a device of the user");
    throttle.attempt(clock.now(), "bob", home, false).expect("another account");
}

#[test]
fn a_day_of_guesses_is_bounded() {
    let one = guesses(&[address("192.0.2.1")], DAY);
    assert!((90..=120).contains(&one), "{one} from one address");
    let many: Vec<IpAddr> = (0..64).map(|net| address(&format!("10.0.{net}.1"))).collect();
    let all = guesses(&many, DAY);
    assert!((1_000..=1_500).contains(&all), "{all} from many addresses");
}

#[test]
fn accounts_without_number_take_bounded_time_and_memory() {
    let (throttle, clock) = (Throttle::new(), Hand::new());
    let mut allowed = 0;
    for number in 0..120_000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        let from = IpAddr::from([a + 1, b, c, 1]);
        let account = format!("account-{number}");
        allowed += u32::from(throttle.attempt(clock.now(), &account, from, false).is_ok());
        clock.pass(Duration::from_millis(1));
    }
    assert_eq!(allowed, 120_000);
    clock.pass(2 * HOUR);
    throttle.sweep(clock.now());
}
