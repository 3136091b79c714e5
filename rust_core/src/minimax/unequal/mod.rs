//! `minimax` on GPUs in use that are not equal: the least largest time, load by speed, that a search finds.
//!
//! The steps are those for equal GPUs, with times in the place of loads: groups go to nodes, which are
//! [`zones`](gpus); in each zone [`search`] begins with replica counts that fit ([`Gpus::room`]), an initial
//! placement ([`place`]) and its improvement ([`improve`], [`swap`]), and if these do not reach the target,
//! tries other counts and transferred replicas ([`transfer`]). A zone of equal GPUs is searched as a node
//! of equal ones is. A layer that misses its target is planned by `multiwindow` too.

mod gpus;
mod improve;
mod layout;
mod limits;
mod place;
mod search;
mod swap;
#[cfg(test)]
mod tests;
mod transfer;

use std::cmp::Reverse;

use super::budget::Budget;
use super::search::NodeSearch;
use super::tables::Tables;
use super::task::{LayerProblem, Task};
use crate::cost::bounds::{LowerBounds, heaviest_replica, of_node};
use crate::cost::gpu_loads::GpuLoads;
use crate::cost::group_packing::{Bins, Packing, best_packings};
use crate::error::Error;
use crate::layer_planner::{Findings, Layer, LayerPlanner};
use crate::over_time::multiwindow::MultiWindow;
use crate::placement::EMPTY;
use crate::problem::cluster::Gpu;
use crate::problem::share::SHARE_UNIT;
use crate::problem::topology::Topology;

use gpus::{EqualGpus, Gpus};
use improve::Goal;
use search::ZoneSearch;

/// Plans layer after layer in the same buffers.
#[derive(Debug)]
pub(super) struct UnequalSearch {
    zones: Vec<Gpus>,
    /// The speed of each zone.
    speeds: Vec<u64>,
    bounds: LowerBounds,
    search: ZoneSearch,
    /// For zones of equal GPUs.
    node_search: NodeSearch,
    /// If its plans are candidates.
    multiwindow: Option<MultiWindow>,
    gpu_loads: GpuLoads,
    tables: Tables,
    /// Experts of the zone at hand, and their loads.
    experts: Vec<u32>,
    loads: Vec<u64>,
    /// The expert in each slot of the cluster, while a packing of groups is planned.
    trial: Vec<i64>,
}

impl UnequalSearch {
    /// # Errors
    /// Some GPU would have to hold an expert twice.
    pub(super) fn new(topology: &Topology, budgets: &[Budget]) -> Result<Self, Error> {
        let zones = Gpus::zones(topology);
        let multiwindow = budgets.iter().any(|budget| budget.multiwindow);
        Ok(Self {
            speeds: zones.iter().map(|zone| zone.speed.iter().sum()).collect(),
            zones,
            bounds: LowerBounds::default(),
            search: ZoneSearch::default(),
            node_search: NodeSearch::default(),
            experts: Vec::new(),
            loads: Vec::new(),
            trial: Vec::new(),
            multiwindow: multiwindow.then(|| MultiWindow::new(topology)).transpose()?,
            gpu_loads: GpuLoads::default(),
            tables: Tables::default(),
        })
    }

    /// Plans a layer; `budgets` are those of the effort that is asked for and of shorter ones.
    pub(super) fn plan(&mut self, layer: &mut Layer<'_>, topology: &Topology, budgets: &[Budget]) {
        let loads = layer.loads;
        let bound = self.bounds.best(loads, topology);
        let problem = LayerProblem { loads, topology, bound };
        let mut peak = u64::MAX;
        for budget in budgets {
            if peak <= budgets[0].settled.above(bound.load) {
                break;
            }
            self.offer_search(problem, budget, &mut peak, layer.tables.phy2log);
        }
        if peak > budgets[0].gap.above(bound.load) {
            self.offer_multiwindow(problem, peak, layer.tables.phy2log);
        }
        layer.tables.rank_by_slot();
        *layer.findings = Findings { bound: Some(bound), beaten_by_duplicates: false };
    }

    /// Plans the packings of groups that promise most, as long as the peak is above the target and that of
    /// a packing may be lower. Plans that lower the peak go to `phy2log`.
    fn offer_search(
        &mut self,
        problem: LayerProblem<'_>,
        budget: &Budget,
        peak: &mut u64,
        phy2log: &mut [i64],
    ) {
        self.trial.clear();
        self.trial.resize(phy2log.len(), EMPTY);
        let target = budget.gap.above(problem.bound.load);
        for packing in self.packings(problem, budget) {
            if let Some(found) = self.plan_packing(problem, &packing, budget, *peak) {
                *peak = found;
                phy2log.copy_from_slice(&self.trial);
                if found <= target {
                    break;
                }
            }
        }
    }

    /// Takes the plan of `multiwindow` if it is better than one with this `peak`.
    fn offer_multiwindow(&mut self, problem: LayerProblem<'_>, peak: u64, phy2log: &mut [i64]) {
        let Some(multiwindow) = &mut self.multiwindow else { return };
        let LayerProblem { loads, topology, .. } = problem;
        let (tables, findings) = (self.tables.of(topology), &mut Findings::default());
        multiwindow.plan(&mut [Layer { loads, history: None, tables, findings }]);
        let Tables { phy2log: planned, logcnt, .. } = &self.tables;
        let cluster = topology.cluster();
        let gpu_loads = self.gpu_loads.of_layer(loads, planned, logcnt, cluster);
        let time = |(load, gpu): (u64, &Gpu)| load.div_ceil(u64::from(gpu.speed));
        if gpu_loads.zip(cluster.gpus()).map(time).max().unwrap_or(0) < peak {
            phy2log.copy_from_slice(planned);
        }
    }

    fn packings(&self, problem: LayerProblem<'_>, budget: &Budget) -> Vec<Packing> {
        if self.zones.len() == 1 {
            return vec![Packing { peak: 0, bin: vec![0; problem.topology.groups()] }];
        }
        let groups: Vec<u64> = problem.groups().map(|group| group.iter().sum()).collect();
        let bins = Bins::Speeds(&self.speeds);
        best_packings(&groups, bins, budget.group_packings, budget.group_steps)
    }

    /// Plans every zone of a packing, in `trial`; returns the peak if it is below `limit`.
    fn plan_packing(
        &mut self,
        problem: LayerProblem<'_>,
        packing: &Packing,
        budget: &Budget,
        limit: u64,
    ) -> Option<u64> {
        let mut peak = problem.bound.load;
        for zone in self.longest_first(problem, packing) {
            self.collect(problem, packing, zone);
            // No zone needs to be better than the longest so far.
            let goal = Goal { bound: problem.bound.load, target: peak, budget };
            peak = peak.max(self.search_zone(zone, goal));
            if peak >= limit {
                return None;
            }
        }
        Some(peak)
    }

    /// Plans the zone whose experts are collected, and writes it; returns its peak.
    fn search_zone(&mut self, zone: usize, goal: Goal<'_>) -> u64 {
        let gpus = &self.zones[zone];
        if let Some(equal) = gpus.equal() {
            return self.search_node(zone, equal, goal);
        }
        self.search.start(&self.loads, gpus);
        let total = self.loads.iter().sum::<u64>() * SHARE_UNIT;
        let heaviest = heaviest_replica(&self.search.counts.adams);
        let fastest = gpus.speed.iter().copied().max().unwrap_or(1);
        let own = total.div_ceil(self.speeds[zone]).max(heaviest.div_ceil(fastest));
        let goal = goal.of_zone(own);
        let peak = self.search.run(gpus, goal);
        for gpu in 0..gpus.len() {
            let held = self.search.best.on(gpus, gpu);
            for (slot, &position) in gpus.slots_of_cluster(gpu).zip(held) {
                let expert = self.search.counts.adams.expert[position as usize];
                self.trial[slot] = i64::from(self.experts[expert as usize]);
            }
        }
        peak
    }

    /// The same for equal GPUs, whose time is their load by one speed.
    fn search_node(&mut self, zone: usize, equal: EqualGpus, goal: Goal<'_>) -> u64 {
        let gpus = &self.zones[zone];
        let EqualGpus { slots, speed } = equal;
        let (num_gpus, num_slots) = (gpus.len(), gpus.len() * slots);
        let search = &mut self.node_search;
        search.counts.start(&self.loads, num_slots, num_gpus);
        let bound = of_node(&search.counts.adams, num_slots, num_gpus);
        let Goal { target, budget, .. } = goal.of_zone(bound.div_ceil(speed));
        let target = target.saturating_mul(speed);
        let task = Task { gpus: num_gpus, slots: num_slots, bound, target, budget };
        let outcome = search.run(task);
        let (replicas, layout) = (&outcome.best.replicas, &outcome.best.layout);
        for gpu in 0..num_gpus {
            for (slot, &index) in gpus.slots_of_cluster(gpu).zip(layout.on(gpu)) {
                let expert = outcome.expert[replicas.position[index as usize] as usize];
                self.trial[slot] = i64::from(self.experts[expert as usize]);
            }
        }
        outcome.best.peak.div_ceil(speed)
    }

    /// The zones of a packing, those that take longest first.
    fn longest_first(&self, problem: LayerProblem<'_>, packing: &Packing) -> Vec<usize> {
        let mut load = vec![0; self.zones.len()];
        for (group, &zone) in problem.groups().zip(&packing.bin) {
            load[zone as usize] += group.iter().sum::<u64>();
        }
        let time = |zone: usize| (load[zone] * SHARE_UNIT).div_ceil(self.speeds[zone]);
        let mut order: Vec<usize> = (0..load.len()).collect();
        order.sort_unstable_by_key(|&zone| (Reverse(time(zone)), zone));
        order
    }

    /// Lists the experts of a zone, and their loads.
    fn collect(&mut self, problem: LayerProblem<'_>, packing: &Packing, zone: usize) {
        self.experts.clear();
        self.loads.clear();
        let mut first = 0;
        for (group, &home) in problem.groups().zip(&packing.bin) {
            let end = first + group.len() as u32;
            if home as usize == zone {
                self.experts.extend(first..end);
                self.loads.extend_from_slice(group);
            }
            first = end;
        }
    }
}
