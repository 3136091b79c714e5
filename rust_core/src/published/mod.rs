//! One layer by the published policies, `deepseek` and `adaptive`: groups to nodes, then, node by node,
//! replicas to experts and replicas to GPUs.

mod swaps;

use crate::greedy::Greedy;
use crate::kernel::lanes::{LANES, first};
use crate::kernel::probe::{Probe, Silent};
use crate::layer_planner::{Layer, LayerPlanner};
use crate::placement::tables::LayerTables;
use crate::problem::topology::Topology;
use crate::replicate::Replication;
use crate::sorted_replicas::by_slot::{BySlot, Item};

use swaps::Refinement;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    DeepSeek,
    Adaptive,
}

/// Swap steps of `adaptive` for groups on nodes and for replicas on GPUs.
const NODE_STEPS: usize = 1;
const GPU_STEPS: usize = 2;

/// One of the published policies.
#[derive(Debug)]
pub(crate) struct Published {
    rule: Rule,
    topology: Topology,
    layers: PublishedLayers,
}

impl Published {
    pub(crate) fn new(rule: Rule, topology: &Topology) -> Self {
        Self { rule, topology: topology.clone(), layers: PublishedLayers::default() }
    }
}

impl LayerPlanner for Published {
    fn plan(&mut self, layers: &mut [Layer<'_>]) {
        let Self { rule, topology, layers: planner } = self;
        for side_by_side in layers.chunks_mut(LANES) {
            match side_by_side {
                [a, b] => {
                    let tables = [a.tables.reborrow(), b.tables.reborrow()];
                    planner.plan([a.loads, b.loads], topology, *rule, tables);
                }
                layers => {
                    for layer in layers {
                        planner.plan([layer.loads], topology, *rule, [layer.tables.reborrow()]);
                    }
                }
            }
        }
    }
}

/// Plans layers in the same buffers, up to [`LANES`] of them side by side.
#[derive(Debug, Default)]
pub(crate) struct PublishedLayers<T = Silent> {
    orders: [Order; LANES],
    replications: [Replication; LANES],
    replicas: [BySlot; LANES],
    packer: Packer,
    pub(crate) probe: T,
}

impl<T: Probe> PublishedLayers<T> {
    /// Plans layers of canonical loads `[L]` each. Time O(P log P) for each.
    pub(crate) fn plan<const N: usize>(
        &mut self,
        loads: [&[u64]; N],
        topology: &Topology,
        rule: Rule,
        mut tables: [LayerTables<'_>; N],
    ) {
        for (order, loads) in self.orders.iter_mut().zip(loads) {
            order.by_node(loads, topology, rule, &mut self.packer, &mut self.probe);
        }
        for table in &mut tables {
            table.logcnt.fill(1);
        }
        let experts_per_node = topology.num_experts() / topology.nodes();
        let slots_per_node = topology.num_replicas() / topology.nodes();
        let redundant = slots_per_node - experts_per_node;
        for node in 0..topology.nodes() {
            let experts = node * experts_per_node..(node + 1) * experts_per_node;
            let slots = node * slots_per_node..(node + 1) * slots_per_node;
            for (lane, table) in tables.iter_mut().enumerate() {
                let (order, replication) = (&self.orders[lane], &mut self.replications[lane]);
                replication.start(&order.load[experts.clone()]);
                match rule {
                    Rule::DeepSeek => replication.append_adams(redundant, &mut self.probe),
                    Rule::Adaptive => replication.append_adaptive(redundant, &mut self.probe),
                }
                let names = &order.expert[experts.clone()];
                for level in replication.levels.iter().filter(|level| level.count > 1) {
                    for &expert in &replication.expert[level.start..level.end] {
                        table.logcnt[names[expert as usize] as usize] = level.count as i64;
                    }
                }
                self.replicas[lane].collect(replication);
            }
            let mut to = tables
                .each_mut()
                .map(|table| (&mut table.phy2log[slots.clone()], &mut table.rank[slots.clone()]));
            let items: [_; N] = first(&mut self.replicas).map(|items| &mut items.sorted[..]);
            let gpus = topology.num_gpus() / topology.nodes();
            let steps = if rule == Rule::Adaptive { GPU_STEPS } else { 0 };
            self.packer.pack(items, gpus, steps, &mut self.probe, |lane, slot, item| {
                let (phy2log, rank) = &mut to[lane];
                phy2log[slot] = i64::from(item.expert);
                rank[slot] = i64::from(item.rank);
            });
            // One group has its experts as they are.
            if topology.groups() > 1 {
                for ((phy2log, _), order) in to.into_iter().zip(&self.orders) {
                    let names = &order.expert[experts.clone()];
                    for expert in phy2log {
                        *expert = i64::from(names[*expert as usize]);
                    }
                }
            }
        }
    }
}

/// The experts of a layer in the order of their nodes.
#[derive(Debug, Default)]
struct Order {
    expert: Vec<u32>,
    /// Their canonical loads.
    load: Vec<u64>,
    groups: Vec<Item>,
}

impl Order {
    /// Packs whole groups on nodes and lists the experts node by node, in a node by the ranks of
    /// their groups, in a group by index. One group leaves them as they are.
    fn by_node(
        &mut self,
        loads: &[u64],
        topology: &Topology,
        rule: Rule,
        packer: &mut Packer,
        probe: &mut impl Probe,
    ) {
        let Self { expert, load, groups } = self;
        expert.clear();
        expert.extend(0..loads.len() as u32);
        load.clear();
        load.extend_from_slice(loads);
        if topology.groups() == 1 {
            return;
        }
        let group_size = loads.len() / topology.groups();
        groups.clear();
        groups.extend((0u32..).zip(loads.chunks_exact(group_size)).map(|(group, loads)| Item {
            load: loads.iter().sum(),
            slot: group,
            expert: group,
            rank: 0,
        }));
        groups.sort_unstable_by_key(|item| (std::cmp::Reverse(item.load), item.slot));
        let steps = if rule == Rule::Adaptive { NODE_STEPS } else { 0 };
        packer.pack([groups], topology.nodes(), steps, probe, |_, place, group| {
            let (to, first) = (place * group_size, group.expert as usize * group_size);
            load[to..to + group_size].copy_from_slice(&loads[first..first + group_size]);
            for (expert, out) in (first as u32..).zip(&mut expert[to..to + group_size]) {
                *out = expert;
            }
        });
    }
}

/// Greedy packing, then swaps; or the items as they are, if each bin has one.
#[derive(Debug, Default)]
struct Packer {
    greedy: Greedy,
    refinement: Refinement,
    /// Which item is at each place, bin after bin, by rank in the bin.
    placed: [Vec<u32>; LANES],
}

impl Packer {
    /// Packs sets of equally many items, which come heaviest first: calls `put(set, place, item)`
    /// for each, where places are numbered bin after bin, by rank in the bin.
    fn pack<const N: usize>(
        &mut self,
        sets: [&mut [Item]; N],
        bins: usize,
        steps: usize,
        probe: &mut impl Probe,
        mut put: impl FnMut(usize, usize, &Item),
    ) {
        if sets[0].len() == bins {
            for (lane, items) in sets.into_iter().enumerate() {
                items.sort_unstable_by_key(|item| item.slot);
                for (place, item) in items.iter().enumerate() {
                    put(lane, place, item);
                }
            }
            return;
        }
        let sets = sets.map(|items| &*items);
        if steps == 0 {
            self.greedy.pack(sets, bins, put);
            return;
        }
        let mut placed: [_; N] = first(&mut self.placed);
        for (placed, items) in placed.iter_mut().zip(sets) {
            placed.resize(items.len(), 0);
        }
        let mut packed = [0; N];
        self.greedy.pack(sets, bins, |lane, place, _| {
            placed[lane][place] = packed[lane];
            packed[lane] += 1;
        });
        for (lane, (placed, items)) in placed.into_iter().zip(sets).enumerate() {
            self.refinement.refine(items, bins, steps, placed, probe);
            for (place, &i) in placed.iter().enumerate() {
                put(lane, place, &items[i as usize]);
            }
        }
    }
}
