//! Packing: items, heaviest first, each to the lightest pack that has room.

use crate::items::Item;
use crate::tournament::{Key, Tree, Trees, with_tree};

/// Puts each item, heaviest first, in the lightest of `packs` packs that is not full; ties: the
/// lower pack. This is LPT with equal numbers of items per pack. Time O(items * log packs).
///
/// Packs are the leaves of a tournament.
#[derive(Debug, Default)]
pub(crate) struct Greedy {
    trees: Trees,
    room: Vec<Room>,
}

/// The free places of a pack.
#[derive(Debug, Clone, Copy)]
struct Room {
    next: u32,
    end: u32,
}

impl Greedy {
    /// Calls `put(pack * per_pack + rank, item)` for each item in turn.
    pub(crate) fn pack(&mut self, items: &[Item], packs: usize, put: impl FnMut(usize, &Item)) {
        let per_pack = items.len() / packs;
        let fullest: u64 = items[..per_pack].iter().map(|item| item.load).sum();
        let firsts = (0..items.len() as u32).step_by(per_pack);
        self.room.clear();
        self.room.extend(firsts.map(|next| Room { next, end: next + per_pack as u32 }));
        with_tree!(self.trees, packs, fullest, tree => deal(tree, &mut self.room, items, put));
    }
}

#[inline]
fn deal<K: Key, T: Tree<K> + ?Sized>(
    tree: &mut T,
    room: &mut [Room],
    items: &[Item],
    mut put: impl FnMut(usize, &Item),
) {
    for item in items {
        let key = tree.root();
        let pack = tree.leaf(key);
        let Room { next, end } = &mut room[pack];
        put(*next as usize, item);
        *next += 1;
        let load = K::from(item.load) << tree.index_bits();
        tree.set(pack, if next == end { K::FULL } else { key + load });
    }
}
