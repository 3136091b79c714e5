//! Any history and any placement in force, updated, and the weight copies of the update.
#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::over_time::check(bytes));
