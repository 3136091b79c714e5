//! Lower bounds for GPUs that are not equal. They are in time: load divided by speed, rounded up.

use std::cmp::Reverse;

use crate::cost::bisection::least_allowed;
use crate::cost::knapsack::most_saved;
use crate::cost::packing_bounds::node;
use crate::placement::bound::{Bound, LayerBound};
use crate::problem::cluster::Cluster;
use crate::problem::share::SHARE_UNIT;
use crate::problem::topology::Topology;

/// The largest of all bounds.
///
/// A plan in time t has no replica above t times the largest speed: that shares slots as Adams' method
/// does, and counts how many heavy replicas GPUs have room for. Without redundant slots some GPU holds
/// many of the heaviest experts. Time O(bits * slots of a GPU * experts * log experts).
pub(super) fn best(loads: &[u64], topology: &Topology) -> LayerBound {
    let layer = Layer::new(loads, topology.cluster());
    let total = loads.iter().sum::<u64>() * SHARE_UNIT;
    let mean = total.div_ceil(topology.cluster().total_speed());
    // Some plan takes no longer than all loads do on one GPU.
    let adams = least_allowed(mean, total, |t| layer.fewest_replicas(t) <= layer.slots);
    let packing = if layer.slots > loads.len() as u64 { 0 } else { layer.packing() };
    let counting = least_allowed(adams.max(packing), total, |t| layer.may_fit(t));
    let mut best = (mean, Bound::Mean);
    for (load, kind) in [
        (adams, Bound::Adams),
        (node(loads, topology), Bound::Node),
        (packing, Bound::Packing),
        (counting, Bound::Counting),
    ] {
        // Of equal bounds the kind that comes first is named.
        if load > best.0 {
            best = (load, kind);
        }
    }
    LayerBound { load: best.0, kind: best.1, without_groups: counting }
}

struct Layer {
    /// Heaviest first, in packing loads.
    weights: Vec<u64>,
    slots: u64,
    /// The largest speed.
    fastest: u64,
    /// Slots and speed of each GPU in use.
    gpus: Vec<(u64, u64)>,
}

impl Layer {
    fn new(loads: &[u64], cluster: &Cluster) -> Self {
        let mut weights: Vec<u64> = loads.iter().map(|&load| load * SHARE_UNIT).collect();
        weights.sort_unstable_by_key(|&weight| Reverse(weight));
        let gpu = |gpu: crate::Gpu| (u64::from(gpu.slots), u64::from(gpu.speed));
        let gpus: Vec<_> = cluster.used_gpus().map(gpu).collect();
        Self {
            weights,
            slots: gpus.iter().map(|gpu| gpu.0).sum(),
            fastest: gpus.iter().map(|gpu| gpu.1).max().unwrap_or(1),
            gpus,
        }
    }

    /// What the fastest GPU can carry in time `t`.
    fn reach(&self, t: u64) -> u64 {
        t.saturating_mul(self.fastest)
    }

    fn fewest_replicas(&self, t: u64) -> u64 {
        let most = self.reach(t);
        self.weights.iter().map(|&weight| replicas(weight, most)).sum()
    }

    /// Whether counting allows time `t`, at least the mean. For each j: a replica is big if it is above
    /// 1/(j+1) of what the fastest GPU can carry, and a GPU with a speed of s times the largest has room
    /// for fewer than (j+1) * s big ones. The fewest slots are a knapsack, as for equal GPUs.
    fn may_fit(&self, t: u64) -> bool {
        let reach = self.reach(t);
        let most_slots = self.gpus.iter().map(|gpu| gpu.0).max().unwrap_or(0);
        let (mut big, mut bigs) = (0, 0);
        let mut savings = Vec::new();
        for j in (1..most_slots).take_while(|j| reach / (j + 1) > 0) {
            let small = reach / (j + 1);
            while let Some(&weight) = self.weights.get(big).filter(|&&weight| weight > small) {
                bigs += replicas(weight, reach);
                big += 1;
            }
            let room = self.room(j);
            if bigs <= room {
                continue;
            }
            let mut needed = (self.weights.len() - big) as u64;
            savings.clear();
            for &weight in &self.weights[..big] {
                let (least, not_big) = (replicas(weight, reach), replicas(weight, small));
                needed += not_big;
                savings.push((not_big - least, least));
            }
            needed -= most_saved(&mut savings, room);
            if needed > self.slots {
                return false;
            }
        }
        true
    }

    /// Big replicas that there is room for on all GPUs.
    fn room(&self, j: u64) -> u64 {
        let room =
            |&(slots, speed): &(u64, u64)| slots.min(((j + 1) * speed).div_ceil(self.fastest) - 1);
        self.gpus.iter().map(room).sum()
    }

    /// What some GPU takes if there is one replica of each expert: if every GPU had at most j of the
    /// heaviest experts, these would be no more than there is room for. So of one more than that, some GPU
    /// with more than j slots has j+1, and the lightest experts beside them. Time O(slots of a GPU * GPUs).
    fn packing(&self) -> u64 {
        let prefix = |weights: &mut dyn Iterator<Item = &u64>| -> Vec<u64> {
            let sums = weights.scan(0, |sum, &weight| {
                *sum += weight;
                Some(*sum)
            });
            std::iter::once(0).chain(sums).collect()
        };
        let heavy = prefix(&mut self.weights.iter());
        let light = prefix(&mut self.weights.iter().rev());
        let mut sizes = self.gpus.clone();
        sizes.sort_unstable();
        // Of GPUs with equally many slots the fastest takes least.
        sizes.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                *kept = *next;
            }
            same
        });
        let most_slots = sizes.last().map_or(0, |size| size.0);
        let some_gpu = |j: u64| {
            let room: u64 = self.gpus.iter().map(|gpu| gpu.0.min(j)).sum();
            let together = heavy[room as usize + 1] - heavy[(room - j) as usize];
            let time = |&(slots, speed): &(u64, u64)| {
                (together + light[(slots - j - 1) as usize]).div_ceil(speed)
            };
            sizes.iter().filter(|size| size.0 > j).map(time).min().unwrap_or(0)
        };
        (0..most_slots).map(some_gpu).max().unwrap_or(0)
    }
}

/// The replicas of an expert that carry at most `most` each.
fn replicas(weight: u64, most: u64) -> u64 {
    // A division takes as long as all the rest, and most experts need none.
    if weight <= most { 1 } else { weight.div_ceil(most.max(1)) }
}
