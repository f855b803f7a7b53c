#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tinpot_http::testing::resume_id(bytes));
