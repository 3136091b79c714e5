//! Plans of any policy with any certificate: accepted if true, refused if not.
#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::certificate::check(bytes));
