//! The copies to place, heaviest first, the copies of an expert one after another.

use std::cmp::Reverse;

use crate::cost::bounds::crowded;
use crate::problem::share::packing_load;

/// One copy of an expert.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replica {
    /// What it adds to its GPU.
    pub(super) load: u64,
    /// Index of the first copy of its expert.
    pub(super) first: u32,
    /// One past the index of the last copy.
    pub(super) end: u32,
}

impl Replica {
    pub(super) fn copies(self) -> u32 {
        self.end - self.first
    }
}

/// All copies of the experts of a node, in buffers that are reused.
#[derive(Debug, Default, Clone)]
pub(super) struct Replicas {
    /// The copies, heaviest first.
    pub(super) sorted: Vec<Replica>,
    /// Position of the expert of each copy in the order of descending load.
    pub(super) position: Vec<u32>,
    /// The experts with a count of their own, heaviest copy first: load of a copy, position, count.
    experts: Vec<(u64, u32, u32)>,
}

impl Replicas {
    /// What a copy adds to its GPU.
    #[inline]
    pub(super) fn load(&self, copy: u32) -> u64 {
        self.sorted[copy as usize].load
    }

    /// Lists `counts[p]` copies of the expert at each position p, one where `counts` has ended, of
    /// experts with these canonical loads, which descend. Copies of equal load: lower position first.
    pub(super) fn collect(&mut self, load: &[u64], counts: &[u32]) {
        self.experts.clear();
        self.experts.extend(
            (0..)
                .zip(load.iter().zip(counts))
                .map(|(position, (&w, &count))| (packing_load(w, count.into()), position, count)),
        );
        self.experts.sort_unstable_by_key(|&(load, position, _)| (Reverse(load), position));
        self.sorted.clear();
        self.position.clear();
        let singles = &load[counts.len()..];
        let mut merged = 0;
        for i in 0..self.experts.len() {
            let (load, position, count) = self.experts[i];
            // Runs of experts with one copy: an expert at a time takes twice as long.
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

    /// Appends the only copies of experts with these canonical loads, at positions from `position` on.
    fn append_singles(&mut self, loads: &[u64], position: usize) {
        let replica = |(first, &w)| Replica { load: packing_load(w, 1), first, end: first + 1 };
        self.sorted.extend((self.sorted.len() as u32..).zip(loads).map(replica));
        self.position.extend((position as u32..).take(loads.len()));
    }

    /// What some GPU carries at least, whatever way these copies are packed.
    pub(super) fn crowded_bound(&self, gpus: usize) -> u64 {
        crowded(self.sorted.len(), gpus, |i| self.sorted[i].load)
    }
}
