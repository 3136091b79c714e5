//! Where the replicas of a zone are while they are placed and moved, on GPUs with different numbers of
//! slots.

use std::cmp::Reverse;

use super::gpus::Gpus;
use crate::problem::share::packing_load;

/// Experts in slots, by their position in the order of descending load. No GPU holds one twice.
#[derive(Debug, Default, Clone)]
pub(super) struct Layout {
    /// The expert in each slot; on each GPU the one with the heaviest replicas first, ties: the lower
    /// position.
    pub(super) slots: Vec<u32>,
    /// Load of each GPU.
    pub(super) load: Vec<u64>,
    /// Replicas of each expert, and the load of one.
    pub(super) count: Vec<u32>,
    pub(super) share: Vec<u64>,
}

impl Layout {
    /// Empty GPUs, for experts of these canonical loads with so many replicas each, and one for each
    /// expert after the end of `counts`.
    pub(super) fn clear(&mut self, gpus: &Gpus, loads: &[u64], counts: &[u32]) {
        self.slots.clear();
        self.slots.resize(gpus.num_slots(), 0);
        self.load.clear();
        self.load.resize(gpus.len(), 0);
        self.count.clear();
        self.count.extend_from_slice(counts);
        self.count.resize(loads.len(), 1);
        self.share.clear();
        let share = |(&load, &count): (&u64, &u32)| packing_load(load, count.into());
        self.share.extend(loads.iter().zip(&self.count).map(share));
    }

    /// The experts on a GPU.
    #[inline]
    pub(super) fn on(&self, gpus: &Gpus, gpu: usize) -> &[u32] {
        &self.slots[gpus.slots(gpu)]
    }

    #[inline]
    pub(super) fn share(&self, expert: u32) -> u64 {
        self.share[expert as usize]
    }

    /// Whether an expert is on a GPU; `held` are those that are, `elsewhere` one that is on another GPU.
    #[inline]
    pub(super) fn is_on(&self, held: &[u32], elsewhere: u32) -> bool {
        self.count[elsewhere as usize] > 1 && held.contains(&elsewhere)
    }

    /// The GPU that takes longest; ties: the lower one.
    #[inline]
    pub(super) fn busiest(&self, gpus: &Gpus) -> usize {
        (1..self.load.len()).fold(0, |busiest, gpu| {
            let than = (busiest, self.load[busiest]);
            if gpus.is_longer((gpu, self.load[gpu]), than) { gpu } else { busiest }
        })
    }

    /// The time of the GPU that takes longest.
    pub(super) fn peak(&self, gpus: &Gpus) -> u64 {
        let busiest = self.busiest(gpus);
        gpus.time(busiest, self.load[busiest])
    }

    /// How many GPUs take as long as the one that takes longest, `peak`.
    pub(super) fn at_peak(&self, gpus: &Gpus, peak: u64) -> usize {
        self.load.iter().enumerate().filter(|&(gpu, &load)| gpus.time(gpu, load) == peak).count()
    }

    /// Puts the first so many experts on a GPU in order.
    pub(super) fn sort_held(&mut self, gpus: &Gpus, gpu: usize, held: usize) {
        let share = &self.share;
        let order = |&expert: &u32| (Reverse(share[expert as usize]), expert);
        self.slots[gpus.slots(gpu)][..held].sort_unstable_by_key(order);
    }

    /// Expert `a` of one GPU and `b` of another change places.
    pub(super) fn exchange(
        &mut self,
        gpus: &Gpus,
        (one, a): (usize, u32),
        (other, b): (usize, u32),
    ) {
        for (gpu, out, put) in [(one, a, b), (other, b, a)] {
            self.put(gpus, gpu, out, put);
            self.load[gpu] = self.load[gpu] - self.share(out) + self.share(put);
        }
    }

    /// Expert `put` in the slot of `out`, in order.
    fn put(&mut self, gpus: &Gpus, gpu: usize, out: u32, put: u32) {
        let slots = &mut self.slots[gpus.slots(gpu)];
        let Some(mut at) = slots.iter().position(|&held| held == out) else { return };
        let key = |expert: u32| (Reverse(self.share[expert as usize]), expert);
        let own = key(put);
        while let Some(&next) = slots.get(at + 1).filter(|&&next| key(next) < own) {
            slots[at] = next;
            at += 1;
        }
        while at > 0 && key(slots[at - 1]) > own {
            slots[at] = slots[at - 1];
            at -= 1;
        }
        slots[at] = put;
    }

    /// The slot of `donor` on a GPU gets a replica of `receiver`; the shares of both change wherever they
    /// are. `loads` are the canonical loads.
    pub(super) fn reassign(
        &mut self,
        gpus: &Gpus,
        loads: &[u64],
        gpu: usize,
        donor: u32,
        receiver: u32,
    ) {
        self.count[donor as usize] -= 1;
        self.count[receiver as usize] += 1;
        for expert in [donor, receiver] {
            let at = expert as usize;
            self.share[at] = packing_load(loads[at], self.count[at].into());
        }
        let slots = &mut self.slots[gpus.slots(gpu)];
        if let Some(slot) = slots.iter_mut().find(|held| **held == donor) {
            *slot = receiver;
        }
        for gpu in 0..gpus.len() {
            if self.on(gpus, gpu).iter().any(|&held| held == donor || held == receiver) {
                self.sort_held(gpus, gpu, gpus.slots(gpu).len());
                self.load[gpu] = self.on(gpus, gpu).iter().map(|&held| self.share(held)).sum();
            }
        }
    }
}
