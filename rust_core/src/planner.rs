//! All layers of a plan, on one thread or several. Layers do not see each other, so the number of
//! threads changes no answer.

use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::Error;
use crate::load::CanonicalLoads;
use crate::plan::Plan;
use crate::policy::Policy;
use crate::published::{LayerTables, Published};
use crate::topology::Topology;

/// Plans every layer.
///
/// Time O(layers * P * (log P + c)) for P slots and c different numbers of copies; memory is the plan and, per thread, a few rows.
///
/// # Errors
/// [`Error::LoadMismatch`] if the loads have another number of experts than the topology,
/// [`Error::NoThreads`], [`Error::TooManySlots`], [`Error::OutOfMemory`].
pub fn plan(
    loads: &CanonicalLoads,
    topology: Topology,
    policy: Policy,
    threads: usize,
) -> Result<Plan, Error> {
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
    let layers = loads.layers();
    let mut plan = Plan::zeroed(topology, layers)?;
    let share = layers.div_ceil(threads);
    let (slots, experts) = (topology.num_replicas(), topology.num_experts());
    let shares = plan
        .phy2log
        .chunks_mut(share * slots)
        .zip(plan.rank.chunks_mut(share * slots))
        .zip(plan.logcnt.chunks_mut(share * experts))
        .map(|((phy2log, rank), logcnt)| LayerTables { phy2log, rank, logcnt })
        .enumerate();
    let queue = Mutex::new(shares);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((i, mut tables)) = next() {
            plan_layers(loads, i * share, &topology, policy, &mut tables);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(layers) {
            // A thread that the system refuses leaves its share to the others.
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    Ok(plan)
}

/// Plans as many layers as `tables` hold, from `first` on.
fn plan_layers(
    loads: &CanonicalLoads,
    first: usize,
    topology: &Topology,
    policy: Policy,
    tables: &mut LayerTables<'_>,
) {
    let mut planner = Published::default();
    let rows = tables
        .phy2log
        .chunks_exact_mut(topology.num_replicas())
        .zip(tables.rank.chunks_exact_mut(topology.num_replicas()))
        .zip(tables.logcnt.chunks_exact_mut(topology.num_experts()));
    for (layer, ((phy2log, rank), logcnt)) in (first..).zip(rows) {
        let mut tables = LayerTables { phy2log, rank, logcnt };
        planner.plan_layer(loads.row(layer), topology, policy, &mut tables);
    }
}
