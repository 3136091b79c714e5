//! One layer by `minimax`: the least largest GPU load that a search finds, with no two copies of an
//! expert on one GPU.
//!
//! Copies by Adams' method ([`copies`]); a first layout by greedy packing ([`deal`]); columns of
//! copies re-matched ([`rematch`]); exchanges between the busiest GPU and others ([`swap`],
//! [`pair_swap`]); where these do not reach the target, other choices of copies, and copies that
//! change their expert ([`retarget`]). Groups are put on nodes first ([`packings`]). A search ends at
//! its target, or when its work, counted in operations, is done.

mod copies;
mod deal;
mod layout;
mod node;
mod packings;
mod pair_swap;
mod rematch;
mod replicas;
mod retarget;
mod swap;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use crate::cost::bounds::LowerBounds;
use crate::error::{Error, ErrorKind, parameter};
use crate::kernel::probe::Silent;
use crate::layer_planner::{Findings, Layer, LayerPlanner};
use crate::placement::bound::LayerBound;
use crate::placement::tables::LayerTables;
use crate::problem::options::{Effort, Gap, Options};
use crate::problem::share::{SHARE_UNIT, packing_load};
use crate::problem::topology::Topology;
use crate::published::{PublishedLayers, Rule};

use node::{Limits, NodePlanner, Task};
use packings::Packing;

/// How far to search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search {
    effort: Effort,
    /// That of each effort, shortest first.
    gaps: [Gap; 3],
}

impl Search {
    /// # Errors
    /// The target gap is negative or not finite.
    pub(crate) fn new(options: Options, topology: &Topology) -> Result<Self, Error> {
        let Options { effort, target_gap, .. } = options;
        let gap =
            |effort: Effort| Gap::new(target_gap.unwrap_or_else(|| effort.target_gap(topology)));
        let gaps = [gap(Effort::Fast)?, gap(Effort::Default)?, gap(Effort::Best)?];
        Ok(Self { effort, gaps })
    }

    fn gap(self) -> Gap {
        self.gaps[self.effort as usize]
    }

    /// That of the next shorter effort.
    fn shorter(self) -> Option<Self> {
        let effort = match self.effort {
            Effort::Fast => return None,
            Effort::Default => Effort::Fast,
            Effort::Best => Effort::Default,
        };
        Some(Self { effort, ..self })
    }
}

/// Whether no GPU has to hold an expert twice.
///
/// # Errors
/// Some GPU would have to.
pub(crate) fn check_distinct(topology: &Topology) -> Result<(), Error> {
    let (experts, nodes, gpus) = (topology.num_experts(), topology.nodes(), topology.num_gpus());
    let per_gpu = topology.slots_per_gpu();
    if per_gpu <= experts / nodes {
        return Ok(());
    }
    let there_are = if nodes == 1 {
        format!(" means {per_gpu} slots per GPU, but there are {experts} experts")
    } else {
        let on_node = experts / nodes;
        format!(" means {per_gpu} slots per GPU, but each of {nodes} nodes has {on_node} experts")
    };
    let problem = [parameter("num_replicas", topology.num_replicas()), there_are.into()];
    Err(Error::new(ErrorKind::Topology, problem)
        .expected("no expert twice on a GPU, which the policy minimax never does")
        .hint([
            "try ".into(),
            parameter("num_replicas", experts / nodes * gpus),
            " or ".into(),
            parameter("policy", "deepseek"),
        ]))
}

/// The policy `minimax`.
#[derive(Debug)]
pub(crate) struct Minimax {
    search: Search,
    topology: Topology,
    layers: MinimaxLayers,
}

impl Minimax {
    /// # Errors
    /// Some GPU would have to hold an expert twice; the target gap is negative or not finite.
    pub(crate) fn new(options: Options, topology: &Topology) -> Result<Self, Error> {
        let search = Search::new(options, topology)?;
        check_distinct(topology)?;
        Ok(Self { search, topology: topology.clone(), layers: MinimaxLayers::default() })
    }
}

impl LayerPlanner for Minimax {
    fn plan(&mut self, layers: &mut [Layer<'_>]) {
        for Layer { loads, tables, findings } in layers {
            **findings = self.layers.plan_layer(loads, &self.topology, self.search, tables);
        }
    }
}

/// Plans layer after layer in the same buffers.
#[derive(Debug, Default)]
pub(crate) struct MinimaxLayers {
    bounds: LowerBounds,
    node: NodePlanner<Silent>,
    published: PublishedLayers,
    /// Experts of the node at hand, and their loads.
    experts: Vec<u32>,
    loads: Vec<u64>,
    /// A layer to compare with.
    other: Tables,
    /// The layer by a shorter search.
    shorter: Tables,
    /// Last GPU that was seen to hold each expert.
    seen: Vec<usize>,
}

/// The tables of a layer.
#[derive(Debug, Default)]
struct Tables {
    phy2log: Vec<i64>,
    rank: Vec<i64>,
    logcnt: Vec<i64>,
}

impl Tables {
    fn borrow(&mut self, topology: &Topology) -> LayerTables<'_> {
        self.phy2log.resize(topology.num_replicas(), 0);
        self.rank.resize(topology.num_replicas(), 0);
        self.logcnt.resize(topology.num_experts(), 0);
        let Self { phy2log, rank, logcnt } = self;
        LayerTables { phy2log, rank, logcnt }
    }

    fn copy_to(&self, tables: &mut LayerTables<'_>) {
        tables.phy2log.copy_from_slice(&self.phy2log);
        tables.rank.copy_from_slice(&self.rank);
        tables.logcnt.copy_from_slice(&self.logcnt);
    }
}

impl MinimaxLayers {
    /// Plans one layer of canonical loads `[L]`.
    pub(crate) fn plan_layer(
        &mut self,
        loads: &[u64],
        topology: &Topology,
        search: Search,
        tables: &mut LayerTables<'_>,
    ) -> Findings {
        let (bound, mut peak) = self.search(loads, topology, search, tables);
        let enough = match search.effort {
            Effort::Best => bound.load,
            Effort::Fast | Effort::Default => search.gap().above(bound.load),
        };
        // A longer search takes other turns: let it not end above a shorter one.
        let mut shorter = search.shorter();
        while let Some(search) = shorter.filter(|_| peak > enough) {
            let mut trial = std::mem::take(&mut self.shorter);
            let mut other = trial.borrow(topology);
            let (_, other_peak) = self.search(loads, topology, search, &mut other);
            if other_peak < peak {
                peak = other_peak;
                trial.copy_to(tables);
            }
            self.shorter = trial;
            shorter = search.shorter();
        }
        let mut findings = Findings { bound: Some(bound), beaten_by_duplicates: false };
        // Greedy packing without duplicates is what `deepseek` does, and steps raise no peak; where it
        // would have made duplicates, `deepseek` has them. But where an expert is on every GPU already,
        // `deepseek` may have given it more copies; and with groups it takes experts in another order,
        // and so other ones of equal load per copy.
        let everywhere = topology.num_gpus() as u32;
        let as_published = search.effort == Effort::Fast
            && topology.groups() == 1
            && self.node.greedy
            && !self.node.copies.counts.contains(&everywhere);
        if peak > search.gap().above(bound.load) && !as_published {
            findings.beaten_by_duplicates =
                self.compare(loads, topology, search.effort, peak, tables);
        }
        findings
    }

    /// Searches at one effort; returns the bound and the largest GPU load.
    fn search(
        &mut self,
        loads: &[u64],
        topology: &Topology,
        search: Search,
        tables: &mut LayerTables<'_>,
    ) -> (LayerBound, u64) {
        if topology.nodes() == 1 {
            self.plan_global(loads, topology, search, tables)
        } else {
            self.plan_nodes(loads, topology, search, tables)
        }
    }

    fn plan_global(
        &mut self,
        loads: &[u64],
        topology: &Topology,
        search: Search,
        tables: &mut LayerTables<'_>,
    ) -> (LayerBound, u64) {
        let (slots, gpus) = (topology.num_replicas(), topology.num_gpus());
        self.node.start(loads, slots, gpus);
        let bound = self.bounds.best_of_adams(&self.node.copies.adams, loads, topology);
        let target = search.gap().above(bound.load);
        let limits = Limits::of(search.effort, topology.slots_per_gpu());
        self.node.place(Task { gpus, slots, bound: bound.load, target, limits });
        write_node(&self.node, |position| position, 0, tables);
        (bound, self.node.best.peak)
    }

    /// Packs groups on nodes, plans each node, and tries other packings while the largest GPU load
    /// is above the target and theirs may be lower.
    fn plan_nodes(
        &mut self,
        loads: &[u64],
        topology: &Topology,
        search: Search,
        tables: &mut LayerTables<'_>,
    ) -> (LayerBound, u64) {
        let bound = self.bounds.best(loads, topology);
        let target = search.gap().above(bound.load);
        let group_size = loads.len() / topology.groups();
        let groups: Vec<u64> =
            loads.chunks_exact(group_size).map(|group| group.iter().sum()).collect();
        let (wanted, steps) = match search.effort {
            Effort::Fast => (1, 1000),
            Effort::Default => (4, 1000),
            Effort::Best => (64, 100_000),
        };
        let packings = packings::list(&groups, topology.nodes(), wanted, steps);
        let mut best = u64::MAX;
        let mut trial = std::mem::take(&mut self.other);
        for packing in &packings {
            if best <= target {
                break;
            }
            let peak =
                self.plan_packing(loads, topology, search, packing, bound.load, best, &mut trial);
            if peak < best {
                best = peak;
                trial.copy_to(tables);
            }
        }
        self.other = trial;
        (bound, best)
    }

    /// Plans every node of a packing; returns the largest GPU load, or, as soon as that is not
    /// below `limit`, no less than that.
    #[expect(clippy::too_many_arguments, reason = "all of them make the problem")]
    fn plan_packing(
        &mut self,
        loads: &[u64],
        topology: &Topology,
        search: Search,
        packing: &Packing,
        bound: u64,
        limit: u64,
        tables: &mut Tables,
    ) -> u64 {
        let nodes = topology.nodes();
        let (gpus, slots) = (topology.num_gpus() / nodes, topology.num_replicas() / nodes);
        let group_size = loads.len() / topology.groups();
        let mut tables = tables.borrow(topology);
        let mut node_load = vec![0; nodes];
        for (group, &node) in loads.chunks_exact(group_size).zip(&packing.node) {
            node_load[node as usize] += group.iter().sum::<u64>();
        }
        // The heaviest node first: no other need do better than it.
        let mut order: Vec<usize> = (0..nodes).collect();
        order.sort_unstable_by_key(|&node| (Reverse(node_load[node]), node));
        let mut peak = bound;
        for node in order {
            self.experts.clear();
            for group in (0..topology.groups()).filter(|&g| packing.node[g] as usize == node) {
                let first = (group * group_size) as u32;
                self.experts.extend(first..first + group_size as u32);
            }
            self.loads.clear();
            self.loads.extend(self.experts.iter().map(|&expert| loads[expert as usize]));
            let heaviest = self.node.start(&self.loads, slots, gpus);
            let mean = (node_load[node] * SHARE_UNIT).div_ceil(gpus as u64);
            let mut node_bound = heaviest.max(mean);
            if slots == self.loads.len() {
                node_bound = node_bound.max(self.node.best.replicas.crowded_bound(gpus));
            }
            if node_bound >= limit {
                return limit;
            }
            let target = search.gap().above(node_bound.max(bound)).max(peak);
            let limits = Limits::of(search.effort, topology.slots_per_gpu());
            self.node.place(Task { gpus, slots, bound: node_bound, target, limits });
            peak = peak.max(self.node.best.peak);
            if peak >= limit {
                return limit;
            }
            let expert = |position: u32| self.experts[position as usize];
            write_node(&self.node, expert, node * slots, &mut tables);
        }
        peak
    }

    /// Plans the layer by the published policies too, and takes the best plan without duplicates.
    /// Tells whether one with duplicates has a lower peak.
    fn compare(
        &mut self,
        loads: &[u64],
        topology: &Topology,
        effort: Effort,
        mut peak: u64,
        tables: &mut LayerTables<'_>,
    ) -> bool {
        let rules = [Rule::DeepSeek, Rule::Adaptive];
        let mut with_duplicates = u64::MAX;
        for rule in &rules[..if effort == Effort::Fast { 1 } else { 2 }] {
            self.published.plan([loads], topology, *rule, [self.other.borrow(topology)]);
            let other = self.other.borrow(topology);
            let (other_peak, distinct) = judge(loads, topology, &other, &mut self.seen);
            if !distinct {
                with_duplicates = with_duplicates.min(other_peak);
            } else if other_peak < peak {
                peak = other_peak;
                self.other.copy_to(tables);
            }
        }
        with_duplicates < peak
    }
}

/// The largest GPU load of a layer, and whether no GPU holds an expert twice.
fn judge(
    loads: &[u64],
    topology: &Topology,
    tables: &LayerTables<'_>,
    seen: &mut Vec<usize>,
) -> (u64, bool) {
    seen.clear();
    seen.resize(loads.len(), usize::MAX);
    let (mut peak, mut distinct) = (0, true);
    for (gpu, slots) in tables.phy2log.chunks_exact(topology.slots_per_gpu()).enumerate() {
        let mut load = 0;
        for expert in slots.iter().map(|&expert| expert as usize) {
            load += packing_load(loads[expert], tables.logcnt[expert] as u64);
            distinct &= std::mem::replace(&mut seen[expert], gpu) != gpu;
        }
        peak = peak.max(load);
    }
    (peak, distinct)
}

/// Writes a node's plan from its first slot on; `expert` names its experts.
fn write_node(
    node: &NodePlanner<Silent>,
    expert: impl Fn(u32) -> u32,
    first_slot: usize,
    tables: &mut LayerTables<'_>,
) {
    let (replicas, layout) = (&node.best.replicas, &node.best.layout);
    let slots = first_slot..first_slot + layout.slots.len();
    let phy2log = &mut tables.phy2log[slots.clone()];
    let rank = &mut tables.rank[slots];
    for ((&copy, phy2log), rank) in layout.slots.iter().zip(phy2log).zip(rank) {
        let replica = replicas.sorted[copy as usize];
        let position = replicas.position[copy as usize];
        let expert = expert(node.copies.adams.expert[position as usize]);
        *phy2log = expert as i64;
        *rank = i64::from(copy - replica.first);
        tables.logcnt[expert as usize] = replica.copies().into();
    }
}
