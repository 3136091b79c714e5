//! Lower bounds for GPUs that are not equal. They are in time: load divided by speed, rounded up.

use std::cmp::Reverse;

use crate::cost::bisection::least_allowed;
use crate::placement::bound::{Bound, LayerBound};
use crate::problem::cluster::Cluster;
use crate::problem::share::SHARE_UNIT;
use crate::problem::topology::Topology;

/// The largest of all bounds. No bound looks at groups.
///
/// A plan in time t has no replica above t times the largest speed: that shares slots as Adams' method
/// does, and counts how many heavy replicas GPUs have room for. Time
/// O(bits * slots of a GPU * experts * log experts).
pub(super) fn best(loads: &[u64], topology: &Topology) -> LayerBound {
    let layer = Layer::new(loads, topology.cluster());
    let total = loads.iter().sum::<u64>() * SHARE_UNIT;
    let mean = total.div_ceil(topology.cluster().total_speed());
    // Some plan takes no longer than all loads do on one GPU.
    let adams = least_allowed(mean, total, |t| layer.fewest_replicas(t.into()) <= layer.slots);
    let counting = least_allowed(adams, total, |t| layer.may_fit(t.into()));
    let kind = match counting {
        counting if counting > adams => Bound::Counting,
        _ if adams > mean => Bound::Adams,
        _ => Bound::Mean,
    };
    LayerBound { load: counting, kind, without_groups: counting }
}

struct Layer {
    /// Heaviest first, in packing loads.
    weights: Vec<u128>,
    slots: u128,
    /// The largest speed.
    fastest: u128,
    /// Slots and speed of each GPU in use.
    gpus: Vec<(u128, u128)>,
}

impl Layer {
    fn new(loads: &[u64], cluster: &Cluster) -> Self {
        let weight = |&load: &u64| u128::from(load) * u128::from(SHARE_UNIT);
        let mut weights: Vec<u128> = loads.iter().map(weight).collect();
        weights.sort_unstable_by_key(|&weight| Reverse(weight));
        let gpu = |gpu: crate::Gpu| (u128::from(gpu.slots), u128::from(gpu.speed));
        let gpus: Vec<_> = cluster.used_gpus().map(gpu).collect();
        Self {
            weights,
            slots: gpus.iter().map(|gpu| gpu.0).sum(),
            fastest: gpus.iter().map(|gpu| gpu.1).max().unwrap_or(1),
            gpus,
        }
    }

    fn fewest_replicas(&self, t: u128) -> u128 {
        let most = (t * self.fastest).max(1);
        self.weights.iter().map(|weight| weight.div_ceil(most).max(1)).sum()
    }

    /// Whether counting allows time `t`. For each j: a replica is big if it is above 1/(j+1) of what
    /// the fastest GPU can carry, and a GPU with a speed of s times the largest has room for fewer
    /// than (j+1) * s big ones. The fewest slots are a knapsack, as for equal GPUs.
    fn may_fit(&self, t: u128) -> bool {
        let reach = t * self.fastest;
        let most_slots = self.gpus.iter().map(|gpu| gpu.0).max().unwrap_or(0);
        (1..most_slots).take_while(|j| reach / (j + 1) > 0).all(|j| {
            let small = reach / (j + 1);
            let room = |&(slots, speed): &(u128, u128)| {
                slots.min(((j + 1) * speed).div_ceil(self.fastest) - 1)
            };
            let mut room: u128 = self.gpus.iter().map(room).sum();
            let mut needed = 0;
            let mut savings = Vec::new();
            for &weight in &self.weights {
                let least = weight.div_ceil(reach).max(1);
                let not_big = weight.div_ceil(small).max(1);
                needed += not_big;
                if weight > small {
                    savings.push((not_big - least, least));
                }
            }
            savings.sort_unstable_by(|a, b| (b.0 * a.1).cmp(&(a.0 * b.1)));
            for (saved, least) in savings {
                if least > room {
                    // The last one may be big in part, which saves at least as many slots.
                    needed -= saved * room / least;
                    break;
                }
                needed -= saved;
                room -= least;
            }
            needed <= self.slots
        })
    }
}
