//! The initial placement: experts by the load of a replica, heaviest first, each replica to the GPU with
//! room that has done soonest with it.

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::gpus::Gpus;
use super::layout::Layout;

/// Places replicas, in buffers that are reused.
#[derive(Debug, Default)]
pub(super) struct Placer {
    /// Experts, those with the heaviest replicas first.
    order: Vec<u32>,
    /// Slots of each GPU that are filled.
    filled: Vec<usize>,
    /// GPUs with room.
    open: Vec<u32>,
}

impl Placer {
    /// Puts every replica on a GPU; counts fit in the room of the GPUs.
    /// Time O(slots * GPUs), and O(experts * GPUs) for each replica that another one makes way for.
    pub(super) fn place(&mut self, gpus: &Gpus, layout: &mut Layout) {
        let share = &layout.share;
        self.order.clear();
        self.order.extend(0..share.len() as u32);
        self.order.sort_by_key(|&expert| Reverse(share[expert as usize]));
        self.filled.clear();
        self.filled.resize(gpus.len(), 0);
        self.open.clear();
        self.open.extend(0..gpus.len() as u32);
        for i in 0..self.order.len() {
            let expert = self.order[i];
            for _ in 0..layout.count[expert as usize] {
                match self.soonest(gpus, layout, expert) {
                    Some(gpu) => self.fill(gpus, layout, gpu, expert),
                    None => self.make_way(gpus, layout, expert),
                }
            }
        }
    }

    /// The GPU with room and without the expert that has done soonest with it; ties: the lower one.
    fn soonest(&self, gpus: &Gpus, layout: &Layout, expert: u32) -> Option<usize> {
        let share = layout.share(expert);
        let several = layout.count[expert as usize] > 1;
        let mut best = None;
        let mut least = u64::MAX;
        for &gpu in &self.open {
            let gpu = gpu as usize;
            let time = gpus.rough_time(gpu, layout.load[gpu] + share);
            if time < least && !(several && self.held(gpus, layout, gpu).contains(&expert)) {
                (best, least) = (Some(gpu), time);
            }
        }
        best
    }

    fn held<'a>(&self, gpus: &Gpus, layout: &'a Layout, gpu: usize) -> &'a [u32] {
        &layout.on(gpus, gpu)[..self.filled[gpu]]
    }

    fn fill(&mut self, gpus: &Gpus, layout: &mut Layout, gpu: usize, expert: u32) {
        let slots = gpus.slots(gpu);
        layout.slots[slots.start + self.filled[gpu]] = expert;
        layout.load[gpu] += layout.share(expert);
        self.filled[gpu] += 1;
        if self.filled[gpu] == slots.len() {
            self.open.retain(|&open| open as usize != gpu);
        }
    }

    /// Places a replica if all GPUs with room hold its expert: another replica makes way for it and goes
    /// to another GPU, where one more may have to make way, and so on: the shortest such path. There is
    /// one, as counts fit in the room: without one, the experts reached would fill all the room that
    /// there is for them.
    fn make_way(&mut self, gpus: &Gpus, layout: &mut Layout, expert: u32) {
        let mut reached_by = vec![None; gpus.len()];
        // The GPU from which an expert makes way.
        let mut leaves = vec![None; layout.count.len()];
        let mut queue = VecDeque::from([expert]);
        let roomy = loop {
            let mover = queue.pop_front().expect("counts fit in the room of the GPUs");
            let fits = |&gpu: &usize| {
                reached_by[gpu].is_none() && !self.held(gpus, layout, gpu).contains(&mover)
            };
            let reached: Vec<usize> = (0..gpus.len()).filter(fits).collect();
            for &gpu in &reached {
                reached_by[gpu] = Some(mover);
            }
            let roomy = |&&gpu: &&usize| self.filled[gpu] < gpus.slots(gpu).len();
            if let Some(&gpu) = reached.iter().find(roomy) {
                break gpu;
            }
            for gpu in reached {
                for &held in self.held(gpus, layout, gpu) {
                    if held != expert && leaves[held as usize].is_none() {
                        leaves[held as usize] = Some(gpu);
                        queue.push_back(held);
                    }
                }
            }
        };
        // Back along the path: each replica takes the slot of the next one.
        let mut mover = reached_by[roomy].unwrap_or(expert);
        self.fill(gpus, layout, roomy, mover);
        while let Some(gpu) = leaves[mover as usize].filter(|_| mover != expert) {
            let next = reached_by[gpu].unwrap_or(expert);
            let slots = &mut layout.slots[gpus.slots(gpu)];
            if let Some(slot) = slots.iter_mut().find(|held| **held == mover) {
                *slot = next;
            }
            layout.load[gpu] = layout.load[gpu] - layout.share(mover) + layout.share(next);
            layout.sort_held(gpus, gpu, self.filled[gpu]);
            mover = next;
        }
        layout.sort_held(gpus, roomy, self.filled[roomy]);
    }
}
