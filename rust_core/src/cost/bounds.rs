//! Lower bounds: the busiest GPU of any plan carries at least so much.

use crate::cost::bisection::least_allowed;
use crate::cost::knapsack::most_saved;
use crate::cost::packing_bounds::{crowded, least_heaviest, node};
use crate::cost::unequal;
use crate::kernel::probe::Silent;
use crate::placement::bound::{Bound, LayerBound};
use crate::problem::share::{SHARE_UNIT, packing_load};
use crate::problem::topology::Topology;
use crate::replicate::{Level, Replication};

/// Finds lower bounds layer after layer in the same buffers.
#[derive(Debug, Default)]
pub(crate) struct LowerBounds {
    replication: Replication,
    savings: Vec<(u64, u64)>,
}

impl LowerBounds {
    /// The largest of all bounds; in time, if GPUs are not equal. If those in use are, that is what a load
    /// takes on each of them.
    pub(crate) fn best(&mut self, loads: &[u64], topology: &Topology) -> LayerBound {
        let (topology, speed) = match topology.in_use() {
            _ if topology.has_equal_gpus() => (topology, 1),
            Some(in_use) => {
                (in_use, topology.cluster().used_gpus().next().map_or(1, |gpu| gpu.speed))
            }
            None => return unequal::best(loads, topology),
        };
        let mut replication = std::mem::take(&mut self.replication);
        replication.start(loads);
        replication.append_adams(topology.num_replicas() - loads.len(), &mut Silent);
        let best = self.best_at_speed(&replication, loads, topology, speed.into());
        self.replication = replication;
        best
    }

    /// The same, if `adams` has all slots of the layer shared out by Adams' method; it may have
    /// stopped at one replica of an expert per GPU, which leaves no replica above the mean.
    pub(crate) fn best_of_adams(
        &mut self,
        adams: &Replication,
        loads: &[u64],
        topology: &Topology,
    ) -> LayerBound {
        self.best_at_speed(adams, loads, topology, 1)
    }

    /// The same for equal GPUs of this speed.
    fn best_at_speed(
        &mut self,
        adams: &Replication,
        loads: &[u64],
        topology: &Topology,
        speed: u64,
    ) -> LayerBound {
        let time = |load: u64| if speed == 1 { load } else { load.div_ceil(speed) };
        let mean = mean(loads, topology);
        let heaviest = heaviest_replica(adams);
        let packed = packing(&adams.load, topology);
        // If that is a bound, no other that does not look at groups is above it.
        let without_groups = match packed {
            0 => self.counting(&adams.load, topology, mean.max(heaviest)),
            _ => packed,
        };
        let mut best = (time(mean), Bound::Mean);
        for (load, kind) in [
            (heaviest, Bound::Adams),
            (node(loads, topology), Bound::Node),
            (packed, Bound::Packing),
            (without_groups, Bound::Counting),
        ] {
            // Of equal bounds the kind that comes first is named.
            if time(load) > best.0 {
                best = (time(load), kind);
            }
        }
        LayerBound { load: best.0, kind: best.1, without_groups: time(without_groups) }
    }

    /// The least t from `least` on, itself a bound, that counting does not rule out.
    fn counting(&mut self, load: &[u64], topology: &Topology, least: u64) -> u64 {
        // A GPU that carries everything rules nothing out.
        let enough = load.iter().sum::<u64>() * SHARE_UNIT;
        least_allowed(least, enough, |t| self.may_fit(load, topology, t))
    }

    /// Whether counting allows all GPUs to carry at most `t`, for these loads in descending order.
    ///
    /// For each j: a replica of more than t/(j+1) is big, and at most j*G replicas are big. An expert
    /// has at least ceil(w/t) replicas, and more if these must not be big. So the fewest slots are a
    /// knapsack ([`most_saved`]): which experts may be big.
    fn may_fit(&mut self, load: &[u64], topology: &Topology, t: u64) -> bool {
        let gpus = topology.num_gpus() as u64;
        let replicas = |w: u64, most: u64| (w * SHARE_UNIT).div_ceil(most).max(1);
        let (mut big, mut bigs) = (0, 0);
        for j in 1..topology.slots_per_gpu() as u64 {
            let small = t / (j + 1);
            if small == 0 {
                break;
            }
            while load.get(big).is_some_and(|&w| w * SHARE_UNIT > small) {
                bigs += if load[big] * SHARE_UNIT > t { replicas(load[big], t) } else { 1 };
                big += 1;
            }
            if bigs <= j * gpus {
                continue;
            }
            self.savings.clear();
            let mut needed = (load.len() - big) as u64;
            for &w in &load[..big] {
                let (least, not_big) = (replicas(w, t), replicas(w, small));
                needed += not_big;
                self.savings.push((not_big - least, least));
            }
            needed -= most_saved(&mut self.savings, j * gpus);
            if needed > topology.num_replicas() as u64 {
                return false;
            }
        }
        true
    }
}

/// What the busiest GPU of one node carries at least, if `adams` has its `slots` shared out by Adams'
/// method, at most one replica of an expert per GPU.
pub(crate) fn of_node(adams: &Replication, slots: usize, gpus: usize) -> u64 {
    let loads = &adams.load;
    let mean = (loads.iter().sum::<u64>() * SHARE_UNIT).div_ceil(gpus as u64);
    let bound = heaviest_replica(adams).max(mean);
    if slots > loads.len() {
        return bound;
    }
    bound.max(crowded(slots, gpus, |i| packing_load(loads[i], 1)))
}

/// The heaviest replica, if Adams' method has shared out all slots of the layer. A plan that keeps
/// groups on nodes is one of those that this holds for.
pub(crate) fn heaviest_replica(adams: &Replication) -> u64 {
    let of_level = |level: &Level| packing_load(adams.load[level.start], level.count as u64);
    adams.levels.iter().map(of_level).max().unwrap_or(0)
}

fn mean(loads: &[u64], topology: &Topology) -> u64 {
    (loads.iter().sum::<u64>() * SHARE_UNIT).div_ceil(topology.num_gpus() as u64)
}

/// What experts that have one replica each cost, from their loads in descending order: 0 if there are
/// redundant slots.
fn packing(load: &[u64], topology: &Topology) -> u64 {
    if topology.num_replicas() > load.len() {
        return 0;
    }
    least_heaviest(load, topology.num_gpus()) * SHARE_UNIT
}
