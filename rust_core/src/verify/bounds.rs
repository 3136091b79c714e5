//! The lower bounds again, in 128 bits and by other means than the planners'.
//!
//! A bound is the least load t of a GPU that its argument allows, and what allows t allows all above
//! it. So a claimed bound is checked by two questions: is it allowed, and is one less not? Only if
//! the claim is false, bisection finds the bound, and each question takes near-linear time.

use crate::placement::bound::Bound;
use crate::problem::cluster::Gpu;
use crate::problem::topology::Topology;

use super::bins::Bins;

/// The load of a replica counts in 1/720720 of a canonical load.
pub(super) const UNIT: u128 = 720_720;

/// What no plan can beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The largest of the bounds, and its kind.
    pub(super) best: (u128, Bound),
    /// The largest of those that do not look at groups.
    pub(super) without_groups: u128,
}

/// What is claimed of [`Bounds`]. It only says where to look first: it changes no answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimed {
    pub(super) best: u64,
    pub(super) without_groups: u64,
}

/// Of equal bounds the kind that comes first is named.
pub(super) fn lower_bounds(loads: &[u64], topology: &Topology, claimed: Claimed) -> Bounds {
    let layer = LayerLimits::new(loads, topology);
    let total: u128 = layer.weights.iter().sum();
    let least = |from, claimed: u64, kinds: &[Bound]| {
        let allows = |t| kinds.iter().all(|&kind| layer.allows(kind, t));
        least_allowed(from, claimed.into(), total, allows)
    };
    let kinds = [Bound::Adams, Bound::Packing, Bound::Counting];
    let without_groups = least(layer.mean, claimed.without_groups, &kinds);
    let best = least(without_groups, claimed.best, &[Bound::Node]);
    let rules_out_less = |&kind: &Bound| best > 0 && !layer.allows(kind, best - 1);
    let kind = Bound::ALL.into_iter().find(rules_out_less).unwrap_or(Bound::Mean);
    Bounds { best: (best, kind), without_groups }
}

/// The least t from `from` on that is allowed, if all above an allowed one are, as is `to`: three
/// questions if `claimed` is right, else bisection.
pub(super) fn least_allowed(
    from: u128,
    claimed: u128,
    to: u128,
    mut allows: impl FnMut(u128) -> bool,
) -> u128 {
    if from >= to || allows(from) {
        return from;
    }
    if claimed > from && claimed <= to && !allows(claimed - 1) && allows(claimed) {
        return claimed;
    }
    let (mut ruled_out, mut allowed) = (from, to);
    while allowed - ruled_out > 1 {
        let middle = ruled_out.midpoint(allowed);
        if allows(middle) {
            allowed = middle;
        } else {
            ruled_out = middle;
        }
    }
    allowed
}

/// One layer, as the arguments of the bounds see it.
pub(super) struct LayerLimits {
    /// The load of each expert, in replicas' units.
    weights: Vec<u128>,
    slots: u128,
    /// Slots and speed of each GPU in use, the most slots, and the largest speed.
    gpus: Vec<(u128, u128)>,
    most_slots: u128,
    fastest: u128,
    equal: bool,
    pub(super) mean: u128,
    /// Groups in nodes, if there are several nodes, and the speed of each, in ascending order.
    nodes: Option<Bins>,
    node_speeds: Vec<u128>,
    /// Experts in GPUs, if there is one replica of each.
    packing: Option<Packing>,
}

/// One replica of each expert: on equal GPUs, or on others.
enum Packing {
    Equal(Bins),
    /// The loads of the heaviest experts together, and of the lightest: of none, of one, and so on.
    Unequal {
        heaviest: Vec<u128>,
        lightest: Vec<u128>,
    },
}

impl LayerLimits {
    pub(super) fn new(loads: &[u64], topology: &Topology) -> Self {
        let weights: Vec<u128> = loads.iter().map(|&load| u128::from(load) * UNIT).collect();
        let nodes = topology.nodes();
        let cluster = topology.cluster();
        let size = |gpu: Gpu| (gpu.slots.into(), gpu.speed.into());
        let gpus: Vec<(u128, u128)> = cluster.used_gpus().map(size).collect();
        let equal = gpus.iter().all(|gpu| gpu == &gpus[0]);
        let slots = gpus.iter().map(|gpu| gpu.0).sum();
        let whole = |experts: &[u64]| experts.iter().map(|&load| u128::from(load)).sum();
        let in_nodes = || {
            let groups = loads.chunks(loads.len() / topology.groups());
            Bins::new(groups.map(whole).collect(), nodes)
        };
        let mut node_speeds = vec![0; cluster.num_nodes()];
        for gpu in cluster.used_gpus() {
            node_speeds[gpu.node as usize] += u128::from(gpu.speed);
        }
        node_speeds.retain(|&speed| speed > 0);
        node_speeds.sort_unstable();
        let on_gpus = || {
            if equal {
                let experts = loads.iter().map(|&load| load.into()).collect();
                return Packing::Equal(Bins::new(experts, gpus.len()));
            }
            Packing::unequal(weights.clone())
        };
        Self {
            mean: weights.iter().sum::<u128>().div_ceil(gpus.iter().map(|gpu| gpu.1).sum()),
            nodes: (nodes > 1).then(in_nodes),
            node_speeds,
            packing: (slots <= loads.len() as u128).then(on_gpus),
            weights,
            slots,
            most_slots: gpus.iter().map(|gpu| gpu.0).max().unwrap_or(0),
            fastest: gpus.iter().map(|gpu| gpu.1).max().unwrap_or(1),
            gpus,
            equal,
        }
    }

    /// Whether an argument allows that no GPU takes longer than `t`; all but the mean ask for `t`
    /// of at least the mean, and counting for what Adams' bound allows.
    pub(super) fn allows(&self, kind: Bound, t: u128) -> bool {
        match kind {
            Bound::Mean => t >= self.mean,
            Bound::Adams => self.fewest_replicas(t * self.fastest) <= self.slots,
            Bound::Node => self.nodes.as_ref().is_none_or(|nodes| {
                let most: Vec<u128> = self.node_speeds.iter().map(|s| t * s / UNIT).collect();
                let alike = self.node_speeds.first() == self.node_speeds.last();
                if alike { nodes.fit(most[0]) } else { nodes.fit_apart(&most) }
            }),
            Bound::Packing => match &self.packing {
                None => true,
                Some(Packing::Equal(bins)) => bins.fit(t * self.fastest / UNIT),
                Some(Packing::Unequal { heaviest, lightest }) => {
                    self.pigeonholes(heaviest, lightest, t)
                }
            },
            Bound::Counting => {
                let most = t * self.fastest;
                self.crowds(most).into_iter().all(|j| self.has_room(most, j))
            }
        }
    }

    /// Whether for each j some GPU has time for j + 1 of the heaviest experts and the lightest beside them:
    /// if all had j of them at most, these would be as many as the GPUs' slots up to j.
    fn pigeonholes(&self, heaviest: &[u128], lightest: &[u128], t: u128) -> bool {
        (0..self.most_slots).all(|j| {
            let held: u128 = self.gpus.iter().map(|gpu| gpu.0.min(j)).sum();
            let together = heaviest[held as usize + 1] - heaviest[(held - j) as usize];
            self.gpus
                .iter()
                .filter(|gpu| gpu.0 > j)
                .any(|&(slots, speed)| together + lightest[(slots - j - 1) as usize] <= t * speed)
        })
    }

    /// The replicas that all experts have at least, if none carries more than `t`.
    fn fewest_replicas(&self, t: u128) -> u128 {
        self.weights.iter().map(|&weight| replicas(weight, t)).sum()
    }

    /// How many replicas above 1 / (j+1) of what the fastest GPU may carry fit on all GPUs: fewer than
    /// (j+1) times its part of the largest speed on each.
    fn room(&self, j: u128) -> u128 {
        let room = |&(slots, speed): &(u128, u128)| slots.min(((j + 1) * speed - 1) / self.fastest);
        self.gpus.iter().map(room).sum()
    }

    /// The numbers j for which [`Self::fewest_replicas`] has more replicas above `t / (j+1)` than there is
    /// [`Self::room`] for. The others rule nothing out: all these may be big.
    ///
    /// There are two at most, if GPUs are equal and `t` is at least the mean. For j alone the big ones
    /// carry more than j / (j+1) of what all GPUs together may, and a second j leaves too little for a
    /// third.
    pub(super) fn crowds(&self, t: u128) -> Vec<u128> {
        // On equal GPUs there is room for all, if there is for so many on each.
        let each = self.fewest_replicas(t).div_ceil(self.gpus.len() as u128);
        let enough = if self.equal { each } else { u128::MAX };
        let end = enough.min(self.most_slots).min(t);
        // An expert is above t / (j+1) from this j on.
        let mut first_big = vec![0; end as usize];
        for &weight in self.weights.iter().filter(|&&weight| weight * end > t) {
            first_big[(t / weight) as usize] += replicas(weight, t);
        }
        let bigs = first_big.iter().scan(0, |bigs, &first| {
            *bigs += first;
            Some(*bigs)
        });
        (0..).zip(bigs).skip(1).filter(|&(j, bigs)| bigs > self.room(j)).map(|(j, _)| j).collect()
    }

    /// Whether there are slots for replicas of at most `t` of which at most `j` on each GPU are above
    /// `t / (j+1)`. An expert may have a fraction of its replicas big.
    ///
    /// An expert takes `b` slots if no replica of it is big, else `a` with as many bigs. Bigs at a
    /// price each cost what they save at most: the least over all prices of what bigs at this price
    /// save beyond it, plus the price of all there may be, is what they save. As the price rises,
    /// the experts that pay it have fewer bigs. It is best as soon as these are not too many, and is
    /// that of some expert, or nothing.
    fn has_room(&self, t: u128, j: u128) -> bool {
        let (small, room) = (t / (j + 1), self.room(j));
        let all_small: u128 = self.weights.iter().map(|&weight| replicas(weight, small)).sum();
        let big = self.weights.iter().filter(|&&weight| weight > small);
        let price = |&weight: &u128| {
            let taken = replicas(weight, t);
            Price { saved: replicas(weight, small) - taken, taken }
        };
        let experts: Vec<Price> = big.map(price).collect();
        let mut prices = experts.clone();
        prices.push(Price { saved: 0, taken: 1 });
        prices.sort_unstable_by(|a, b| (a.saved * b.taken).cmp(&(b.saved * a.taken)));
        let best = prices.partition_point(|price| price.bigs_beyond(&experts) > room);
        all_small - prices[best].saved_by(room, &experts) <= self.slots
    }
}

impl Packing {
    fn unequal(mut weights: Vec<u128>) -> Self {
        let sums = |weights: &[u128]| {
            let mut sums = vec![0; weights.len() + 1];
            for (i, weight) in weights.iter().enumerate() {
                sums[i + 1] = sums[i] + weight;
            }
            sums
        };
        weights.sort_unstable();
        let lightest = sums(&weights);
        weights.reverse();
        Self::Unequal { heaviest: sums(&weights), lightest }
    }
}

/// The replicas of an expert that carry at most `most` each.
fn replicas(weight: u128, most: u128) -> u128 {
    // A division takes as long as all the rest: one is enough, and most need none.
    if weight <= most { 1 } else { (weight - 1) / most + 1 }
}

/// The price of a big replica, `saved / taken` slots: what an expert saves by `taken` bigs.
#[derive(Debug, Clone, Copy)]
struct Price {
    saved: u128,
    taken: u128,
}

impl Price {
    /// The bigs of experts to whom each is worth more than this.
    fn bigs_beyond(self, experts: &[Self]) -> u128 {
        let beyond = |expert: &&Self| expert.saved * self.taken > expert.taken * self.saved;
        experts.iter().filter(beyond).map(|expert| expert.taken).sum()
    }

    /// What `room` bigs save at most, in whole slots.
    fn saved_by(self, room: u128, experts: &[Self]) -> u128 {
        // Counted in 1 / taken.
        let beyond = experts
            .iter()
            .map(|expert| (expert.saved * self.taken).saturating_sub(expert.taken * self.saved));
        (beyond.sum::<u128>() + room * self.saved) / self.taken
    }
}
