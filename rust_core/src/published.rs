//! One layer by the published policies, `deepseek` and `adaptive`: groups to nodes, then, node by
//! node, copies to experts and copies to GPUs.

use crate::items::{Item, Items};
use crate::pack::Greedy;
use crate::refine::Refinement;
use crate::replicate::Replication;
use crate::topology::Topology;
use crate::trace::{Silent, Trace};

/// A layer of a plan being written: `[P]` slots, `[P]` ranks, `[L]` counts.
#[derive(Debug)]
pub(crate) struct LayerTables<'a> {
    pub(crate) phy2log: &'a mut [i64],
    pub(crate) rank: &'a mut [i64],
    pub(crate) logcnt: &'a mut [i64],
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    DeepSeek,
    Adaptive,
}

/// Swap steps of `adaptive` for groups on nodes and for copies on GPUs.
const NODE_STEPS: usize = 1;
const GPU_STEPS: usize = 2;

/// Plans layer after layer in the same buffers.
#[derive(Debug, Default)]
pub(crate) struct Published<T = Silent> {
    replication: Replication,
    items: Items,
    packer: Packer,
    groups: Vec<Item>,
    /// Experts in the order of their nodes.
    expert: Vec<u32>,
    /// Their canonical loads.
    load: Vec<u64>,
    pub(crate) trace: T,
}

impl<T: Trace> Published<T> {
    /// Plans one layer of canonical loads `[L]`. Time O(P log P).
    pub(crate) fn plan_layer(
        &mut self,
        loads: &[u64],
        topology: &Topology,
        rule: Rule,
        tables: &mut LayerTables<'_>,
    ) {
        self.order_by_node(loads, topology, rule);
        tables.logcnt.fill(1);
        let experts_per_node = topology.num_experts() / topology.nodes();
        let slots_per_node = topology.num_replicas() / topology.nodes();
        for node in 0..topology.nodes() {
            let experts = node * experts_per_node..(node + 1) * experts_per_node;
            let slots = node * slots_per_node..(node + 1) * slots_per_node;
            self.replicate(experts.clone(), slots_per_node - experts_per_node, rule);
            let names = &self.expert[experts];
            for level in self.replication.levels.iter().filter(|level| level.count > 1) {
                for &expert in &self.replication.expert[level.start..level.end] {
                    tables.logcnt[names[expert as usize] as usize] = level.count as i64;
                }
            }
            self.items.collect(&self.replication);
            let (phy2log, rank) = (&mut tables.phy2log[slots.clone()], &mut tables.rank[slots]);
            let steps = if rule == Rule::Adaptive { GPU_STEPS } else { 0 };
            let gpus = topology.num_gpus() / topology.nodes();
            self.packer.pack(
                &mut self.items.sorted,
                gpus,
                steps,
                &mut self.trace,
                move |slot, item| {
                    phy2log[slot] = i64::from(names[item.expert as usize]);
                    rank[slot] = i64::from(item.rank);
                },
            );
        }
    }

    /// Packs whole groups on nodes and lists the experts node by node, in a node by the ranks of
    /// their groups, in a group by index. One group on one node leaves them as they are.
    fn order_by_node(&mut self, loads: &[u64], topology: &Topology, rule: Rule) {
        let group_size = loads.len() / topology.groups();
        self.groups.clear();
        self.groups.extend((0u32..).zip(loads.chunks_exact(group_size)).map(|(group, loads)| {
            Item { load: loads.iter().sum(), slot: group, expert: group, rank: 0 }
        }));
        self.groups.sort_unstable_by_key(|item| (std::cmp::Reverse(item.load), item.slot));
        let steps = if rule == Rule::Adaptive { NODE_STEPS } else { 0 };
        self.expert.resize(loads.len(), 0);
        self.load.resize(loads.len(), 0);
        let (groups, nodes) = (&mut self.groups, topology.nodes());
        self.packer.pack(groups, nodes, steps, &mut self.trace, |place, group| {
            let (to, first) = (place * group_size, group.expert as usize * group_size);
            self.load[to..to + group_size].copy_from_slice(&loads[first..first + group_size]);
            for (expert, out) in (first as u32..).zip(&mut self.expert[to..to + group_size]) {
                *out = expert;
            }
        });
    }

    /// Gives copies to the experts of a node.
    fn replicate(&mut self, experts: std::ops::Range<usize>, spares: usize, rule: Rule) {
        self.replication.start(&self.load[experts]);
        match rule {
            Rule::DeepSeek => self.replication.append_adams(spares, &mut self.trace),
            Rule::Adaptive => self.replication.append_adaptive(spares, &mut self.trace),
        }
    }
}

/// `packing` of the design: greedy, then swaps, or the items as they are where each pack has one.
#[derive(Debug, Default)]
struct Packer {
    greedy: Greedy,
    refinement: Refinement,
    /// Which item is at each place, pack after pack, by rank in the pack.
    placed: Vec<u32>,
}

impl Packer {
    /// Packs `items`, which come heaviest first: calls `put(place, item)` for each, where places
    /// are numbered pack after pack, by rank in the pack.
    fn pack(
        &mut self,
        items: &mut [Item],
        packs: usize,
        steps: usize,
        trace: &mut impl Trace,
        mut put: impl FnMut(usize, &Item),
    ) {
        if items.len() == packs {
            items.sort_unstable_by_key(|item| item.slot);
            for (place, item) in items.iter().enumerate() {
                put(place, item);
            }
        } else if steps == 0 {
            self.greedy.pack(items, packs, put);
        } else {
            self.placed.resize(items.len(), 0);
            let (mut i, placed) = (0, &mut self.placed);
            self.greedy.pack(items, packs, |place, _| {
                placed[place] = i;
                i += 1;
            });
            self.refinement.refine(items, packs, steps, &mut self.placed, trace);
            for (place, &i) in self.placed.iter().enumerate() {
                put(place, &items[i as usize]);
            }
        }
    }
}
