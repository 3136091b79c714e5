//! Any problem, planned, verified and compared with the naive reference.
#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::plan::check(bytes));
