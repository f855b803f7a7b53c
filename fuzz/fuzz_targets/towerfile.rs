#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tinpot_bundle::testing::fuzz::towerfile(bytes));
