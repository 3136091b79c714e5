//! Lower bounds: loads that the busiest GPU of no plan whatever can stay below.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use crate::replicate::Replication;
use crate::share::{SHARE_UNIT, packing_load};
use crate::topology::Topology;
use crate::trace::Silent;

/// Which argument a lower bound rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// The mean GPU load: some GPU carries at least that.
    Mean,
    /// Adams' optimum: however the slots are shared out, some copy carries at least that.
    Adams,
    /// However the groups are put on nodes, some node, and so one of its GPUs, carries at least
    /// that. Only where a hierarchical plan has several nodes.
    Node,
    /// Below it too many copies would be too heavy to share a GPU: however the slots are shared
    /// out, at most j copies larger than T/(j+1) fit on a GPU that carries at most T.
    Counting,
}

impl Bound {
    /// Every kind. Of equal bounds the first of these is named.
    pub const ALL: [Self; 4] = [Self::Mean, Self::Adams, Self::Node, Self::Counting];

    /// The name in plan files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Adams => "adams",
            Self::Node => "node",
            Self::Counting => "counting",
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bound {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|bound| bound.name() == name).ok_or(())
    }
}

/// Up to so many ways to put groups on nodes are searched for the best.
pub const MAX_GROUP_PACKINGS: u64 = 100_000;

/// What the busiest GPU of any plan of a layer carries at least, in packing loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerBound {
    pub(crate) load: u64,
    pub(crate) kind: Bound,
    /// The same, if groups need not stay together.
    pub(crate) without_groups: u64,
}

/// Finds lower bounds layer after layer in the same buffers.
#[derive(Debug, Default)]
pub(crate) struct LowerBounds {
    replication: Replication,
    savings: Vec<(u64, u64)>,
}

impl LowerBounds {
    /// The largest of all bounds.
    pub(crate) fn best(&mut self, loads: &[u64], topology: &Topology) -> LayerBound {
        let mut replication = std::mem::take(&mut self.replication);
        replication.start(loads);
        replication.append_adams(topology.num_replicas() - loads.len(), &mut Silent);
        let best = self.best_of_adams(&replication, loads, topology);
        self.replication = replication;
        best
    }

    /// The same, where `adams` has all slots of the layer shared out by Adams' method; it may have
    /// stopped at one copy of an expert on each GPU, which leaves no copy above the mean.
    pub(crate) fn best_of_adams(
        &mut self,
        adams: &Replication,
        loads: &[u64],
        topology: &Topology,
    ) -> LayerBound {
        let mut best = (mean(loads, topology), Bound::Mean);
        let mut raise = |load: u64, kind: Bound| {
            if load > best.0 {
                best = (load, kind);
            }
            best.0
        };
        let shares = raise(heaviest_copy(adams), Bound::Adams);
        let counted = self.counting(&adams.load, topology, shares);
        raise(node(loads, topology), Bound::Node);
        raise(counted, Bound::Counting);
        LayerBound { load: best.0, kind: best.1, without_groups: counted }
    }

    /// The least t from `least` on, itself a bound, that counting does not rule out.
    fn counting(&mut self, load: &[u64], topology: &Topology, least: u64) -> u64 {
        if least == 0 || self.may_fit(load, topology, least) {
            return least;
        }
        // All on one GPU is too much for none.
        let (mut too_small, mut enough) = (least, load.iter().sum::<u64>() * SHARE_UNIT);
        while enough - too_small > 1 {
            let middle = too_small.midpoint(enough);
            if self.may_fit(load, topology, middle) {
                enough = middle;
            } else {
                too_small = middle;
            }
        }
        enough
    }

    /// Whether counting allows all GPUs to carry at most `t`, for these loads in descending order.
    ///
    /// For each j: a copy of more than t/(j+1) is big, and at most j*G copies are. An expert has
    /// ceil(w/t) copies at least, and if these are not to be big as many as that takes. So the
    /// fewest slots are a knapsack: which experts may be big. Here the last one may be so in part,
    /// which saves no fewer slots.
    fn may_fit(&mut self, load: &[u64], topology: &Topology, t: u64) -> bool {
        let gpus = topology.num_gpus() as u64;
        let copies = |w: u64, most: u64| (w * SHARE_UNIT).div_ceil(most).max(1);
        let (mut big, mut bigs) = (0, 0);
        for j in 1..topology.slots_per_gpu() as u64 {
            let small = t / (j + 1);
            if small == 0 {
                break;
            }
            while load.get(big).is_some_and(|&w| w * SHARE_UNIT > small) {
                bigs += if load[big] * SHARE_UNIT > t { copies(load[big], t) } else { 1 };
                big += 1;
            }
            if bigs <= j * gpus {
                continue;
            }
            self.savings.clear();
            let mut needed = (load.len() - big) as u64;
            for &w in &load[..big] {
                let (least, not_big) = (copies(w, t), copies(w, small));
                needed += not_big;
                self.savings.push((not_big - least, least));
            }
            self.savings.sort_unstable_by(|a, b| (b.0 * a.1).cmp(&(a.0 * b.1)));
            let mut room = j * gpus;
            for &(saved, least) in &self.savings {
                if least > room {
                    needed -= saved * room / least;
                    break;
                }
                needed -= saved;
                room -= least;
            }
            if needed > topology.num_replicas() as u64 {
                return false;
            }
        }
        true
    }
}

/// The heaviest copy, when Adams' method has shared out all slots of the layer. A plan that keeps
/// groups on nodes is one of those that this holds for.
fn heaviest_copy(adams: &Replication) -> u64 {
    let heaviest_of_level =
        |level: &crate::replicate::Level| packing_load(adams.load[level.start], level.count as u64);
    adams.levels.iter().map(heaviest_of_level).max().unwrap_or(0)
}

fn mean(loads: &[u64], topology: &Topology) -> u64 {
    (loads.iter().sum::<u64>() * SHARE_UNIT).div_ceil(topology.num_gpus() as u64)
}

/// What the groups cost: 0 where they constrain nothing.
fn node(loads: &[u64], topology: &Topology) -> u64 {
    let nodes = topology.nodes();
    if nodes == 1 {
        return 0;
    }
    let group_size = loads.len() / topology.groups();
    let mut groups: Vec<u64> =
        loads.chunks_exact(group_size).map(|group| group.iter().sum()).collect();
    groups.sort_unstable_by_key(|&load| Reverse(load));
    let peak = least_node_load(&groups, nodes);
    (peak * SHARE_UNIT).div_ceil((topology.num_gpus() / nodes) as u64)
}

/// What the heaviest node carries at least, over all ways to put equally many groups (given
/// heaviest first) on each node: exactly, or where that is too long a search, a bound of it.
fn least_node_load(groups: &[u64], nodes: usize) -> u64 {
    match groups.len() / nodes {
        1 => groups[0],
        // Heaviest with lightest: of two pairs, any other pairing has a pair at least as heavy as
        // the heavier of these.
        2 => groups.iter().zip(groups.iter().rev()).map(|(a, b)| a + b).max().unwrap_or(0),
        _ if few_group_packings(groups.len(), nodes) => GroupSearch::run(groups, nodes),
        _ => pigeonhole_bound(groups, nodes),
    }
}

/// Whether `groups` fill `nodes` that are alike in at most [`MAX_GROUP_PACKINGS`] ways.
fn few_group_packings(groups: usize, nodes: usize) -> bool {
    // Node after node: of the groups left one is the first, and some of the others join it.
    let mut packings = 1_u64;
    for others in (0..nodes).map(|node| groups - node * (groups / nodes) - 1) {
        let joining = (groups / nodes - 1).min(others - (groups / nodes - 1));
        for i in 0..joining {
            packings = packings * (others - i) as u64 / (i as u64 + 1);
            if packings > MAX_GROUP_PACKINGS {
                return false;
            }
        }
    }
    true
}

/// Of the j*g+1 heaviest groups some node of g holds j+1, and beside them at least the lightest.
fn pigeonhole_bound(groups: &[u64], nodes: usize) -> u64 {
    let per_node = groups.len() / nodes;
    let mean = groups.iter().sum::<u64>().div_ceil(nodes as u64);
    let crowded = |j: usize| {
        let heavy = &groups[j * nodes - j..=j * nodes];
        let light = &groups[groups.len() - (per_node - j - 1)..];
        heavy.iter().chain(light).sum()
    };
    (0..per_node).map(crowded).fold(mean, u64::max)
}

/// Depth-first search, branch and bound, for the least load of the heaviest node.
struct GroupSearch<'a> {
    groups: &'a [u64],
    /// Load of each node and the number of its groups.
    nodes: Vec<(u64, usize)>,
    /// The least peak found.
    best: u64,
    /// No peak is lower than this.
    bound: u64,
}

impl<'a> GroupSearch<'a> {
    fn run(groups: &'a [u64], nodes: usize) -> u64 {
        let bound = pigeonhole_bound(groups, nodes);
        let mut search = Self { groups, nodes: vec![(0, 0); nodes], best: u64::MAX, bound };
        search.place(0, 0);
        search.best
    }

    /// Places the groups from `next` on; the heaviest node so far carries `peak`.
    fn place(&mut self, next: usize, peak: u64) {
        let Some(&group) = self.groups.get(next) else {
            self.best = peak;
            return;
        };
        // Lightest node first, so that the first packing found is the greedy one.
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_unstable_by_key(|&node| self.nodes[node]);
        order.dedup_by_key(|node| self.nodes[*node]);
        for node in order {
            let (load, filled) = self.nodes[node];
            let peak = peak.max(load + group);
            if filled == self.groups.len() / self.nodes.len() || peak >= self.best {
                continue;
            }
            self.nodes[node] = (load + group, filled + 1);
            self.place(next + 1, peak);
            self.nodes[node] = (load, filled);
            if self.best <= self.bound {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{few_group_packings, least_node_load, pigeonhole_bound};

    #[test]
    fn group_packings_are_counted() {
        // 9 groups on 3 nodes: 280 ways; 16 on 2: 6,435; 18 on 2: 24,310; 20 on 2: 92,378.
        for (groups, nodes) in [(9, 3), (16, 2), (18, 2), (20, 2), (12, 3), (6, 1), (12, 6)] {
            assert!(few_group_packings(groups, nodes), "{groups} groups on {nodes} nodes");
        }
        // 22 on 2: 352,716; 15 on 3: 126,126; 16 on 4: 2,627,625.
        for (groups, nodes) in [(22, 2), (15, 3), (16, 4), (64, 8), (16384, 2), (16384, 4096)] {
            assert!(!few_group_packings(groups, nodes), "{groups} groups on {nodes} nodes");
        }
    }

    #[test]
    fn the_search_finds_what_enumeration_finds() {
        let mut state = 1_u64;
        for _ in 0..200 {
            let mut groups: Vec<u64> = (0..9)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 33) % 50
                })
                .collect();
            groups.sort_unstable_by(|a, b| b.cmp(a));
            let best = enumerate(&groups, &mut [(0, 0); 3]);
            assert_eq!(least_node_load(&groups, 3), best, "{groups:?}");
            assert!(pigeonhole_bound(&groups, 3) <= best, "{groups:?}");
            assert_eq!(least_node_load(&groups[..6], 3), enumerate(&groups[..6], &mut [(0, 1); 3]));
        }
    }

    /// The least peak over every way to fill nodes of three.
    fn enumerate(groups: &[u64], nodes: &mut [(u64, usize); 3]) -> u64 {
        let Some((&group, rest)) = groups.split_first() else {
            return nodes.iter().map(|node| node.0).max().unwrap_or(0);
        };
        let mut best = u64::MAX;
        for node in 0..3 {
            if nodes[node].1 < 3 {
                let before = nodes[node];
                nodes[node] = (before.0 + group, before.1 + 1);
                best = best.min(enumerate(rest, nodes));
                nodes[node] = before;
            }
        }
        best
    }
}
