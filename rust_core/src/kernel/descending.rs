//! Experts by descending load, equal loads by ascending index.

/// Experts are at most 2^14: the low bits of a key.
const INDEX_BITS: u32 = 14;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// Fewer experts are sorted faster by the standard sort.
const FEWEST: usize = 96;

/// An expert with its load; keys ascend where loads descend, and equal loads' indices ascend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u64);

impl Key {
    #[inline]
    fn new(index: usize, load: u64) -> Self {
        Self(!(load << INDEX_BITS) & !INDEX_MASK | index as u64)
    }

    #[inline]
    pub(crate) fn index(self) -> u32 {
        (self.0 & INDEX_MASK) as u32
    }

    #[inline]
    pub(crate) fn load(self) -> u64 {
        !self.0 >> INDEX_BITS
    }
}

/// Sorts set after set of canonical loads in the same buffers.
///
/// A load is written like a float, by exponent and mantissa, so that small loads differ as well as large
/// ones. The first 16 bits of its difference to the largest are sorted in two passes of eight bits, which
/// keep the order of equal ones; then insertion sorts the few loads with equal bits. For 256 loads this
/// takes two thirds of the time of the standard sort: a tenth off all of planning by `deepseek`.
#[derive(Debug, Default)]
pub(crate) struct Descending {
    keys: Vec<Key>,
    /// 16 bits of each load, above its index.
    digits: Vec<u32>,
    /// The same after the first pass.
    half_sorted: Vec<u32>,
}

impl Descending {
    /// The experts with these loads, of at most 2^40, heaviest first. Time O(n), at worst O(n log n).
    pub(crate) fn sort(&mut self, loads: &[u64]) -> &[Key] {
        if loads.len() < FEWEST {
            self.keys.clear();
            self.keys.extend(loads.iter().enumerate().map(|(i, &load)| Key::new(i, load)));
            self.keys.sort_unstable();
        } else {
            self.by_digits(loads);
            if !insert_in_order(&mut self.keys) {
                self.keys.sort_unstable();
            }
        }
        &self.keys
    }

    fn by_digits(&mut self, loads: &[u64]) {
        // The bits of a float, but for where its exponents begin; the last bit of a load stands for 0.
        let as_float = |load: u64| {
            let exponent = (load | 1).ilog2();
            (u64::from(exponent) << 52) + ((load | 1) << (52 - exponent))
        };
        let (least, largest) = loads
            .iter()
            .fold((u64::MAX, 0), |(least, largest), &load| (least.min(load), largest.max(load)));
        let largest = as_float(largest);
        let bits = u64::BITS - (largest - as_float(least)).leading_zeros();
        let left_out = bits.saturating_sub(16);
        let (mut low, mut high) = ([0_u32; 256], [0_u32; 256]);
        self.digits.clear();
        self.digits.extend((0_u32..).zip(loads).map(|(i, &load)| {
            let digits = ((largest - as_float(load)) >> left_out) as u16;
            low[usize::from(digits & 0xff)] += 1;
            high[usize::from(digits >> 8)] += 1;
            u32::from(digits) << 16 | i
        }));
        // From how many there are of each digit to where the first of it goes.
        let (mut lower, mut higher) = (0, 0);
        for (low, high) in low.iter_mut().zip(&mut high) {
            lower += std::mem::replace(low, lower);
            higher += std::mem::replace(high, higher);
        }
        self.half_sorted.resize(loads.len(), 0);
        for &digits in &self.digits {
            let place = &mut low[(digits >> 16 & 0xff) as usize];
            self.half_sorted[*place as usize] = digits;
            *place += 1;
        }
        self.keys.resize(loads.len(), Key(0));
        for &digits in &self.half_sorted {
            let (place, index) = (&mut high[(digits >> 24) as usize], (digits & 0xffff) as usize);
            self.keys[*place as usize] = Key::new(index, loads[index]);
            *place += 1;
        }
    }
}

/// Sorts keys of which few are out of place, by insertion; gives up if that takes long.
fn insert_in_order(keys: &mut [Key]) -> bool {
    let mut moves = 4 * keys.len();
    for i in 1..keys.len() {
        let key = keys[i];
        let mut to = i;
        while to > 0 && keys[to - 1] > key {
            if moves == 0 {
                keys[to] = key;
                return false;
            }
            keys[to] = keys[to - 1];
            to -= 1;
            moves -= 1;
        }
        keys[to] = key;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{Descending, FEWEST, Key, insert_in_order};
    use crate::problems::SplitMix64;

    /// Loads of `kind`, from ones that digits tell apart to ones that they hardly do.
    fn loads(kind: u64, count: usize) -> Vec<u64> {
        let mut stream = SplitMix64(kind);
        let mut below = |end: u64| stream.below(end);
        let load = |i: usize| match kind % 8 {
            0 => below(1 << 40),
            1 => 1 << below(41),
            2 => (1 << 39) + below(1 << 14),
            3 => below(3),
            4 => (1 << 40) >> (i % 41),
            5 if i == 0 => 1 << 40,
            // A cluster that 16 bits leave one, in descending and ascending order.
            5 => 1 + (count - i) as u64 % 2 * (1 << 30) + (1 << 30) + i as u64,
            6 => i as u64 % 7,
            _ => 5,
        };
        (0..count).map(load).collect()
    }

    #[test]
    fn experts_are_sorted_as_by_the_standard_sort() {
        let mut sort = Descending::default();
        for kind in 0..80 {
            for count in [1, 2, 64, FEWEST - 1, FEWEST, 97, 256, 1000, 1 << 14] {
                let loads = loads(kind, count);
                let mut expected: Vec<usize> = (0..count).collect();
                expected.sort_by_key(|&i| std::cmp::Reverse(loads[i]));
                let sorted = sort.sort(&loads);
                let found = sorted.iter().map(|key| key.index() as usize);
                assert!(found.eq(expected.iter().copied()), "{kind} {count}");
                let found = sorted.iter().map(|key| key.load());
                assert!(found.eq(expected.iter().map(|&i| loads[i])), "{kind} {count}");
            }
        }
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "floats hold loads of up to 2^40 exactly")]
    fn digits_leave_in_their_order_what_they_do_not_tell_apart() {
        let mut sort = Descending::default();
        let mut out_of_order = 0;
        for kind in 0..80 {
            for count in [1, 64, 256, 1000, 1 << 14] {
                let loads = loads(kind, count);
                let bits = |load: u64| ((load | 1) as f64).to_bits();
                let largest = loads.iter().map(|&load| bits(load)).max().unwrap();
                let least = loads.iter().map(|&load| bits(load)).min().unwrap();
                // As few of the last bits are left out as let the rest fit 16.
                let left_out = (0..64).find(|&out| (largest - least) >> out < 1 << 16).unwrap();
                let mut expected: Vec<usize> = (0..count).collect();
                expected.sort_by_key(|&i| (largest - bits(loads[i])) >> left_out);
                sort.by_digits(&loads);
                let found: Vec<usize> = sort.keys.iter().map(|key| key.index() as usize).collect();
                assert_eq!(found, expected, "{kind} {count}");
                assert!(sort.keys.iter().all(|key| key.load() == loads[key.index() as usize]));
                out_of_order += usize::from(!sort.keys.is_sorted());
            }
        }
        assert!(out_of_order > 10, "{out_of_order}");
    }

    /// Keys of which some pairs are in the wrong order: the last `moved` of them come first.
    fn rotated(count: u64, moved: u64) -> Vec<Key> {
        (count - moved..count).chain(0..count - moved).map(Key).collect()
    }

    #[test]
    fn insertion_ends_after_four_moves_a_key() {
        // 8 keys before 8 others are 64 pairs, four a key; 5 before 21 are one more than that.
        for (count, moved, sorted) in [(2, 1, true), (16, 8, true), (26, 5, false), (60, 30, false)]
        {
            let mut keys = rotated(count, moved);
            let pairs = moved * (count - moved);
            assert_eq!(pairs <= 4 * count, sorted, "{pairs} pairs in the wrong order");
            assert_eq!(insert_in_order(&mut keys), sorted, "{count} {moved}");
            assert_eq!(keys.is_sorted(), sorted);
            keys.sort_unstable();
            assert!(keys.into_iter().eq((0..count).map(Key)));
        }
    }
}
