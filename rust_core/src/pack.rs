//! Packing: items, heaviest first, each to the lightest pack that has room.

use crate::items::Item;

/// Puts each item, heaviest first, in the lightest of `packs` packs that is not full; ties: the
/// lower pack. `placed[pack * per_pack + rank]` becomes the index of an item. This is LPT with
/// equal numbers of items per pack. Time O(items * log packs).
///
/// Below, a pack is a leaf of a tournament: its key is its load with its index in the low bits, and
/// the smallest key of the tree at its root is the pack to take. Keys are 64 bits wide where loads
/// leave room for the index, as they do but for a few very hot experts.
#[derive(Debug, Default)]
pub(crate) struct Greedy {
    narrow: Vec<u64>,
    wide: Vec<u128>,
    filled: Vec<u32>,
}

impl Greedy {
    pub(crate) fn pack(&mut self, items: &[Item], packs: usize, placed: &mut [u32]) {
        let per_pack = items.len() / packs;
        let index_bits = packs.next_power_of_two().trailing_zeros();
        let fullest: u64 = items[..per_pack].iter().map(|item| item.load).sum();
        self.filled.clear();
        self.filled.resize(packs, 0);
        if fullest < u64::MAX >> index_bits {
            play(&mut self.narrow, &mut self.filled, items, index_bits, placed);
        } else {
            play(&mut self.wide, &mut self.filled, items, index_bits, placed);
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

fn play<K: Key>(
    tree: &mut Vec<K>,
    filled: &mut [u32],
    items: &[Item],
    index_bits: u32,
    placed: &mut [u32],
) {
    let leaves = 1 << index_bits;
    tree.clear();
    tree.resize(2 * leaves, K::FULL);
    for pack in 0..filled.len() {
        tree[leaves + pack] = K::from(pack as u64);
    }
    for node in (1..leaves).rev() {
        tree[node] = tree[2 * node].min(tree[2 * node + 1]);
    }
    // A climb whose length the compiler knows takes 15 % off all of planning.
    match index_bits {
        2 => deal(tree, filled, items, placed, climb::<K, 8>),
        3 => deal(tree, filled, items, placed, climb::<K, 16>),
        4 => deal(tree, filled, items, placed, climb::<K, 32>),
        5 => deal(tree, filled, items, placed, climb::<K, 64>),
        6 => deal(tree, filled, items, placed, climb::<K, 128>),
        7 => deal(tree, filled, items, placed, climb::<K, 256>),
        8 => deal(tree, filled, items, placed, climb::<K, 512>),
        _ => deal(tree, filled, items, placed, climb_any),
    }
}

#[inline]
fn deal<K: Key>(
    tree: &mut [K],
    filled: &mut [u32],
    items: &[Item],
    placed: &mut [u32],
    set: impl Fn(&mut [K], usize, K),
) {
    let leaves = tree.len() / 2;
    let per_pack = items.len() / filled.len();
    for (i, item) in items.iter().enumerate() {
        let key = tree[1];
        let pack = key.low() & (leaves - 1);
        let rank = filled[pack] as usize;
        placed[pack * per_pack + rank] = i as u32;
        filled[pack] += 1;
        let full = rank + 1 == per_pack;
        let load = K::from(item.load) << leaves.trailing_zeros();
        set(tree, pack, if full { K::FULL } else { key + load });
    }
}

/// Gives a leaf of a tree of N nodes another key.
#[inline]
fn climb<K: Key, const N: usize>(tree: &mut [K], leaf: usize, mut key: K) {
    let tree: &mut [K; N] = tree.try_into().expect("two nodes a leaf");
    let mut node = (N / 2 + leaf) % N;
    tree[node] = key;
    for _ in 1..N.trailing_zeros() {
        key = key.min(tree[node ^ 1]);
        node /= 2;
        tree[node] = key;
    }
}

/// The same for a tree of any size.
fn climb_any<K: Key>(tree: &mut [K], leaf: usize, mut key: K) {
    let mut node = tree.len() / 2 + leaf;
    tree[node] = key;
    while node > 1 {
        key = key.min(tree[node ^ 1]);
        node /= 2;
        tree[node] = key;
    }
}
