//! A layer on several nodes: groups on nodes first, then node after node.

use std::cmp::Reverse;

use super::budget::Budget;
use super::search::NodeSearch;
use super::tables::{Best, Tables, write_node};
use super::task::{LayerProblem, Task};
use crate::cost::bounds::of_node;
use crate::cost::group_packing::{Bins, Packing, best_packings};
use crate::placement::tables::LayerTables;

/// Plans groups on nodes, in buffers that are reused.
#[derive(Debug, Default)]
pub(super) struct NodesSearch {
    /// Experts of the node at hand, and their loads.
    experts: Vec<u32>,
    loads: Vec<u64>,
    /// A packing of groups, planned.
    trial: Tables,
}

impl NodesSearch {
    /// Plans the lightest packings of groups, as long as the peak is above the target and that of a
    /// packing may be lower. Returns the peak of the best, which is in `tables`.
    pub(super) fn run(
        &mut self,
        problem: LayerProblem<'_>,
        budget: &Budget,
        search: &mut NodeSearch,
        tables: LayerTables<'_>,
    ) -> u64 {
        let LayerProblem { topology, bound, .. } = problem;
        let groups: Vec<u64> = problem.groups().map(|group| group.iter().sum()).collect();
        let (wanted, steps) = (budget.group_packings, budget.group_steps);
        let mut best = Best::new(tables);
        let mut trial = std::mem::take(&mut self.trial);
        for packing in best_packings(&groups, Bins::Equal(topology.nodes()), wanted, steps) {
            if best.peak <= budget.gap.above(bound.load) {
                break;
            }
            let tables = &mut trial.of(topology);
            if let Some(peak) = self.plan(problem, &packing, budget, search, best.peak, tables) {
                best.offer(peak, |tables| trial.copy_to(tables));
            }
        }
        self.trial = trial;
        best.peak
    }

    /// Plans every node of a packing; returns the peak if it is below `limit`.
    fn plan(
        &mut self,
        problem: LayerProblem<'_>,
        packing: &Packing,
        budget: &Budget,
        search: &mut NodeSearch,
        limit: u64,
        tables: &mut LayerTables<'_>,
    ) -> Option<u64> {
        let LayerProblem { topology, bound, .. } = problem;
        let nodes = topology.nodes();
        let (gpus, slots) = (topology.num_gpus() / nodes, topology.num_replicas() / nodes);
        let mut peak = bound.load;
        for node in heaviest_first(problem, packing) {
            self.collect(problem, packing, node);
            search.counts.start(&self.loads, slots, gpus);
            let node_bound = of_node(&search.counts.adams, slots, gpus);
            if node_bound >= limit {
                return None;
            }
            // No node needs to be better than the heaviest so far.
            let target = budget.gap.above(node_bound.max(bound.load)).max(peak);
            let outcome = search.run(Task { gpus, slots, bound: node_bound, target, budget });
            peak = peak.max(outcome.best.peak);
            if peak >= limit {
                return None;
            }
            let expert = |index: u32| self.experts[index as usize];
            write_node(&outcome, expert, node * slots, tables);
        }
        Some(peak)
    }

    /// Lists the experts of a node, and their loads.
    fn collect(&mut self, problem: LayerProblem<'_>, packing: &Packing, node: usize) {
        self.experts.clear();
        self.loads.clear();
        let mut first = 0;
        for (group, &home) in problem.groups().zip(&packing.bin) {
            let end = first + group.len() as u32;
            if home as usize == node {
                self.experts.extend(first..end);
                self.loads.extend_from_slice(group);
            }
            first = end;
        }
    }
}

/// The nodes of a packing, by descending load.
fn heaviest_first(problem: LayerProblem<'_>, packing: &Packing) -> Vec<usize> {
    let nodes = problem.topology.nodes();
    let mut load = vec![0; nodes];
    for (group, &node) in problem.groups().zip(&packing.bin) {
        load[node as usize] += group.iter().sum::<u64>();
    }
    let mut order: Vec<usize> = (0..nodes).collect();
    order.sort_unstable_by_key(|&node| (Reverse(load[node]), node));
    order
}
