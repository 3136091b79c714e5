//! One layer: its bound, then candidates, of which the best is the plan.
//!
//! Candidates are the plans of the search at the effort that is asked for, of shorter searches while
//! the best is not good enough, and of the published policies. A longer search takes other turns than a
//! shorter one and may end above it, so both are candidates.

use super::budget::{Budget, FAR_AHEAD};
use super::nodes::NodesSearch;
use super::search::NodeSearch;
use super::tables::{Best, Tables, write_node};
use super::task::{LayerProblem, Task};
use crate::cost::bounds::LowerBounds;
use crate::cost::gpu_loads::GpuLoads;
use crate::error::Error;
use crate::layer_planner::{Findings, Layer};
use crate::placement::bound::LayerBound;
use crate::problem::options::{Gap, Options};
use crate::problem::topology::Topology;
use crate::published::{PublishedLayers, Rule};

/// Plans layer after layer in the same buffers.
#[derive(Debug)]
pub(super) struct LayerSearch {
    /// What is searched where the published policies are ahead by more than this gap.
    fallback: Option<(Gap, Budget)>,
    bounds: LowerBounds,
    search: NodeSearch,
    nodes: NodesSearch,
    published: PublishedLayers,
    gpu_loads: GpuLoads,
    candidate: Tables,
    /// The last GPU that was seen to hold each expert.
    seen: Vec<usize>,
}

impl LayerSearch {
    /// # Errors
    /// The target gap is negative or not finite.
    pub(super) fn new(options: Options, topology: &Topology) -> Result<Self, Error> {
        let far_ahead = Gap::new(FAR_AHEAD)?;
        let fallback = Budget::fallback(options, topology)?;
        Ok(Self {
            fallback: fallback.map(|budget| (far_ahead, budget)),
            bounds: LowerBounds::default(),
            search: NodeSearch::default(),
            nodes: NodesSearch::default(),
            published: PublishedLayers::default(),
            gpu_loads: GpuLoads::default(),
            candidate: Tables::default(),
            seen: Vec::new(),
        })
    }

    /// Plans a layer; `budgets` are those of the effort that is asked for and of shorter ones.
    pub(super) fn plan(&mut self, layer: &mut Layer<'_>, topology: &Topology, budgets: &[Budget]) {
        let loads = layer.loads;
        let bound = self.bound(loads, topology);
        let problem = LayerProblem { loads, topology, bound };
        let mut best = Best::new(layer.tables.reborrow());
        let asked = &budgets[0];
        let mut as_deepseek = false;
        for budget in budgets {
            if best.peak <= asked.settled.above(bound.load) {
                break;
            }
            as_deepseek = self.offer_search(problem, budget, &mut best);
        }
        // Greedy packing without duplicates is what `deepseek` does, and moves raise no peak; if it
        // would have made duplicates, `deepseek` has them. But if an expert is on every GPU already,
        // `deepseek` may have given it more replicas; and with groups it takes experts in another
        // order, and so other ones of equal load per replica.
        let compare = best.peak > asked.gap.above(bound.load)
            && !(as_deepseek && asked.published == [Rule::DeepSeek]);
        let rules = if compare { asked.published } else { &[] };
        let with_duplicates = self.offer_published(problem, rules, &mut best);
        if let (Some((far_ahead, budget)), Some(peak)) = (self.fallback, with_duplicates)
            && best.peak > far_ahead.above(peak)
        {
            self.offer_search(problem, &budget, &mut best);
        }
        let beaten_by_duplicates = with_duplicates.is_some_and(|peak| peak < best.peak);
        *layer.findings = Findings { bound: Some(bound), beaten_by_duplicates };
    }

    /// The lower bound of a layer. On one node the search begins with Adams' counts, as the bound does.
    fn bound(&mut self, loads: &[u64], topology: &Topology) -> LayerBound {
        if topology.nodes() > 1 {
            return self.bounds.best(loads, topology);
        }
        self.search.counts.start(loads, topology.num_replicas(), topology.num_gpus());
        self.bounds.best_of_adams(&self.search.counts.adams, loads, topology)
    }

    /// Offers the plan of a search; tells whether `deepseek` begins as the search does.
    fn offer_search(
        &mut self,
        problem: LayerProblem<'_>,
        budget: &Budget,
        best: &mut Best<'_>,
    ) -> bool {
        let LayerProblem { topology, bound, .. } = problem;
        if topology.nodes() > 1 {
            let tables = self.candidate.of(topology);
            let peak = self.nodes.run(problem, budget, &mut self.search, tables);
            best.offer(peak, |tables| self.candidate.copy_to(tables));
            return false;
        }
        let (slots, gpus) = (topology.num_replicas(), topology.num_gpus());
        let everywhere = self.search.counts.everywhere(gpus);
        let target = budget.gap.above(bound.load);
        let outcome = self.search.run(Task { gpus, slots, bound: bound.load, target, budget });
        best.offer(outcome.best.peak, |tables| write_node(&outcome, |expert| expert, 0, tables));
        outcome.as_lpt && !everywhere && topology.groups() == 1
    }

    /// Offers the plans of published policies that have no duplicates; returns the least peak of the
    /// others.
    fn offer_published(
        &mut self,
        problem: LayerProblem<'_>,
        rules: &[Rule],
        best: &mut Best<'_>,
    ) -> Option<u64> {
        let LayerProblem { loads, topology, .. } = problem;
        let mut with_duplicates = None;
        for &rule in rules {
            self.published.plan([loads], topology, rule, [self.candidate.of(topology)]);
            let Tables { phy2log, logcnt, .. } = &self.candidate;
            let gpu_loads = self.gpu_loads.of_layer(loads, phy2log, logcnt, topology.cluster());
            let peak = gpu_loads.max().unwrap_or(0);
            if is_distinct(phy2log, topology, &mut self.seen) {
                best.offer(peak, |tables| self.candidate.copy_to(tables));
            } else {
                with_duplicates = Some(with_duplicates.map_or(peak, |other: u64| other.min(peak)));
            }
        }
        with_duplicates
    }
}

/// Whether no GPU holds an expert twice.
fn is_distinct(phy2log: &[i64], topology: &Topology, seen: &mut Vec<usize>) -> bool {
    let cluster = topology.cluster();
    seen.clear();
    seen.resize(topology.num_experts(), usize::MAX);
    (0..cluster.num_gpus()).all(|gpu| {
        let mut experts = phy2log[cluster.slots_of(gpu)].iter();
        experts.all(|&expert| std::mem::replace(&mut seen[expert as usize], gpu) != gpu)
    })
}
