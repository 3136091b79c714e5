//! The copies to pack, heaviest first.
//!
//! The order is by packing load, ties by slot before packing: slots 0..n-1 hold the first copies,
//! further ones the appended copies in the order they came.

use crate::replicate::Replication;
use crate::share::packing_load;

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
    /// All copies of the experts that have more than one.
    replicated: Vec<Item>,
}

impl Items {
    /// Takes the copies of `replication`, sorted. Time O(n + c log c) for n experts of which the
    /// replicated ones have c copies.
    pub(crate) fn collect(&mut self, replication: &Replication) {
        self.collect_replicated(replication);
        self.replicated
            .sort_unstable_by_key(|item| (std::cmp::Reverse(item.load), item.slot));
        // Experts with one copy are sorted already, by load and index: merge the two.
        let singles = match replication.levels.first() {
            Some(level) if level.count == 1 => level.start..level.end,
            _ => 0..0,
        };
        let mut replicated = self.replicated.iter().peekable();
        self.sorted.clear();
        for position in singles {
            let expert = replication.expert[position];
            let load = packing_load(replication.load[position], 1);
            let single = Item {
                load,
                slot: expert,
                expert,
                rank: 0,
            };
            while let Some(item) = replicated.next_if(|item| item.before(&single)) {
                self.sorted.push(*item);
            }
            self.sorted.push(single);
        }
        self.sorted.extend(replicated);
    }

    fn collect_replicated(&mut self, replication: &Replication) {
        self.replicated.clear();
        for level in replication
            .levels
            .iter()
            .rev()
            .filter(|level| level.count > 1)
        {
            for position in level.start..level.end {
                let expert = replication.expert[position];
                let load = packing_load(replication.load[position], level.count as u64);
                self.replicated.push(Item {
                    load,
                    slot: expert,
                    expert,
                    rank: 0,
                });
            }
        }
        // Positions of replicated experts are 0.., so the first copies stand at their positions,
        // and can count the copies of their expert that have come.
        let experts = self.replicated.len();
        for (slot, &position) in (replication.expert.len() as u32..).zip(&replication.appended) {
            let first = &mut self.replicated[position as usize];
            first.rank += 1;
            let copy = Item { slot, ..*first };
            self.replicated.push(copy);
        }
        for first in &mut self.replicated[..experts] {
            first.rank = 0;
        }
    }
}
