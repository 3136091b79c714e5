//! The copies to pack, heaviest first.
//!
//! The order is by packing load, ties by slot before packing: slots 0..n-1 hold the first copies,
//! further ones the appended copies in the order they came.

use std::cmp::Reverse;

use crate::problem::share::packing_load;
use crate::replicate::Replication;

/// One copy of an expert, or one expert group, to be packed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    /// What it adds to its pack.
    pub(crate) load: u64,
    /// Its slot before packing, unique, which decides ties.
    pub(crate) slot: u32,
    /// Index of the expert (or the group).
    pub(crate) expert: u32,
    /// Which copy of the expert it is.
    pub(crate) rank: u32,
}

impl Item {
    /// Whether it is packed before `other`.
    #[inline]
    pub(crate) fn before(&self, other: &Self) -> bool {
        self.load > other.load || (self.load == other.load && self.slot < other.slot)
    }
}

/// The sorted copies, in buffers that are reused from set to set.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// The copies, heaviest first.
    pub(crate) sorted: Vec<Item>,
    /// All copies of the experts that have more than one, heaviest first.
    replicated: Vec<Item>,
    /// Those experts, heaviest copy first: the load of a copy, the position, the number of copies.
    experts: Vec<(u64, u32, u32)>,
    /// Where the next copy of the expert at each position goes in `replicated`.
    next: Vec<u32>,
}

impl Items {
    /// Takes the copies of `replication`, sorted. Time O(n + c log c) for n experts of which the
    /// replicated ones have c copies.
    pub(crate) fn collect(&mut self, replication: &Replication) {
        self.collect_replicated(replication);
        // Experts with one copy are sorted already, by load and index: merge the two.
        let singles = match replication.levels.first() {
            Some(level) if level.count == 1 => level.start..level.end,
            _ => 0..0,
        };
        let experts = &replication.expert[singles.clone()];
        let loads = &replication.load[singles];
        self.sorted.clear();
        let mut merged = 0;
        let single =
            |(&load, &expert)| Item { load: packing_load(load, 1), slot: expert, expert, rank: 0 };
        for &item in &self.replicated {
            // Runs: an element at a time takes twice as long.
            let from = merged;
            while merged < loads.len() && !item.before(&single((&loads[merged], &experts[merged])))
            {
                merged += 1;
            }
            self.sorted.extend(loads[from..merged].iter().zip(&experts[from..merged]).map(single));
            self.sorted.push(item);
        }
        self.sorted.extend(loads[merged..].iter().zip(&experts[merged..]).map(single));
    }

    /// Lists the copies of replicated experts: expert by expert, as if no loads tied, then mends
    /// the order of those that do.
    fn collect_replicated(&mut self, replication: &Replication) {
        self.experts.clear();
        for level in replication.levels.iter().rev().filter(|level| level.count > 1) {
            let positions = level.start as u32..level.end as u32;
            self.experts.extend(positions.map(|position| {
                let load = replication.load[position as usize];
                (packing_load(load, level.count as u64), position, level.count as u32)
            }));
        }
        self.experts.sort_unstable_by_key(|&(load, position, _)| (Reverse(load), position));
        self.next.clear();
        self.next.resize(self.experts.len(), 0);
        self.replicated.clear();
        for &(load, position, count) in &self.experts {
            self.next[position as usize] = self.replicated.len() as u32 + 1;
            let expert = replication.expert[position as usize];
            let copies = (0..count).map(|rank| Item { load, slot: expert, expert, rank });
            self.replicated.extend(copies);
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
