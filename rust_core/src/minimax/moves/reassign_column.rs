//! Reassigned columns: column j has the j-th heaviest replica of every GPU. These replicas change
//! places, the heaviest to the GPU that is lightest without its own. By majorisation no other
//! assignment gives a smaller peak or sum of squares.

use crate::kernel::index_set::IndexSet;
use crate::kernel::load_keys::LoadKeys;
use crate::layout::{Layout, holds, settle};
use crate::sorted_replicas::by_expert::ByExpert;

/// Reassigns columns of a layout, in buffers that are reused.
#[derive(Debug, Default)]
pub(crate) struct ReassignColumn {
    /// Load of each GPU without its replica of the column, and the GPU, in a key.
    gpus: Vec<u64>,
    /// The replicas of the column, as a set.
    set: IndexSet,
    /// The replica for each of `gpus`.
    column: Vec<u32>,
}

/// What a reassignment must not raise.
#[derive(Default, PartialEq, Eq)]
struct Unevenness {
    peak: u64,
    squares: u128,
}

impl Unevenness {
    fn add(&mut self, load: u64) {
        self.peak = self.peak.max(load);
        self.squares += u128::from(load) * u128::from(load);
    }
}

impl ReassignColumn {
    /// Reassigns every column once, and tells whether that changed any GPU's load.
    /// Time O(slots * log GPUs).
    pub(crate) fn sweep(
        &mut self,
        replicas: &ByExpert,
        layout: &mut Layout,
        probe: &mut impl FnMut(&Layout),
    ) -> bool {
        let mut changed = false;
        for column in 0..layout.per_gpu {
            if self.reassign(column, replicas, layout) {
                changed = true;
                probe(layout);
            }
        }
        changed
    }

    fn reassign(&mut self, column: usize, replicas: &ByExpert, layout: &mut Layout) -> bool {
        let keys = LoadKeys::new(layout.peak(), layout.load.len());
        self.sort(column, keys, replicas, layout);
        let separated = self.separate_duplicates(column, keys, replicas, layout);
        // What sorting alone has assigned cannot be worse.
        let better = separated.is_some_and(|separated| {
            !separated && keys.exact() || self.improves(column, keys, replicas, layout)
        });
        if !better {
            return false;
        }
        let mut changed = false;
        for (&key, &new) in self.gpus.iter().zip(&self.column) {
            let gpu = keys.index(key);
            let slots = layout.on_mut(gpu);
            let (old_load, new_load) = (replicas.load(slots[column]), replicas.load(new));
            changed |= old_load != new_load;
            settle(slots, column, new);
            layout.home[new as usize] = gpu as u32;
            layout.load[gpu] = layout.load[gpu] - old_load + new_load;
        }
        changed
    }

    /// Lists the replicas of a column, heaviest first, and the GPUs, the lightest without its own first.
    fn sort(&mut self, column: usize, keys: LoadKeys, replicas: &ByExpert, layout: &Layout) {
        self.set.clear(layout.slots.len());
        self.gpus.clear();
        let loads = layout.load.iter().zip(layout.slots.chunks_exact(layout.per_gpu));
        self.gpus.extend(loads.enumerate().map(|(gpu, (&load, slots))| {
            let own = slots[column];
            self.set.insert(own);
            keys.key(load - replicas.load(own), gpu as u64)
        }));
        self.gpus.sort_unstable();
        self.column.clear();
        self.set.list(&mut self.column);
    }

    /// Whether the assignment changes a load, and raises neither the peak nor the sum of squares. It can
    /// raise them if duplicates had to be separated, or if keys leave out bits of loads.
    fn improves(
        &self,
        column: usize,
        keys: LoadKeys,
        replicas: &ByExpert,
        layout: &Layout,
    ) -> bool {
        let (mut before, mut after) = (Unevenness::default(), Unevenness::default());
        for (&key, &new) in self.gpus.iter().zip(&self.column) {
            let gpu = keys.index(key);
            let (load, own) = (layout.load[gpu], layout.on(gpu)[column]);
            before.add(load);
            after.add(load - replicas.load(own) + replicas.load(new));
        }
        before != after && after.peak <= before.peak && after.squares <= before.squares
    }

    /// If a GPU would get a replica of an expert that it holds in another column, exchanges that replica
    /// with the next one that fits, or else with the last before it if both fit. Tells whether there
    /// were such replicas; `None` if some GPU still would hold an expert twice.
    fn separate_duplicates(
        &mut self,
        column: usize,
        keys: LoadKeys,
        replicas: &ByExpert,
        layout: &Layout,
    ) -> Option<bool> {
        let fits = |key: u64, new: u32| {
            let replica = replicas.sorted[new as usize];
            replica.count() == 1 || {
                let slots = layout.on(keys.index(key));
                !holds(&slots[..column], replica) && !holds(&slots[column + 1..], replica)
            }
        };
        let mut separated = false;
        for i in 0..self.gpus.len() {
            let (key, new) = (self.gpus[i], self.column[i]);
            // Most experts have one replica; they are told here, as `fits` is not inlined.
            if replicas.sorted[new as usize].count() == 1 || fits(key, new) {
                continue;
            }
            let later = (i + 1..self.gpus.len()).find(|&j| fits(key, self.column[j]));
            let fits_both = |&j: &usize| fits(key, self.column[j]) && fits(self.gpus[j], new);
            let other = later.or_else(|| (0..i).rev().find(fits_both))?;
            self.column.swap(i, other);
            separated = true;
        }
        Some(separated)
    }
}
