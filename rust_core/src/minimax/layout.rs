//! Where copies are while a plan is being improved.

use super::replicas::{Replica, Replicas};

/// Copies on GPUs. No GPU holds two copies of an expert.
#[derive(Debug, Default, Clone)]
pub(super) struct Layout {
    /// Slots of a GPU.
    pub(super) per_gpu: usize,
    /// Index of the copy in each slot, GPU after GPU; ascending on each, so heaviest first.
    pub(super) slots: Vec<u32>,
    /// Load of each GPU.
    pub(super) load: Vec<u64>,
    /// GPU of each copy.
    pub(super) home: Vec<u32>,
}

/// Loads of GPUs above their indices, in 64 bits: what sorts and compares as one word takes half the
/// time of a pair. Where a load leaves too little room for the index, its lowest bits are left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    left_out: u32,
    index_bits: u32,
}

impl Keys {
    /// Whether keys order GPUs as their loads do.
    pub(super) fn exact(self) -> bool {
        self.left_out == 0
    }

    /// For loads of at most `peak`.
    fn new(peak: u64, gpus: usize) -> Self {
        let index_bits = gpus.next_power_of_two().trailing_zeros();
        Self { left_out: index_bits.saturating_sub(peak.leading_zeros()), index_bits }
    }

    #[inline]
    pub(super) fn key(self, load: u64, gpu: u64) -> u64 {
        load >> self.left_out << self.index_bits | gpu
    }

    #[inline]
    pub(super) fn gpu(self, key: u64) -> usize {
        (key & ((1 << self.index_bits) - 1)) as usize
    }
}

impl Layout {
    /// Keys for its loads.
    pub(super) fn keys(&self) -> Keys {
        Keys::new(self.peak(), self.load.len())
    }

    /// No copies on any GPU yet.
    pub(super) fn clear(&mut self, gpus: usize, slots: usize) {
        self.per_gpu = slots / gpus;
        self.slots.clear();
        self.slots.resize(slots, 0);
        self.load.clear();
        self.load.resize(gpus, 0);
        self.home.clear();
        self.home.resize(slots, 0);
    }

    /// The copies on a GPU.
    #[inline]
    pub(super) fn on(&self, gpu: usize) -> &[u32] {
        &self.slots[gpu * self.per_gpu..][..self.per_gpu]
    }

    /// Whether a GPU holds a copy of the expert of `replica`.
    #[inline]
    pub(super) fn holds(&self, gpu: usize, replica: Replica) -> bool {
        holds(self.on(gpu), replica)
    }

    /// The GPU with the largest load; ties: the lower one.
    #[inline]
    pub(super) fn busiest(&self) -> usize {
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
    pub(super) fn peak(&self) -> u64 {
        self.load.iter().copied().max().unwrap_or(0)
    }

    /// Puts copy `a` where copy `b` is, and the other way round.
    pub(super) fn exchange(&mut self, replicas: &Replicas, a: u32, b: u32) {
        let (from, to) = (self.home[a as usize] as usize, self.home[b as usize] as usize);
        self.replace(replicas, from, a, b);
        self.replace(replicas, to, b, a);
    }

    fn replace(&mut self, replicas: &Replicas, gpu: usize, out: u32, copy: u32) {
        let slots = &mut self.slots[gpu * self.per_gpu..][..self.per_gpu];
        let mut at = slots.partition_point(|&i| i < out);
        while at + 1 < slots.len() && slots[at + 1] < copy {
            slots[at] = slots[at + 1];
            at += 1;
        }
        while at > 0 && slots[at - 1] > copy {
            slots[at] = slots[at - 1];
            at -= 1;
        }
        slots[at] = copy;
        self.home[copy as usize] = gpu as u32;
        let load = &mut self.load[gpu];
        *load = *load + replicas.sorted[copy as usize].load - replicas.sorted[out as usize].load;
    }
}

/// Whether one of `copies` is of the expert of `replica`. GPUs have so few slots that looking at all
/// is faster than a search by halves.
#[inline]
pub(super) fn holds(copies: &[u32], replica: Replica) -> bool {
    copies.iter().any(|&copy| replica.first <= copy && copy < replica.end)
}
