//! A set of small numbers, listed in ascending order.

/// Numbers below a limit, as bits. Listing them takes half the time of sorting.
#[derive(Debug, Default)]
pub(crate) struct IndexSet {
    words: Vec<u64>,
}

impl IndexSet {
    /// The empty set of numbers below `limit`.
    pub(crate) fn clear(&mut self, limit: usize) {
        self.words.clear();
        self.words.resize(limit.div_ceil(64), 0);
    }

    /// Adds a number below the limit.
    #[inline]
    pub(crate) fn insert(&mut self, index: u32) {
        self.words[index as usize / 64] |= 1 << (index % 64);
    }

    /// Appends the numbers to a list, in ascending order.
    pub(crate) fn list(&self, ascending: &mut Vec<u32>) {
        for (first, &word) in (0..).step_by(64).zip(&self.words) {
            let mut bits = word;
            while bits != 0 {
                ascending.push(first + bits.trailing_zeros());
                bits &= bits - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::IndexSet;
    use crate::problems::SplitMix64;

    #[test]
    fn numbers_are_listed_once_in_ascending_order() {
        let (mut stream, mut set) = (SplitMix64(91), IndexSet::default());
        for limit in [1, 63, 64, 65, 200, 1000] {
            let mut expected: Vec<u32> =
                (0..=limit / 3).map(|_| stream.below(limit) as u32).collect();
            set.clear(limit as usize);
            for &index in &expected {
                set.insert(index);
            }
            expected.sort_unstable();
            expected.dedup();
            let mut listed = Vec::new();
            set.list(&mut listed);
            assert_eq!(listed, expected);
        }
    }
}
