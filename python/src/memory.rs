//! Memory that is freed stays with the process.

use std::hint::black_box;

/// The most that glibc learns from: its upper limit of 32 MiB, less what it adds to a block.
const LARGEST: usize = (32 << 20) - (1 << 16);

/// Lets glibc keep what is freed for the next plan, up to 64 MiB.
///
/// Otherwise it hands the tables of a plan back to the system, and gets every page anew for the next
/// one: that takes as long as planning. It keeps twice the largest block that it has ever freed,
/// and frees one here that no one has touched. Other allocators do not mind.
pub(crate) fn keep_freed() {
    let mut block = Vec::<u8>::new();
    // Without so much address space all stays as it is.
    let _ = block.try_reserve_exact(LARGEST);
    drop(black_box(block));
}
