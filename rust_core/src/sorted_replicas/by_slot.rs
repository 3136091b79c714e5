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
        // The single ones go behind as much room as the others take: where they stay, once these are all
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
