//! A load and an index in one word.

/// Keys of loads with their indices, in 64 bits: sorting and comparing one word takes half the time
/// of a pair. If a load leaves too little room for the index, its lowest bits are left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadKeys {
    left_out: u32,
    index_bits: u32,
}

impl LoadKeys {
    /// For loads of at most `largest` and indices below `indices`.
    pub(crate) fn new(largest: u64, indices: usize) -> Self {
        let index_bits = indices.next_power_of_two().trailing_zeros();
        Self { left_out: index_bits.saturating_sub(largest.leading_zeros()), index_bits }
    }

    /// Whether keys have the order of (load, index).
    pub(crate) fn exact(self) -> bool {
        self.left_out == 0
    }

    /// The key of a load and an index.
    #[inline]
    pub(crate) fn key(self, load: u64, index: u64) -> u64 {
        load >> self.left_out << self.index_bits | index
    }

    /// The index in a key.
    #[inline]
    pub(crate) fn index(self, key: u64) -> usize {
        (key & ((1 << self.index_bits) - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::LoadKeys;
    use crate::problems::SplitMix64;

    #[test]
    fn keys_have_the_order_of_loads_as_far_as_64_bits_hold_them() {
        let mut stream = SplitMix64(79);
        for indices in [1_u64, 2, 3, 8, 9, 300] {
            let index_bits = indices.next_power_of_two().trailing_zeros();
            for bits in [1, 20, 64 - index_bits, 65 - index_bits, 60, 63] {
                let bits = bits.min(63);
                let largest = 1 << (bits - 1);
                let load = |index| if index == 0 { largest } else { stream.below(largest) };
                let mut order: Vec<(u64, u64)> = (0..indices).map(load).zip(0..).collect();
                let keys = LoadKeys::new(largest, indices as usize);
                let exact = bits + index_bits <= 64;
                assert_eq!(keys.exact(), exact, "{indices} {bits}");
                for &(load, index) in &order {
                    assert_eq!(keys.index(keys.key(load, index)) as u64, index);
                }
                order.sort_unstable();
                for two in order.windows(2) {
                    let [(a, i), (b, j)] = two else { unreachable!() };
                    let in_order = keys.key(*a, *i) < keys.key(*b, *j);
                    // At most as many bits are left out as an index has.
                    assert!(in_order || !exact && b - a < 1 << index_bits, "{indices} {bits}");
                }
            }
        }
    }
}
