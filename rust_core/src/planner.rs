//! All layers of a plan, on one thread or several.

use crate::error::Error;
use crate::kernel::threads::share_out;
use crate::minimax::{self, Minimax, Outcome};
use crate::placement::certificate::Certificate;
use crate::placement::plan::Plan;
use crate::problem::loads::CanonicalLoads;
use crate::problem::options::{Options, Policy};
use crate::problem::topology::Topology;
use crate::published::{LayerTables, Published, Rule};

/// Plans every layer.
///
/// Time O(layers * P * (log P + c)) for P slots and c different numbers of copies, and what the
/// effort of [`Policy::Minimax`] adds; memory is the plan and, per thread, a few rows.
///
/// # Errors
/// [`Error::LoadMismatch`] if the loads have another number of experts than the topology,
/// [`Error::NoThreads`], [`Error::TooManySlots`], [`Error::OutOfMemory`]; by [`Policy::Minimax`]
/// also [`Error::TooFewExperts`] and [`Error::TargetGap`].
pub fn plan(
    loads: &CanonicalLoads,
    topology: Topology,
    options: impl Into<Options>,
    threads: usize,
) -> Result<Plan, Error> {
    plan_layers(loads, topology, options.into(), threads).map(|(plan, _)| plan)
}

/// Plans every layer, and certifies the plan. [`Policy::Minimax`] knows the lower bounds already,
/// and which of its layers a published policy beats by two copies of an expert on one GPU.
///
/// # Errors
/// Those of [`plan`].
pub fn plan_certified(
    loads: &CanonicalLoads,
    topology: Topology,
    options: impl Into<Options>,
    threads: usize,
) -> Result<(Plan, Certificate), Error> {
    let options = options.into();
    let (plan, outcomes) = plan_layers(loads, topology, options, threads)?;
    if options.policy != Policy::Minimax {
        let certificate = Certificate::new(&plan, loads)?;
        return Ok((plan, certificate));
    }
    let outcomes = outcomes.iter().flatten();
    let bounds = outcomes.clone().map(|outcome| outcome.bound);
    let mut certificate = Certificate::with_bounds(&plan, loads, bounds, threads);
    certificate.beaten_by_duplicates =
        outcomes.map(|outcome| outcome.beaten_by_duplicates).collect();
    Ok((plan, certificate))
}

/// The plan, and what `minimax` knows of each layer.
fn plan_layers(
    loads: &CanonicalLoads,
    topology: Topology,
    options: Options,
    threads: usize,
) -> Result<(Plan, Vec<Option<Outcome>>), Error> {
    if loads.experts() != topology.num_experts() {
        return Err(Error::LoadMismatch {
            layers: loads.layers(),
            experts: loads.experts(),
            plan_layers: loads.layers(),
            plan_experts: topology.num_experts(),
        });
    }
    if threads == 0 {
        return Err(Error::NoThreads);
    }
    let kind = Kind::new(options, &topology)?;
    let layers = loads.layers();
    let mut plan = Plan::zeroed(topology, layers)?;
    let mut outcomes = vec![None; layers];
    let share = layers.div_ceil(threads);
    let (slots, experts) = (topology.num_replicas(), topology.num_experts());
    let shares = plan
        .phy2log
        .chunks_mut(share * slots)
        .zip(plan.rank.chunks_mut(share * slots))
        .zip(plan.logcnt.chunks_mut(share * experts))
        .map(|((phy2log, rank), logcnt)| LayerTables { phy2log, rank, logcnt })
        .zip(outcomes.chunks_mut(share))
        .enumerate();
    share_out(threads, shares, |(i, (mut tables, outcomes))| {
        plan_share(loads, i * share, &topology, kind, &mut tables, outcomes);
    });
    Ok((plan, outcomes))
}

/// A policy whose options have been checked.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Published(Rule),
    Minimax(minimax::Search),
}

impl Kind {
    fn new(options: Options, topology: &Topology) -> Result<Self, Error> {
        let search = minimax::Search::new(options, topology)?;
        match options.policy {
            Policy::DeepSeek => Ok(Self::Published(Rule::DeepSeek)),
            Policy::Adaptive => Ok(Self::Published(Rule::Adaptive)),
            Policy::Minimax => {
                minimax::check_distinct(topology)?;
                Ok(Self::Minimax(search))
            }
        }
    }
}

/// Plans as many layers as `tables` hold, from `first` on.
fn plan_share(
    loads: &CanonicalLoads,
    first: usize,
    topology: &Topology,
    kind: Kind,
    tables: &mut LayerTables<'_>,
    outcomes: &mut [Option<Outcome>],
) {
    let layers = tables
        .phy2log
        .chunks_exact_mut(topology.num_replicas())
        .zip(tables.rank.chunks_exact_mut(topology.num_replicas()))
        .zip(tables.logcnt.chunks_exact_mut(topology.num_experts()))
        .map(|((phy2log, rank), logcnt)| LayerTables { phy2log, rank, logcnt });
    let mut layers = layers.zip(first..).map(|(tables, layer)| (loads.row(layer), tables));
    match kind {
        Kind::Published(rule) => {
            let mut published = <Published>::default();
            while let Some((loads, tables)) = layers.next() {
                match layers.next() {
                    Some(other) => {
                        published.plan([loads, other.0], topology, rule, [tables, other.1]);
                    }
                    None => published.plan([loads], topology, rule, [tables]),
                }
            }
        }
        Kind::Minimax(search) => {
            let mut minimax = Minimax::default();
            for ((loads, mut tables), outcome) in layers.zip(outcomes) {
                *outcome = Some(minimax.plan_layer(loads, topology, search, &mut tables));
            }
        }
    }
}
