//! Transversal re-matching: the j-th heaviest copies of all GPUs change places among these, the
//! heaviest to the GPU that is lightest without its own. By majorisation no other matching gives a
//! smaller peak or sum of squares.

use super::layout::{Layout, holds};
use super::replicas::Replicas;

/// Re-matches columns of a layout, in buffers that are reused.
#[derive(Debug, Default)]
pub(super) struct Rematch {
    /// Load of each GPU without its copy of the column, and the GPU.
    gpus: Vec<(u64, u32)>,
    /// The copies of the column.
    copies: Vec<u32>,
}

impl Rematch {
    /// Re-matches every column once, and tells whether that changed any GPU's load.
    /// Time O(slots * log GPUs).
    pub(super) fn sweep(
        &mut self,
        replicas: &Replicas,
        layout: &mut Layout,
        trace: &mut impl FnMut(&Layout),
    ) -> bool {
        let mut changed = false;
        for column in 0..layout.per_gpu {
            if self.rematch(column, replicas, layout) {
                changed = true;
                trace(layout);
            }
        }
        changed
    }

    fn rematch(&mut self, column: usize, replicas: &Replicas, layout: &mut Layout) -> bool {
        let load = |copy: u32| replicas.sorted[copy as usize].load;
        let own = layout.slots.chunks_exact(layout.per_gpu).map(|slots| slots[column]);
        self.copies.clear();
        self.copies.extend(own.clone());
        self.copies.sort_unstable();
        self.gpus.clear();
        let without = layout.load.iter().zip(own).map(|(&gpu_load, copy)| gpu_load - load(copy));
        self.gpus.extend(without.zip(0..));
        self.gpus.sort_unstable();
        if !self.part_twins(column, replicas, layout) {
            return false;
        }
        // Without duplicates in the way the matching cannot be worse; with them it can.
        let square = |load: u64| u128::from(load) * u128::from(load);
        let (mut before, mut after) = ((0, 0_u128), (0, 0_u128));
        let mut changed = false;
        for (&(rest, gpu), &copy) in self.gpus.iter().zip(&self.copies) {
            let (old, new) = (layout.load[gpu as usize], rest + load(copy));
            changed |= old != new;
            before = (before.0.max(old), before.1 + square(old));
            after = (after.0.max(new), after.1 + square(new));
        }
        if !changed || after.0 > before.0 || after.1 > before.1 {
            return false;
        }
        for (&(rest, gpu), &copy) in self.gpus.iter().zip(&self.copies) {
            let slots = &mut layout.slots[gpu as usize * layout.per_gpu..][..layout.per_gpu];
            slots[column] = copy;
            let mut at = column;
            while at > 0 && slots[at - 1] > copy {
                slots.swap(at - 1, at);
                at -= 1;
            }
            while at + 1 < slots.len() && slots[at + 1] < copy {
                slots.swap(at, at + 1);
                at += 1;
            }
            layout.load[gpu as usize] = rest + load(copy);
            layout.home[copy as usize] = gpu;
        }
        true
    }

    /// Where a GPU would get a copy of an expert that another of its columns holds, exchanges that
    /// copy with the next one that fits, or else the last before it that fits both ways. Tells
    /// whether no GPU holds an expert twice then.
    fn part_twins(&mut self, column: usize, replicas: &Replicas, layout: &Layout) -> bool {
        let fits = |gpu: u32, copy: u32| {
            let replica = replicas.sorted[copy as usize];
            replica.copies() == 1 || {
                let slots = layout.on(gpu as usize);
                !holds(&slots[..column], replica) && !holds(&slots[column + 1..], replica)
            }
        };
        for i in 0..self.gpus.len() {
            let (gpu, copy) = (self.gpus[i].1, self.copies[i]);
            if fits(gpu, copy) {
                continue;
            }
            let later = (i + 1..self.gpus.len()).find(|&j| fits(gpu, self.copies[j]));
            let fits_both = |&j: &usize| fits(gpu, self.copies[j]) && fits(self.gpus[j].1, copy);
            match later.or_else(|| (0..i).rev().find(fits_both)) {
                Some(j) => self.copies.swap(i, j),
                None => return false,
            }
        }
        true
    }
}
