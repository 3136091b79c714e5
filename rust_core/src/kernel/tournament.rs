//! A tournament: the lightest of many packs, found again after each change in log(packs) steps.

/// A load above the index of a pack, in the low bits: the smallest is of the pack to take.
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

/// Trees of both widths of keys, in buffers that are reused: 64 bits where loads leave room for the
/// index, as they do but for a few very hot experts.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    pub(crate) narrow: Vec<u64>,
    pub(crate) wide: Vec<u128>,
}

impl Trees {
    /// Whether 64 bits hold the keys of so many packs, none of them heavier than `fullest`.
    pub(crate) fn narrow_will_do(packs: usize, fullest: u64) -> bool {
        fullest < u64::MAX >> packs.next_power_of_two().trailing_zeros()
    }
}

/// The tree of empty packs: the lowest is next.
pub(crate) fn start<K: Key>(tree: &mut Vec<K>, packs: usize) -> &mut [K] {
    let leaves = packs.next_power_of_two();
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

/// Evaluates an expression with trees of so many empty packs each, none of which will be heavier than
/// `fullest`.
macro_rules! with_trees {
    ($buffers:expr, $packs:expr, $fullest:expr, $trees:ident => $expression:expr) => {
        if $crate::kernel::tournament::Trees::narrow_will_do($packs, $fullest) {
            let $trees =
                $buffers.map(|buffer| $crate::kernel::tournament::start(&mut buffer.narrow, $packs));
            $crate::kernel::tournament::by_size!($trees => $expression)
        } else {
            let $trees =
                $buffers.map(|buffer| $crate::kernel::tournament::start(&mut buffer.wide, $packs));
            $crate::kernel::tournament::by_size!($trees => $expression)
        }
    };
}
pub(crate) use with_trees;

/// Evaluates an expression with trees whose size the compiler knows, where that is one of these:
/// it takes 15 % off all of planning.
macro_rules! by_size {
    ($trees:ident => $expression:expr) => {
        $crate::kernel::tournament::by_size!($trees, $expression, 8 16 32 64 128 256 512)
    };
    ($trees:ident, $expression:expr, $($size:literal)*) => {
        match $trees[0].len() {
            $($size => {
                let $trees = $trees.map(|tree| {
                    <&mut [_; $size]>::try_from(tree).expect("as long as it is")
                });
                $expression
            })*
            _ => $expression,
        }
    };
}
pub(crate) use by_size;
