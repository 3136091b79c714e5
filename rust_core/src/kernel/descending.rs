//! Experts by descending load, equal loads by ascending index.

/// Experts are at most 2^14: the low bits of a key.
const INDEX_BITS: u32 = 14;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// Fewer experts are sorted faster by the standard sort.
const FEWEST: usize = 96;

/// Loads are sorted by their first bits if their number, times the largest over the mean, is at most
/// this. With more, these bits leave so many equal that insertion takes longer than what they spare.
const MOST_SKEWED: u64 = 1 << 14;

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
/// 16 bits of each load are sorted in two passes of eight bits, which keep the order of equal ones; then
/// insertion sorts the few loads with equal bits. For 256 loads this takes half the time of the standard
/// sort.
///
/// These bits are the first ones of the load. Where they would leave many small loads equal, as the
/// largest is far above the others or as there are many, a load is first written like a float, by
/// exponent and mantissa, so that small loads differ as well as large ones; that takes longer.
#[derive(Debug, Default)]
pub(crate) struct Descending {
    keys: Vec<Key>,
    /// 16 bits of each load, above its index.
    digits: Vec<u32>,
    /// The same after the first pass.
    half_sorted: Vec<u32>,
}

impl Descending {
    /// Lists the experts with these loads, of at most 2^40, heaviest first, and their loads in this
    /// order. Time O(n), at worst O(n log n).
    pub(crate) fn sort(&mut self, loads: &[u64], expert: &mut Vec<u32>, sorted: &mut Vec<u64>) {
        expert.resize(loads.len(), 0);
        sorted.resize(loads.len(), 0);
        if loads.len() >= FEWEST {
            self.by_first_bits(loads, expert);
            if gather_in_order(loads, expert, sorted) {
                return;
            }
        }
        self.keys.clear();
        self.keys.extend(loads.iter().enumerate().map(|(i, &load)| Key::new(i, load)));
        self.keys.sort_unstable();
        for ((key, expert), load) in self.keys.iter().zip(expert).zip(sorted) {
            (*expert, *load) = (key.index(), key.load());
        }
    }

    /// Lists the experts in the order of 16 bits of their loads; equal ones stay in their order.
    fn by_first_bits(&mut self, loads: &[u64], expert: &mut [u32]) {
        // The bits of all loads together have the first bit of the largest one.
        let (all, total) = loads
            .iter()
            .fold((0_u64, 0_u64), |(all, total), &load| (all | load, total.wrapping_add(load)));
        let (bits, count) = (u64::BITS - all.leading_zeros(), loads.len() as u64);
        if (count << bits) / (total + 1) <= MOST_SKEWED / count {
            let left_out = bits.saturating_sub(16);
            self.by_digits(loads, expert, |load| !(load.wrapping_shr(left_out)) as u16);
            return;
        }
        let (least, largest) = loads
            .iter()
            .fold((u64::MAX, 0), |(least, largest), &load| (least.min(load), largest.max(load)));
        let first = descending_float(largest);
        let bits = u64::BITS - descending_float(least).wrapping_sub(first).leading_zeros();
        let left_out = bits.saturating_sub(16);
        self.by_digits(loads, expert, |load| {
            descending_float(load).wrapping_sub(first).wrapping_shr(left_out) as u16
        });
    }

    /// Lists the experts by two ascending digits each.
    ///
    /// The sums wrap only in name, which spares a check each: counts and places are at most 2^14.
    #[inline]
    fn by_digits(&mut self, loads: &[u64], expert: &mut [u32], digits_of: impl Fn(u64) -> u16) {
        let (mut low, mut high) = ([0_u32; 256], [0_u32; 256]);
        self.digits.clear();
        self.digits.extend(loads.iter().enumerate().map(|(i, &load)| {
            let digits = digits_of(load);
            add_one(&mut low[usize::from(digits & 0xff)]);
            add_one(&mut high[usize::from(digits >> 8)]);
            u32::from(digits) << 16 | i as u32
        }));
        // From how many there are of each digit to where the first of it goes.
        let (mut lower, mut higher) = (0_u32, 0_u32);
        for (low, high) in low.iter_mut().zip(&mut high) {
            lower = lower.wrapping_add(std::mem::replace(low, lower));
            higher = higher.wrapping_add(std::mem::replace(high, higher));
        }
        self.half_sorted.resize(loads.len(), 0);
        for &digits in &self.digits {
            let place = add_one(&mut low[(digits >> 16 & 0xff) as usize]);
            self.half_sorted[place] = digits;
        }
        for &digits in &self.half_sorted {
            let place = add_one(&mut high[(digits >> 24) as usize]);
            expert[place] = digits & 0xffff;
        }
    }
}

/// Ascends where loads descend, by as much as the bits of floats do, but for where it begins. The last
/// bit of a load stands for 0. Differences are taken modulo 2^64.
#[inline]
fn descending_float(load: u64) -> u64 {
    let zeros = (load | 1).leading_zeros();
    // The first bit of the mantissa is 1, and counts for the exponent.
    let mantissa = (load | 1).wrapping_shl(zeros) >> 11;
    (u64::from(zeros) << 52).wrapping_sub(mantissa)
}

/// Counts one more and returns the old count.
#[inline]
fn add_one(count: &mut u32) -> usize {
    let old = *count;
    *count = old.wrapping_add(1);
    old as usize
}

/// Lists the loads of experts of which few are out of place, and sorts both by insertion, equal loads as
/// they come; gives up if that takes long.
#[inline]
fn gather_in_order(loads: &[u64], expert: &mut [u32], sorted: &mut [u64]) -> bool {
    let sorted = &mut sorted[..expert.len()];
    let (mut moves, mut least) = (4 * expert.len(), u64::MAX);
    for i in 0..expert.len() {
        let load = loads[expert[i] as usize];
        sorted[i] = load;
        if load > least {
            moves = match moves.checked_sub(insert_last(&mut expert[..=i], &mut sorted[..=i])) {
                Some(left) => left,
                None => return false,
            };
        } else {
            least = load;
        }
    }
    true
}

/// Moves the last one before all lighter ones, and tells how many these are. There is no more than one
/// most of the time.
#[cold]
fn insert_last(expert: &mut [u32], sorted: &mut [u64]) -> usize {
    let last = sorted.len() - 1;
    let mut to = last;
    while to > 0 && sorted[to - 1] < sorted[to] {
        sorted.swap(to - 1, to);
        expert.swap(to - 1, to);
        to -= 1;
    }
    last - to
}

#[cfg(test)]
mod tests {
    use super::{Descending, FEWEST, gather_in_order};
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
        let (mut expert, mut sorted) = (Vec::new(), Vec::new());
        for kind in 0..80 {
            for count in [1, 2, 64, FEWEST - 1, FEWEST, 97, 256, 1000, 1 << 14] {
                let loads = loads(kind, count);
                let mut expected: Vec<usize> = (0..count).collect();
                expected.sort_by_key(|&i| std::cmp::Reverse(loads[i]));
                sort.sort(&loads, &mut expert, &mut sorted);
                let found = expert.iter().map(|&i| i as usize);
                assert!(found.eq(expected.iter().copied()), "{kind} {count}");
                assert!(sorted.iter().eq(expected.iter().map(|&i| &loads[i])), "{kind} {count}");
            }
        }
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "floats hold loads of up to 2^40 exactly")]
    fn sixteen_bits_leave_in_their_order_what_they_do_not_tell_apart() {
        let mut sort = Descending::default();
        let (mut as_they_are, mut as_floats) = (0, 0);
        for kind in 0..80 {
            for count in [1, 64, 256, 1000, 1 << 14] {
                let loads = loads(kind, count);
                // As few of the last bits are left out as let the rest fit 16.
                let in_order = |bits: &dyn Fn(u64) -> u64| {
                    let largest = loads.iter().map(|&load| bits(load)).max().unwrap();
                    let least = loads.iter().map(|&load| bits(load)).min().unwrap();
                    let left_out = (0..64).find(|&out| (largest - least) >> out < 1 << 16).unwrap();
                    let mut expected: Vec<u32> = (0..count as u32).collect();
                    expected.sort_by_key(|&i| (largest - bits(loads[i as usize])) >> left_out);
                    expected
                };
                let mut expert = vec![0; count];
                sort.by_first_bits(&loads, &mut expert);
                let even = {
                    let bits = u64::BITS - loads.iter().max().unwrap().leading_zeros();
                    let mut expected: Vec<u32> = (0..count as u32).collect();
                    let left_out = bits.saturating_sub(16);
                    expected.sort_by_key(|&i| std::cmp::Reverse(loads[i as usize] >> left_out));
                    expected
                };
                let floats = in_order(&|load| ((load | 1) as f64).to_bits());
                as_they_are += usize::from(expert == even && even != floats);
                as_floats += usize::from(expert == floats && even != floats);
                assert!(expert == even || expert == floats, "{kind} {count}");
            }
        }
        assert!(as_they_are > 10 && as_floats > 10, "{as_they_are} {as_floats}");
    }

    #[test]
    fn insertion_ends_after_four_moves_an_expert() {
        // 8 loads before 8 others are 63 pairs, two being equal; 5 before 21 are 105, one too many.
        for (count, moved, ends) in [(2, 1, true), (16, 8, true), (26, 5, false), (60, 30, false)] {
            // Each load is there twice.
            let loads: Vec<u64> = (0..count).map(|i| (count - i) / 2).collect();
            // Of loads that descend, the last `moved` come first.
            let order = || (count - moved..count).chain(0..count - moved);
            let mut expert: Vec<u32> = order().map(|i| i as u32).collect();
            let before: Vec<u64> = order().map(|i| loads[i as usize]).collect();
            let mut expected: Vec<(u64, u32)> =
                before.iter().copied().zip(expert.clone()).collect();
            expected.sort_by_key(|&(load, _)| std::cmp::Reverse(load));
            let pairs = (0..before.len())
                .map(|i| before[..i].iter().filter(|&&load| load < before[i]).count())
                .sum::<usize>();
            assert_eq!(pairs <= 4 * before.len(), ends, "{pairs} pairs in the wrong order");
            let mut sorted = vec![0; before.len()];
            assert_eq!(gather_in_order(&loads, &mut expert, &mut sorted), ends, "{count} {moved}");
            if ends {
                assert!(sorted.into_iter().zip(expert).eq(expected));
            }
        }
    }
}
