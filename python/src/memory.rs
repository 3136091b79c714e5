//! Memory that is freed stays with the process.

use std::hint::black_box;

/// Beyond the tables of plans for all usual models.
const LARGEST: usize = 4 << 20;

/// Lets glibc keep what is freed for the next plan: up to 8 MiB for each of its arenas, of which there is
/// one for each thread, or fewer.
///
/// Otherwise it hands the tables of a plan back to the system, and gets every page anew for the next
/// one: that takes as long as planning. It keeps twice the largest block that was ever freed in the
/// process, so one is freed here that no one has touched. Other allocators do not mind, nor does glibc
/// if `MALLOC_TRIM_THRESHOLD_` or `MALLOC_MMAP_THRESHOLD_` is set.
pub(crate) fn keep_freed() {
    let mut block = Vec::<u8>::new();
    // Without so much address space all stays as it is.
    let _ = block.try_reserve_exact(LARGEST);
    drop(black_box(block));
}
