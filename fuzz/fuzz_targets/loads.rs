//! Any bits of any type as canonical loads: the naive reference's, or the right refusal.
#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::loads::check(bytes));
