//! Certificates: the cost of a placement beside its lower bounds.

use crate::cost::bounds::LowerBounds;
use crate::cost::gpu_loads::GpuLoads;
use crate::error::Error;
use crate::kernel::threads::{share_out, worth};
use crate::layer_planner::Findings;
use crate::placement::Placement;
use crate::placement::certificate::{Certificate, LayerCertificate};
use crate::problem::cluster::Gpu;
use crate::problem::loads::CanonicalLoads;

/// What `placement` costs under `loads`, which need not be the loads that it was made for.
///
/// Time O(layers * P log P), up to P/G times that if there are few or no redundant slots, and a
/// search of up to [`crate::MAX_PACKINGS`] packings per layer if there are several nodes with three
/// groups or more, or several GPUs with three slots or more and no redundant slots.
///
/// # Errors
/// The loads have another shape than the placement.
pub fn certify(placement: &Placement, loads: &CanonicalLoads) -> Result<Certificate, Error> {
    loads.check_shape(placement.layers(), placement.topology().num_experts())?;
    let nothing = vec![Findings::default(); placement.layers()];
    Ok(certify_with(placement, loads, &nothing, 1))
}

/// The same, with the findings of planning about each layer.
pub(crate) fn certify_with(
    placement: &Placement,
    loads: &CanonicalLoads,
    findings: &[Findings],
    threads: usize,
) -> Certificate {
    let mut bounds = LowerBounds::default();
    let cluster = placement.topology().cluster();
    let total_speed = cluster.total_speed();
    let layers = gpu_loads(placement, loads, threads).into_iter().zip(findings).enumerate();
    let row = |(layer, (gpu_load, findings)): (usize, (Vec<u64>, &Findings))| {
        let best = || bounds.best(loads.row(layer), placement.topology());
        let bound = findings.bound.unwrap_or_else(best);
        let time = |(&load, gpu): (&u64, &Gpu)| load.div_ceil(u64::from(gpu.speed));
        LayerCertificate {
            max_load: gpu_load.iter().zip(cluster.gpus()).map(time).max().unwrap_or(0),
            gpu_load,
            total_speed,
            lower_bound: bound.load,
            bound: bound.kind,
            bound_without_groups: bound.without_groups,
            beaten_by_duplicates: findings.beaten_by_duplicates,
            exponent: loads.exponents()[layer],
        }
    };
    Certificate { layers: layers.map(row).collect(), loads_sha256: loads.into() }
}

/// Load of each GPU of each layer.
fn gpu_loads(placement: &Placement, loads: &CanonicalLoads, threads: usize) -> Vec<Vec<u64>> {
    let topology = placement.topology();
    let (experts, slots) = (topology.num_experts(), topology.num_replicas());
    let cluster = topology.cluster();
    let threads = worth(threads, placement.layers() * experts);
    let mut gpu_load = vec![Vec::new(); placement.layers()];
    let share = placement.layers().div_ceil(threads);
    share_out(threads, gpu_load.chunks_mut(share).enumerate(), |(i, gpu_load)| {
        let mut gpu_loads = GpuLoads::default();
        for (layer, gpu_load) in (i * share..).zip(gpu_load) {
            let counts = &placement.logcnt()[layer * experts..][..experts];
            let phy2log = &placement.phy2log()[layer * slots..][..slots];
            let loads = gpu_loads.of_layer(loads.row(layer), phy2log, counts, cluster);
            *gpu_load = loads.collect();
        }
    });
    gpu_load
}
