//! Greedy packing: items, heaviest first, each to the lightest bin that has room (LPT, Graham 1969,
//! with equally many items per bin).
//!
//! [`Greedy`] may put two replicas of an expert in one bin, as the published policies do; it packs
//! layers side by side. [`distinct`] never does so. They are two loops over the same [`Bins`], as their
//! steps differ: one takes an item of each layer in turn and looks at nothing else; the other takes all
//! replicas of an expert, and repairs dead ends.

pub(crate) mod distinct;
#[cfg(test)]
pub(crate) mod tests;

use crate::kernel::lanes::{LANES, first};
use crate::kernel::tournament::{Bins, Trees, with_bins};
use crate::sorted_replicas::by_slot::Item;

/// Packs items, in buffers that are reused.
#[derive(Debug, Default)]
pub(crate) struct Greedy {
    trees: [Trees; LANES],
    rooms: [Vec<Room>; LANES],
}

/// The free places of a bin.
#[derive(Debug, Clone, Copy)]
struct Room {
    next: u32,
    end: u32,
}

impl Greedy {
    /// Puts each item of some sets of equally many items, heaviest first, in the lightest of `bins`
    /// bins that is not full; ties: the lower bin. Calls `put(set, bin * per_bin + rank, item)` for
    /// each item of a set in turn. Time O(items * log bins).
    pub(crate) fn pack<const N: usize>(
        &mut self,
        sets: [&[Item]; N],
        bins: usize,
        put: impl FnMut(usize, usize, &Item),
    ) {
        let per_bin = sets[0].len() / bins;
        let fullest = |set: &[Item]| set[..per_bin].iter().map(|item| item.load).sum::<u64>();
        let fullest = sets.map(fullest).into_iter().fold(0, u64::max);
        let firsts = (0..sets[0].len() as u32).step_by(per_bin);
        let empty = firsts.map(|next| Room { next, end: next + per_bin as u32 });
        let rooms = first(&mut self.rooms).map(|room| {
            room.clear();
            room.extend(empty.clone());
            &mut room[..]
        });
        let trees = first(&mut self.trees);
        with_bins!(trees, bins, fullest, bins => pack(bins, rooms, sets, put));
    }
}

#[inline]
#[expect(clippy::needless_pass_by_value, reason = "arrays of references to what is written")]
fn pack<B: Bins + ?Sized, const N: usize>(
    bins: [&mut B; N],
    rooms: [&mut [Room]; N],
    sets: [&[Item]; N],
    mut put: impl FnMut(usize, usize, &Item),
) {
    #[expect(clippy::needless_range_loop, reason = "an index for all sets")]
    for i in 0..sets[0].len() {
        for lane in 0..N {
            let item = &sets[lane][i];
            let bin = bins[lane].lightest();
            let Room { next, end } = &mut rooms[lane][bin];
            put(lane, *next as usize, item);
            *next += 1;
            bins[lane].add_to_lightest(bin, item.load, next == end);
        }
    }
}
