#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tinpot_mqtt::testing::topics(bytes));
