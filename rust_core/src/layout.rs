//! Where the replicas of a node are while they are placed and moved.

use crate::sorted_replicas::by_expert::{ByExpert, Replica};

/// Replicas on GPUs. A GPU never holds two replicas of one expert.
#[derive(Debug, Default, Clone)]
pub(crate) struct Layout {
    /// Slots of a GPU.
    pub(crate) per_gpu: usize,
    /// Index of the replica in each slot, GPU after GPU; ascending on each GPU, so heaviest first.
    pub(crate) slots: Vec<u32>,
    /// Load of each GPU.
    pub(crate) load: Vec<u64>,
    /// GPU of each replica.
    pub(crate) home: Vec<u32>,
}

impl Layout {
    /// Empty GPUs.
    pub(crate) fn clear(&mut self, gpus: usize, slots: usize) {
        self.per_gpu = slots / gpus;
        self.slots.clear();
        self.slots.resize(slots, 0);
        self.load.clear();
        self.load.resize(gpus, 0);
        self.home.clear();
        self.home.resize(slots, 0);
    }

    /// The replicas on a GPU.
    #[inline]
    pub(crate) fn on(&self, gpu: usize) -> &[u32] {
        &self.slots[gpu * self.per_gpu..][..self.per_gpu]
    }

    #[inline]
    pub(crate) fn on_mut(&mut self, gpu: usize) -> &mut [u32] {
        &mut self.slots[gpu * self.per_gpu..][..self.per_gpu]
    }

    /// Whether a GPU holds a replica of the expert of `replica`.
    #[inline]
    pub(crate) fn holds(&self, gpu: usize, replica: Replica) -> bool {
        holds(self.on(gpu), replica)
    }

    /// The GPU with the largest load; ties: the lower one.
    #[inline]
    pub(crate) fn busiest(&self) -> usize {
        let (mut busiest, mut peak) = (0, 0);
        for (gpu, &load) in self.load.iter().enumerate() {
            if load > peak {
                (busiest, peak) = (gpu, load);
            }
        }
        busiest
    }

    /// The largest load of a GPU.
    #[inline]
    pub(crate) fn peak(&self) -> u64 {
        self.load.iter().copied().max().unwrap_or(0)
    }

    /// Puts replica `a` where replica `b` is, and the other way round.
    pub(crate) fn exchange(&mut self, replicas: &ByExpert, a: u32, b: u32) {
        let (from, to) = (self.home[a as usize] as usize, self.home[b as usize] as usize);
        for (gpu, out, put) in [(from, a, b), (to, b, a)] {
            let slots = self.on_mut(gpu);
            settle(slots, slots.partition_point(|&other| other < out), put);
            self.home[put as usize] = gpu as u32;
            self.load[gpu] = self.load[gpu] - replicas.load(out) + replicas.load(put);
        }
    }
}

/// Puts a replica in the place of the one at `at`, and keeps the order.
#[inline]
pub(crate) fn settle(slots: &mut [u32], mut at: usize, put: u32) {
    while let Some(&next) = slots.get(at + 1).filter(|&&next| next < put) {
        slots[at] = next;
        at += 1;
    }
    while at > 0 && slots[at - 1] > put {
        slots[at] = slots[at - 1];
        at -= 1;
    }
    slots[at] = put;
}

/// Whether one of these replicas is of the expert of `replica`. GPUs have so few slots that looking at
/// all of them is faster than a binary search.
#[inline]
pub(crate) fn holds(replicas: &[u32], replica: Replica) -> bool {
    replicas.iter().any(|&other| replica.first <= other && other < replica.end)
}
