//! The order of the published policies: equal loads by slot before packing. Slots 0..n-1 hold the first
//! replica of each expert, further slots the appended replicas in the order in which they came.

use std::hint::select_unpredictable;

use super::{Replicated, sort};
use crate::problem::share::packing_load;
use crate::replicate::Replication;

/// One replica of an expert, or one expert group, to be packed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    /// What it adds to its bin.
    pub(crate) load: u64,
    /// Its slot before packing, which is unique and decides ties.
    pub(crate) slot: u32,
    /// Index of the expert (or the group).
    pub(crate) expert: u32,
    /// Which replica of the expert it is.
    pub(crate) rank: u32,
}

impl Item {
    /// Whether it is packed before `other`.
    #[inline]
    pub(crate) fn before(&self, other: &Self) -> bool {
        self.load > other.load || (self.load == other.load && self.slot < other.slot)
    }
}

/// All replicas of a set of experts, in buffers that are reused from set to set.
#[derive(Debug, Default)]
pub(crate) struct BySlot {
    /// The replicas, heaviest first; ties: the lower slot.
    pub(crate) sorted: Vec<Item>,
    /// Those of experts that have more than one.
    replicated: Vec<Item>,
    /// These experts.
    experts: Vec<Replicated>,
    /// Where the next replica of the expert at each position goes in `replicated`.
    next: Vec<u32>,
}

impl BySlot {
    /// Lists the replicas of `replication`. Time O(n + r log r) for n experts, if the replicated
    /// ones have r replicas.
    pub(crate) fn collect(&mut self, replication: &Replication) {
        self.collect_replicated(replication);
        // Experts with one replica are sorted already, by load and index: merge the two lists.
        let singles = match replication.levels.first() {
            Some(level) if level.count == 1 => level.start..level.end,
            _ => 0..0,
        };
        let experts = &replication.expert[singles.clone()];
        let loads = &replication.load[singles];
        let single =
            |(&load, &expert)| Item { load: packing_load(load, 1), slot: expert, expert, rank: 0 };
        // Single ones lie behind as much room as the others take: there they stay, once all others are
        // before them.
        self.sorted.clear();
        self.sorted.extend_from_slice(&self.replicated);
        self.sorted.extend(loads.iter().zip(experts).map(single));
        let (mut place, mut next, mut single) = (0, 0, self.replicated.len());
        while let (Some(item), Some(other)) = (self.replicated.get(next), self.sorted.get(single)) {
            let first = item.before(other);
            self.sorted[place] = *select_unpredictable(first, item, other);
            next += usize::from(first);
            single += usize::from(!first);
            place += 1;
        }
        // No more than these are left.
        let left = self.replicated.len() - next;
        self.sorted[place..][..left].copy_from_slice(&self.replicated[next..]);
    }

    /// Lists the replicas of replicated experts: expert by expert, as if no two loads were equal, then
    /// sorts those of equal load by slot.
    fn collect_replicated(&mut self, replication: &Replication) {
        self.experts.clear();
        for level in replication.levels.iter().rev().filter(|level| level.count > 1) {
            let positions = level.start as u32..level.end as u32;
            self.experts.extend(positions.map(|position| {
                let load = replication.load[position as usize];
                Replicated::new(load, position, level.count as u32)
            }));
        }
        sort(&mut self.experts);
        self.next.clear();
        self.next.resize(self.experts.len(), 0);
        self.replicated.clear();
        for &Replicated { load, position, count } in &self.experts {
            self.next[position as usize] = self.replicated.len() as u32 + 1;
            let expert = replication.expert[position as usize];
            let item = |rank| Item { load, slot: expert, expert, rank };
            self.replicated.extend((0..count).map(item));
        }
        for (slot, &position) in (replication.expert.len() as u32..).zip(&replication.appended) {
            let next = &mut self.next[position as usize];
            self.replicated[*next as usize].slot = slot;
            *next += 1;
        }
        for tied in self.replicated.chunk_by_mut(|a, b| a.load == b.load) {
            if tied[0].expert != tied[tied.len() - 1].expert {
                tied.sort_unstable_by_key(|item| item.slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::probe::Silent;
    use crate::problems::SplitMix64;

    #[test]
    fn replicas_are_sorted_by_load_then_slot() {
        let (mut replication, mut replicas) = (Replication::default(), BySlot::default());
        for kind in 0..120 {
            let mut stream = SplitMix64(kind);
            let experts = 1 + stream.below(200) as usize;
            let redundant = stream.below(2 * experts as u64) as usize;
            // Many ties, zeros, one expert that gets most, the largest loads.
            let largest = [1, 3, 50, 1 << 30, 1 << 40][kind as usize % 5];
            let mut loads: Vec<u64> = (0..experts).map(|_| stream.below(largest + 1)).collect();
            if kind % 3 == 0 {
                loads[0] = 1 << 40;
            }
            replication.start(&loads);
            replication.append_adams(redundant, &mut Silent);
            replicas.collect(&replication);

            let appended = replication.appended.iter().map(|&i| replication.expert[i as usize]);
            let slots: Vec<u32> = (0..experts as u32).chain(appended).collect();
            let count = |of: &[u32], expert| of.iter().filter(|&&other| other == expert).count();
            let mut expected: Vec<_> = (0..slots.len())
                .map(|slot| {
                    let expert = slots[slot];
                    let count_of_all = count(&slots, expert) as u64;
                    let load = packing_load(loads[expert as usize], count_of_all);
                    (std::cmp::Reverse(load), slot as u32, expert, count(&slots[..slot], expert))
                })
                .collect();
            expected.sort_unstable();
            let found = replicas.sorted.iter().map(|item| {
                (std::cmp::Reverse(item.load), item.slot, item.expert, item.rank as usize)
            });
            assert!(found.eq(expected), "{kind}");
        }
    }
}
