//! Packing: items, heaviest first, each to the lightest pack that has room.

use crate::kernel::tournament::{Key, Tree, Trees, with_trees};
use crate::replicas::Item;

/// Puts each item, heaviest first, in the lightest of `packs` packs that is not full; ties: the
/// lower pack. This is LPT with equal numbers of items per pack. Time O(items * log packs).
///
/// Packs are the leaves of a tournament.
#[derive(Debug, Default)]
pub(crate) struct Greedy {
    trees: [Trees; LANES],
    rooms: [Vec<Room>; LANES],
}

/// Up to so many sets of items are packed side by side: a step waits for the last one of its own set
/// only. It takes a tenth off planning by `deepseek` on 32 GPUs; more than two sets are no faster.
pub(crate) const LANES: usize = 2;

/// The free places of a pack.
#[derive(Debug, Clone, Copy)]
struct Room {
    next: u32,
    end: u32,
}

impl Greedy {
    /// Packs sets of equally many items: calls `put(set, pack * per_pack + rank, item)` for each
    /// item of a set in turn.
    pub(crate) fn pack<const N: usize>(
        &mut self,
        sets: [&[Item]; N],
        packs: usize,
        put: impl FnMut(usize, usize, &Item),
    ) {
        let per_pack = sets[0].len() / packs;
        let fullest = |set: &[Item]| set[..per_pack].iter().map(|item| item.load).sum::<u64>();
        let fullest = sets.map(fullest).into_iter().fold(0, u64::max);
        let firsts = (0..sets[0].len() as u32).step_by(per_pack);
        let empty = firsts.map(|next| Room { next, end: next + per_pack as u32 });
        let rooms = first(&mut self.rooms).map(|room| {
            room.clear();
            room.extend(empty.clone());
            &mut room[..]
        });
        let trees = first(&mut self.trees);
        with_trees!(trees, packs, fullest, trees => deal(trees, rooms, sets, put));
    }
}

#[inline]
#[expect(clippy::needless_pass_by_value, reason = "arrays of references to what is written")]
fn deal<K: Key, T: Tree<K> + ?Sized, const N: usize>(
    trees: [&mut T; N],
    rooms: [&mut [Room]; N],
    sets: [&[Item]; N],
    mut put: impl FnMut(usize, usize, &Item),
) {
    #[expect(clippy::needless_range_loop, reason = "an index for all sets")]
    for i in 0..sets[0].len() {
        for lane in 0..N {
            let (tree, item) = (&mut *trees[lane], &sets[lane][i]);
            let key = tree.root();
            let pack = tree.leaf(key);
            let Room { next, end } = &mut rooms[lane][pack];
            put(lane, *next as usize, item);
            *next += 1;
            let load = K::from(item.load) << tree.index_bits();
            tree.set(pack, if next == end { K::FULL } else { key + load });
        }
    }
}

/// The first of all lanes.
pub(crate) fn first<T, const N: usize>(lanes: &mut [T; LANES]) -> [&mut T; N] {
    lanes.first_chunk_mut().expect("there are no more than LANES").each_mut()
}
