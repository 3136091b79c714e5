//! `minimax` on GPUs in use that are not equal: the least largest time, load by speed, that a search finds.
//!
//! The steps are those for equal GPUs, with times in the place of loads: groups go to nodes, the zones of
//! [`gpus`]; in each zone [`search`] begins with replica counts that fit ([`Gpus::room`]), an initial
//! placement ([`place`]) and its improvement ([`improve`], [`swap`]), and if these do not reach the target,
//! tries other counts and transferred replicas ([`transfer`]). A zone of equal GPUs is searched as a node
//! of equal ones is. A layer that misses its target is planned by `multiwindow` too.

mod exhaustive;
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
use limits::{LISTED_PACKINGS, MOST_TO_PLACE_AGAIN, SLOTS_OF_MANY_PACKINGS};
use search::ZoneSearch;

/// Plans layer after layer in the same buffers.
#[derive(Debug)]
pub(super) struct UnequalSearch {
    zones: Vec<Gpus>,
    /// The speed of each zone, and the first zone with the same GPUs.
    speeds: Vec<u64>,
    kinds: Vec<usize>,
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
        let kind = |zone: &Gpus| zones.iter().position(|other| other.is_like(zone)).unwrap_or(0);
        let large = topology.num_replicas() * topology.num_gpus() > MOST_TO_PLACE_AGAIN;
        let multiwindow = !large && budgets.iter().any(|budget| budget.multiwindow);
        Ok(Self {
            speeds: zones.iter().map(|zone| zone.speed.iter().sum()).collect(),
            kinds: zones.iter().map(kind).collect(),
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

    /// Plans packings of groups: the lightest one first, then those with the lowest bounds, as long as the
    /// peak is above the target and that of a packing may be lower. Plans that lower the peak go to
    /// `phy2log`.
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
        let packings = self.packings(problem, budget);
        let wanted = budget.group_packings * (SLOTS_OF_MANY_PACKINGS / phy2log.len()).max(1);
        let mut order = vec![(0, 0)];
        let mut next = 0;
        while let Some(&(bound, index)) = order.get(next).filter(|_| next < wanted) {
            if bound >= *peak {
                break;
            }
            if let Some(found) = self.plan_packing(problem, &packings[index], budget, *peak) {
                *peak = found;
                phy2log.copy_from_slice(&self.trial);
                if found <= target {
                    break;
                }
            }
            if next == 0 {
                let others = packings.iter().zip(0..).skip(1);
                order.extend(others.map(|(packing, index)| {
                    let zones = 0..self.zones.len();
                    let own = zones.map(|zone| self.zone_bound(problem, packing, zone)).max();
                    (own.unwrap_or(0), index)
                }));
                order[1..].sort_unstable();
            }
            next += 1;
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
        let bins = Bins::Unequal { speeds: &self.speeds, kinds: &self.kinds };
        let listed = budget.group_packings * LISTED_PACKINGS;
        best_packings(&groups, bins, listed, budget.group_steps)
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
            let own = self.zone_bound(problem, packing, zone);
            // No zone needs to be better than the longest so far.
            let goal = Goal { bound: own.max(problem.bound.load), target: peak, budget };
            peak = peak.max(self.search_zone(zone, goal));
            if peak >= limit {
                return None;
            }
        }
        Some(peak)
    }

    /// Collects the experts of a zone, begins its search, and returns a bound of its peak.
    fn zone_bound(&mut self, problem: LayerProblem<'_>, packing: &Packing, zone: usize) -> u64 {
        self.collect(problem, packing, zone);
        let gpus = &self.zones[zone];
        if let Some(EqualGpus { slots, speed }) = gpus.equal() {
            let counts = &mut self.node_search.counts;
            counts.start(&self.loads, gpus.num_slots(), gpus.len());
            return of_node(&counts.adams, slots * gpus.len(), gpus.len()).div_ceil(speed);
        }
        self.search.start(&self.loads, gpus);
        let total = self.loads.iter().sum::<u64>() * SHARE_UNIT;
        let heaviest = heaviest_replica(&self.search.counts.adams);
        let fastest = gpus.speed.iter().copied().max().unwrap_or(1);
        total.div_ceil(self.speeds[zone]).max(heaviest.div_ceil(fastest))
    }

    /// Plans the zone whose search has begun, and writes it; returns its peak.
    fn search_zone(&mut self, zone: usize, goal: Goal<'_>) -> u64 {
        let gpus = &self.zones[zone];
        let goal = goal.with_own_target();
        if let Some(equal) = gpus.equal() {
            return self.search_node(zone, equal, goal);
        }
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
        let speed = equal.speed;
        let task = Task {
            gpus: gpus.len(),
            slots: gpus.num_slots(),
            bound: goal.bound.saturating_mul(speed),
            target: goal.target.saturating_mul(speed),
            budget: goal.budget,
        };
        let outcome = self.node_search.run(task);
        let (replicas, layout) = (&outcome.best.replicas, &outcome.best.layout);
        for gpu in 0..gpus.len() {
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
