//! Load moves from GPUs that have too much to GPUs that have room, along the experts that they share,
//! by Dinic's method for maximum flows.

use crate::split::sharing::{Holding, Sharing};

const UNSEEN: u32 = u32::MAX;

/// The load of shared experts on each of their GPUs, in any unit.
#[derive(Debug)]
pub(super) struct Flow<'a> {
    sharing: &'a Sharing,
    /// Of each holding.
    pub(super) load: Vec<u128>,
    pub(super) gpu_load: Vec<u128>,
    /// What a GPU may carry.
    most: Vec<u128>,
    /// How many experts away from a GPU with too much load, and the same for an expert's first GPU.
    gpu_level: Vec<u32>,
    expert_level: Vec<u32>,
    /// The first holding of a GPU, and of an expert, that has not been tried in vain.
    gpu_next: Vec<usize>,
    expert_next: Vec<usize>,
    queue: Vec<usize>,
    /// From the first GPU on: the holding on which load leaves an expert's GPU, and the one where it
    /// arrives.
    path: Vec<(usize, usize)>,
}

impl<'a> Flow<'a> {
    /// Equal shares of replicas, rounded to whole parts: a canonical load has `unit` parts.
    pub(super) fn equal_shares(sharing: &'a Sharing, unit: u64) -> Self {
        let parts = |load: u64| u128::from(load) * u128::from(unit);
        let mut load = vec![0; sharing.holdings.len()];
        let mut gpu_load: Vec<u128> = sharing.fixed.iter().map(|&load| parts(load)).collect();
        for expert in &sharing.experts {
            let (mut replicas, mut before) = (0, 0);
            for holding in expert.holdings.clone() {
                let Holding { gpu, replicas: here, .. } = sharing.holdings[holding];
                replicas += here;
                let until = parts(expert.load) * u128::from(replicas) / u128::from(expert.replicas);
                load[holding] = until - before;
                gpu_load[gpu] += until - before;
                before = until;
            }
        }
        Self {
            sharing,
            load,
            most: vec![0; gpu_load.len()],
            gpu_level: vec![0; gpu_load.len()],
            gpu_next: vec![0; gpu_load.len()],
            gpu_load,
            expert_level: vec![0; sharing.experts.len()],
            expert_next: vec![0; sharing.experts.len()],
            queue: Vec::new(),
            path: Vec::new(),
        }
    }

    /// Moves load until no GPU has more than `most`, one value for each.
    ///
    /// The shortest ways come first, of these the first in the order of slots.
    ///
    /// # Errors
    /// That cannot be. Then the GPUs of the answer have more together than they may, whatever the
    /// shares, because no other GPU holds an expert that has load on them.
    pub(super) fn move_excess(&mut self, most: Vec<u128>) -> Result<(), Vec<bool>> {
        self.most = most;
        while self.gpu_load.iter().zip(&self.most).any(|(load, most)| load > most) {
            if !self.find_levels() {
                return Err(self.gpu_level.iter().map(|&level| level != UNSEEN).collect());
            }
            self.gpu_next.fill(0);
            for (next, expert) in self.expert_next.iter_mut().zip(&self.sharing.experts) {
                *next = expert.holdings.start;
            }
            for gpu in 0..self.gpu_load.len() {
                while self.gpu_load[gpu] > self.most[gpu] && self.find_path(gpu) {
                    self.move_along_path(gpu);
                }
            }
        }
        Ok(())
    }

    fn has_room(&self, gpu: usize) -> bool {
        self.gpu_load[gpu] < self.most[gpu]
    }

    /// How far GPUs and experts are from the GPUs with too much load, until a GPU with room is found;
    /// whether one is.
    fn find_levels(&mut self) -> bool {
        self.gpu_level.fill(UNSEEN);
        self.expert_level.fill(UNSEEN);
        self.queue.clear();
        for gpu in 0..self.gpu_load.len() {
            if self.gpu_load[gpu] > self.most[gpu] {
                self.gpu_level[gpu] = 0;
                self.queue.push(gpu);
            }
        }
        let mut room_at = UNSEEN;
        let mut at = 0;
        while at < self.queue.len() && self.gpu_level[self.queue[at]] < room_at {
            let gpu = self.queue[at];
            at += 1;
            let level = self.gpu_level[gpu];
            for &holding in &self.sharing.on_gpu[gpu] {
                let expert = self.sharing.holdings[holding].expert;
                if self.load[holding] == 0 || self.expert_level[expert] != UNSEEN {
                    continue;
                }
                self.expert_level[expert] = level;
                for other in self.sharing.experts[expert].holdings.clone() {
                    let other = self.sharing.holdings[other].gpu;
                    if self.gpu_level[other] == UNSEEN {
                        self.gpu_level[other] = level + 1;
                        self.queue.push(other);
                        if self.has_room(other) {
                            room_at = level + 1;
                        }
                    }
                }
            }
        }
        room_at != UNSEEN
    }

    /// A shortest way from a GPU to one with room, in `path`; whether there is one.
    fn find_path(&mut self, from: usize) -> bool {
        self.path.clear();
        let mut gpu = from;
        loop {
            if let Some((leaves, arrives)) = self.step(gpu) {
                self.path.push((leaves, arrives));
                gpu = self.sharing.holdings[arrives].gpu;
                if self.has_room(gpu) {
                    return true;
                }
                continue;
            }
            // Nothing is reached from here.
            let Some((leaves, arrives)) = self.path.pop() else { return false };
            self.expert_next[self.sharing.holdings[arrives].expert] += 1;
            gpu = self.sharing.holdings[leaves].gpu;
        }
    }

    /// The next step from a GPU that has not been tried in vain, one level on.
    fn step(&mut self, gpu: usize) -> Option<(usize, usize)> {
        let level = self.gpu_level[gpu];
        while let Some(&leaves) = self.sharing.on_gpu[gpu].get(self.gpu_next[gpu]) {
            let expert = self.sharing.holdings[leaves].expert;
            if self.load[leaves] > 0 && self.expert_level[expert] == level {
                let next = &mut self.expert_next[expert];
                while *next < self.sharing.experts[expert].holdings.end {
                    if self.gpu_level[self.sharing.holdings[*next].gpu] == level + 1 {
                        return Some((leaves, *next));
                    }
                    *next += 1;
                }
            }
            self.gpu_next[gpu] += 1;
        }
        None
    }

    fn move_along_path(&mut self, from: usize) {
        let to = self.path.last().map_or(from, |&(_, arrives)| self.sharing.holdings[arrives].gpu);
        let excess = self.gpu_load[from] - self.most[from];
        let room = self.most[to] - self.gpu_load[to];
        let on_path = self.path.iter().map(|&(leaves, _)| self.load[leaves]);
        let moved = on_path.fold(excess.min(room), u128::min);
        for &(leaves, arrives) in &self.path {
            self.load[leaves] -= moved;
            self.load[arrives] += moved;
        }
        self.gpu_load[from] -= moved;
        self.gpu_load[to] += moved;
    }
}
