//! The best placement of given replica counts in a tiny zone, by branch and bound.

use std::cmp::Reverse;

use super::gpus::Gpus;
use super::layout::Layout;

/// Looks for a placement with a lower peak than `limit` for the counts of an empty layout, in at most
/// `steps` placements of a replica, which it counts down. Leaves the best one that it finds in the layout,
/// and returns its peak.
pub(super) fn place(gpus: &Gpus, layout: &mut Layout, limit: u64, steps: &mut u64) -> Option<u64> {
    let mut replicas: Vec<u32> = (0..layout.count.len() as u32)
        .flat_map(|expert| std::iter::repeat_n(expert, layout.count[expert as usize] as usize))
        .collect();
    replicas.sort_by_key(|&expert| Reverse(layout.share(expert)));
    let home = vec![0; replicas.len()];
    let room = (0..gpus.len()).map(|gpu| gpus.slots(gpu).len()).collect();
    let load = vec![0; gpus.len()];
    let mut search =
        Search { gpus, layout, replicas, room, load, home, steps, limit, best: Vec::new() };
    search.place(0);
    let Search { replicas, best, limit, .. } = search;
    if best.is_empty() {
        return None;
    }
    let mut next: Vec<usize> = (0..gpus.len()).map(|gpu| gpus.slots(gpu).start).collect();
    for (expert, gpu) in replicas.into_iter().zip(best) {
        layout.slots[next[gpu]] = expert;
        layout.load[gpu] += layout.share(expert);
        next[gpu] += 1;
    }
    for gpu in 0..gpus.len() {
        layout.sort_held(gpus, gpu, gpus.slots(gpu).len());
    }
    Some(limit)
}

struct Search<'a> {
    gpus: &'a Gpus,
    layout: &'a Layout,
    /// The expert of each replica, heaviest first.
    replicas: Vec<u32>,
    /// Free slots, and load, of each GPU.
    room: Vec<usize>,
    load: Vec<u64>,
    /// The GPU of each replica that is placed.
    home: Vec<usize>,
    steps: &'a mut u64,
    /// Placements have to stay below it.
    limit: u64,
    best: Vec<usize>,
}

impl Search<'_> {
    /// Places the replicas from `next` on; those of one expert on ascending GPUs.
    fn place(&mut self, next: usize) {
        let Some(&expert) = self.replicas.get(next) else {
            let times = (0..self.load.len()).map(|gpu| self.gpus.time(gpu, self.load[gpu]));
            self.limit = times.max().unwrap_or(0);
            self.best.clone_from(&self.home);
            return;
        };
        let follows = next > 0 && self.replicas[next - 1] == expert;
        let from = if follows { self.home[next - 1] + 1 } else { 0 };
        let share = self.layout.share(expert);
        for gpu in from..self.load.len() {
            if *self.steps == 0 {
                return;
            }
            if self.room[gpu] == 0 || self.gpus.time(gpu, self.load[gpu] + share) >= self.limit {
                continue;
            }
            *self.steps -= 1;
            self.room[gpu] -= 1;
            self.load[gpu] += share;
            self.home[next] = gpu;
            self.place(next + 1);
            self.room[gpu] += 1;
            self.load[gpu] -= share;
        }
    }
}
