//! The order of `minimax`: equal loads by expert, so that the replicas of an expert follow one another.

use super::{Replicated, sort};
use crate::problem::ratio::common_divisor;
use crate::problem::share::packing_load;

/// One replica of an expert.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replica {
    /// What it adds to its GPU.
    pub(crate) load: u64,
    /// Index of the first replica of its expert.
    pub(crate) first: u32,
    /// One past the index of the last one.
    pub(crate) end: u32,
}

impl Replica {
    /// Number of replicas of its expert.
    #[inline]
    pub(crate) fn count(self) -> u32 {
        self.end - self.first
    }
}

/// All replicas of the experts of a node, in buffers that are reused.
#[derive(Debug, Default, Clone)]
pub(crate) struct ByExpert {
    /// The replicas, heaviest first; ties: the expert at the lower position.
    pub(crate) sorted: Vec<Replica>,
    /// Position of the expert of each replica in the order of descending load.
    pub(crate) position: Vec<u32>,
    /// The experts with a count of their own.
    experts: Vec<Replicated>,
}

impl ByExpert {
    /// What a replica adds to its GPU.
    #[inline]
    pub(crate) fn load(&self, replica: u32) -> u64 {
        self.sorted[replica as usize].load
    }

    /// What divides the loads of all replicas, or 1 if that is less than `least`. Loads of few tokens
    /// have a large divisor. Time O(replicas), and less for other loads.
    pub(crate) fn common_divisor(&self, least: u64) -> u64 {
        let loads = self.sorted.iter().map(|replica| replica.load);
        common_divisor(loads, least).map_or(1, |divisor| divisor.max(1))
    }

    /// Lists `counts[p]` replicas of the expert at each position p, and one replica of each expert after
    /// the end of `counts`. The canonical loads of the experts descend.
    pub(crate) fn collect(&mut self, load: &[u64], counts: &[u32]) {
        self.experts.clear();
        self.experts.extend(
            (0..)
                .zip(load.iter().zip(counts))
                .map(|(position, (&w, &count))| Replicated::new(w, position, count)),
        );
        sort(&mut self.experts);
        self.sorted.clear();
        self.position.clear();
        let singles = &load[counts.len()..];
        let mut merged = 0;
        for i in 0..self.experts.len() {
            let Replicated { load, position, count } = self.experts[i];
            // Run by run of experts with one replica: an expert at a time takes twice as long.
            let lighter = singles[merged..].iter().position(|&w| packing_load(w, 1) <= load);
            let to = lighter.map_or(singles.len(), |run| merged + run);
            self.append_singles(&singles[merged..to], counts.len() + merged);
            merged = to;
            let first = self.sorted.len() as u32;
            let replica = Replica { load, first, end: first + count };
            self.sorted.extend(std::iter::repeat_n(replica, count as usize));
            self.position.extend(std::iter::repeat_n(position, count as usize));
        }
        self.append_singles(&singles[merged..], counts.len() + merged);
    }

    /// Appends experts of one replica with these canonical loads, at positions from `position` on.
    fn append_singles(&mut self, loads: &[u64], position: usize) {
        let replica = |(first, &w)| Replica { load: packing_load(w, 1), first, end: first + 1 };
        self.sorted.extend((self.sorted.len() as u32..).zip(loads).map(replica));
        self.position.extend((position as u32..).take(loads.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_divisor_is_the_largest_that_leaves_nothing() {
        for (load, counts, unit) in [
            (&[12, 8, 4][..], &[2, 1, 1][..], packing_load(2, 1)),
            (&[12, 8, 4], &[3, 1, 1], packing_load(4, 1)),
            (&[3, 1, 0], &[2, 1, 1], packing_load(1, 2)),
            (&[0, 0], &[1, 1], 1),
        ] {
            let mut replicas = ByExpert::default();
            replicas.collect(load, counts);
            assert_eq!(replicas.common_divisor(0), unit, "{load:?}");
            assert!(replicas.sorted.iter().all(|replica| replica.load % unit == 0));
            assert_eq!(replicas.common_divisor(unit), unit);
            assert_eq!(replicas.common_divisor(unit + 1), 1, "one that is too small is none");
        }
    }
}
