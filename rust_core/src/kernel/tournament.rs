//! A tournament: the lightest of many bins, found again after each change in log(bins) steps.

/// A load above the index of a bin, which is in the low bits: the smallest is the key of the bin to take.
pub(crate) trait Key:
    Copy + Ord + From<u64> + std::ops::Shl<u32, Output = Self> + std::ops::Add<Output = Self>
{
    /// The key of a bin that takes no more.
    const CLOSED: Self;
    /// The low bits, as an index.
    fn low(self) -> usize;
}

impl Key for u64 {
    const CLOSED: Self = Self::MAX;
    #[inline]
    fn low(self) -> usize {
        self as usize
    }
}

impl Key for u128 {
    const CLOSED: Self = Self::MAX;
    #[inline]
    fn low(self) -> usize {
        self as usize
    }
}

/// Bins, of which the lightest open one is always at hand; ties: the lower bin.
///
/// They are the leaves of a tournament: the root is node 1, the children of node i are 2i and 2i + 1,
/// the second half are the leaves, and each node has the smaller key of its children.
pub(crate) trait Bins {
    type Key: Key;

    fn nodes(&self) -> &[Self::Key];

    /// Gives a leaf another key. Time O(log bins).
    fn set(&mut self, leaf: usize, key: Self::Key);

    /// The lightest open bin, if one is open.
    #[inline]
    fn lightest(&self) -> usize {
        self.nodes()[1].low() & (self.nodes().len() / 2 - 1)
    }

    /// Whether all bins are closed.
    #[inline]
    fn all_closed(&self) -> bool {
        self.nodes()[1] == Self::Key::CLOSED
    }

    /// Adds a load to `bin`, which is the lightest open one, or closes it with this load.
    #[inline]
    fn add_to_lightest(&mut self, bin: usize, load: u64, close: bool) {
        let key = self.nodes()[1] + (Self::Key::from(load) << self.index_bits());
        self.set(bin, if close { Self::Key::CLOSED } else { key });
    }

    /// Nothing more goes to a bin, until it is opened.
    #[inline]
    fn close(&mut self, bin: usize) {
        self.set(bin, Self::Key::CLOSED);
    }

    /// Opens a bin, which has this load.
    #[inline]
    fn open(&mut self, bin: usize, load: u64) {
        let load = Self::Key::from(load) << self.index_bits();
        self.set(bin, load + Self::Key::from(bin as u64));
    }

    /// Low bits of a key that are the index of a leaf.
    #[inline]
    fn index_bits(&self) -> u32 {
        self.nodes().len().trailing_zeros() - 1
    }
}

impl<K: Key, const N: usize> Bins for [K; N] {
    type Key = K;

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

impl<K: Key> Bins for [K] {
    type Key = K;

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

/// Buffers of trees with keys of both widths: 64 bits if loads leave room for the index, which they do
/// unless a few experts are very hot.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    pub(crate) narrow: Vec<u64>,
    pub(crate) wide: Vec<u128>,
}

impl Trees {
    /// Whether 64 bits hold the keys of so many bins, none of them heavier than `fullest`.
    pub(crate) fn narrow_will_do(bins: usize, fullest: u64) -> bool {
        fullest < u64::MAX >> bins.next_power_of_two().trailing_zeros()
    }
}

/// The tree of empty bins: the lowest is the lightest.
pub(crate) fn start<K: Key>(tree: &mut Vec<K>, bins: usize) -> &mut [K] {
    let leaves = bins.next_power_of_two();
    tree.clear();
    tree.resize(2 * leaves, K::CLOSED);
    for bin in 0..bins {
        tree[leaves + bin] = K::from(bin as u64);
    }
    for node in (1..leaves).rev() {
        tree[node] = tree[2 * node];
    }
    tree
}

/// Evaluates an expression with [`Bins`], so many empty ones for each of some [`Trees`]; none of them
/// will be heavier than `fullest`.
macro_rules! with_bins {
    ($buffers:expr, $bins:expr, $fullest:expr, $trees:ident => $expression:expr) => {
        if $crate::kernel::tournament::Trees::narrow_will_do($bins, $fullest) {
            let $trees =
                $buffers.map(|buffer| $crate::kernel::tournament::start(&mut buffer.narrow, $bins));
            $crate::kernel::tournament::by_size!($trees => $expression)
        } else {
            let $trees =
                $buffers.map(|buffer| $crate::kernel::tournament::start(&mut buffer.wide, $bins));
            $crate::kernel::tournament::by_size!($trees => $expression)
        }
    };
}
pub(crate) use with_bins;

/// Evaluates an expression with trees whose size the compiler knows, if it is one of these: this
/// takes 15 % off all of planning.
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

#[cfg(test)]
mod tests {
    use super::{Bins, Trees, start};
    use crate::problems::SplitMix64;

    /// Gives bins other loads; fails unless the lightest is found each time.
    fn check<B: Bins + ?Sized>(bins: &mut B, count: usize) {
        assert_eq!(1 << bins.index_bits(), count.next_power_of_two());
        // Load of each bin, if it is open.
        let mut loads = vec![Some(0); count];
        let mut stream = SplitMix64(89);
        for _ in 0..200 {
            let lightest = (0..count).filter(|&bin| loads[bin].is_some()).min_by_key(|&i| loads[i]);
            assert_eq!(bins.all_closed(), lightest.is_none());
            if let Some(lightest) = lightest {
                assert_eq!(bins.lightest(), lightest);
            }
            let (bin, load) = (stream.below(count as u64) as usize, stream.below(1000));
            match (stream.below(4), lightest) {
                (0, Some(lightest)) => {
                    let close = load < 100;
                    bins.add_to_lightest(lightest, load, close);
                    loads[lightest] = loads[lightest].map(|old| old + load).filter(|_| !close);
                }
                (1, _) => {
                    bins.close(bin);
                    loads[bin] = None;
                }
                _ => {
                    bins.open(bin, load);
                    loads[bin] = Some(load);
                }
            }
        }
    }

    #[test]
    fn a_tournament_finds_the_lightest_open_bin() {
        for count in [1, 2, 3, 4, 7, 16, 32, 60, 128, 256, 300] {
            let mut trees = Trees::default();
            check(start(&mut trees.narrow, count), count);
            check(start(&mut trees.wide, count), count);
            let mut other = Trees::default();
            for fullest in [0, u64::MAX] {
                with_bins!([&mut trees, &mut other], count, fullest, sets => {
                    for bins in sets {
                        check(bins, count);
                    }
                });
            }
        }
    }

    #[test]
    fn keys_are_wide_where_64_bits_do_not_hold_the_fullest_bin() {
        for (count, bits) in [(1, 0), (2, 1), (3, 2), (32, 5), (33, 6)] {
            let most = (u64::MAX >> bits) - 1;
            assert!(Trees::narrow_will_do(count, most));
            assert!(!Trees::narrow_will_do(count, most + 1));
        }
    }
}
