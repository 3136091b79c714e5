//! Unequal splits: for routers that can weight replicas, the share of each slot in the load of its
//! expert so that the busiest GPU carries least.
//!
//! For one layer this is a flow problem: experts give their loads to the GPUs that hold them, and no
//! GPU may have more than its speed times T. [`sharing`] is that network, without what is fixed.
//! [`layer`] finds the least T exactly: the load of a set of experts, divided by the speeds of all GPUs
//! that hold one of them, largest over all sets. [`flow`] tells whether a T is enough, and which GPUs
//! have too much if not. [`shares`] makes whole numerators of the flow.
//!
//! Of all best splits this is one close to equal shares: load moves only from GPUs that carry more than
//! T if shares are equal, along the shortest ways. An expert that need not be split in another way
//! keeps equal shares, whatever happens to the loads next.

mod equal;
mod flow;
mod layer;
mod shares;
mod sharing;

use crate::error::{Error, no_threads};
use crate::kernel::threads::share_out;
use crate::placement::Placement;
use crate::placement::split::{LayerSplit, Split};
use crate::problem::loads::CanonicalLoads;
use crate::problem::ratio::Fraction;
use equal::attained_by_equal_shares;
use layer::least;
use shares::write_shares;
use sharing::Sharing;

/// The shares of all slots with which the largest load of a GPU, divided by its speed, is least, under
/// loads that need not be those that the placement was made for. Threads change no answer.
///
/// The attained time is exactly [`LayerSplit::lower_bound`], as long as the speeds of
/// [`LayerSplit::busy_gpus`] sum to at most 2^22, as those of any 64 GPUs do. Beyond that it is at most
/// 2^-22 of a canonical load above, so that numerators fit in 64 bits.
///
/// Experts without load have equal shares. So have the replicas of an expert on one GPU; the first ones
/// may have one part more, if exact shares would not fit in 64 bits. Shares do not depend on the numbers
/// of experts. They do not depend on the scale of token counts either, unless numbers of replicas have a
/// large common multiple, so that equal shares are rounded before load moves.
///
/// Time of a layer: O(P), and some maximum flows between GPUs, each in a few rounds of O(r) for the r
/// replicas of experts that several GPUs hold. Memory O(layers * P).
///
/// # Errors
/// The loads have another shape than the placement; `threads` is 0.
pub fn split(
    placement: &Placement,
    loads: &CanonicalLoads,
    threads: usize,
) -> Result<Split, Error> {
    if threads == 0 {
        return Err(no_threads());
    }
    let topology = placement.topology();
    let (layers, slots, experts) =
        (placement.layers(), topology.num_replicas(), topology.num_experts());
    loads.check_shape(layers, experts)?;
    let mut numerators = vec![0; layers * slots];
    let mut denominators = vec![0; layers * experts];
    let mut rows: Vec<Option<LayerSplit>> = vec![None; layers];
    let work: Vec<_> = (numerators.chunks_exact_mut(slots))
        .zip(denominators.chunks_exact_mut(experts))
        .zip(&mut rows)
        .enumerate()
        .collect();
    share_out(threads, work.into_iter(), |(layer, (shares, row))| {
        *row = Some(split_layer(layer, placement, loads, shares));
    });
    let layers = rows.into_iter().flatten().collect();
    Ok(Split { numerators, denominators, layers, loads_sha256: loads.into() })
}

fn split_layer(
    layer: usize,
    placement: &Placement,
    loads: &CanonicalLoads,
    shares: (&mut [i64], &mut [i64]),
) -> LayerSplit {
    let topology = placement.topology();
    let cluster = topology.cluster();
    let (slots, experts) = (topology.num_replicas(), topology.num_experts());
    let phy2log = &placement.phy2log()[layer * slots..][..slots];
    let logcnt = &placement.logcnt()[layer * experts..][..experts];
    let row = loads.row(layer);
    let sharing = Sharing::new(phy2log, logcnt, row, cluster);
    let (least, flow, unit) = least(&sharing);
    write_shares(&sharing, &flow, cluster, (phy2log, logcnt), shares);
    let parts = u128::from(unit);
    let time = |(&load, &speed): (&u128, &u64)| Fraction::of(load, parts * u128::from(speed));
    let total: u64 = row.iter().sum();
    LayerSplit {
        unit,
        gpu_load: flow.gpu_load.iter().map(|&load| load as u64).collect(),
        attained: flow.gpu_load.iter().zip(&sharing.speed).map(time).max().unwrap_or(least.time),
        lower_bound: least.time,
        busy_gpus: (0..cluster.num_gpus()).filter(|&gpu| least.busy[gpu]).collect(),
        attained_by_equal_shares: attained_by_equal_shares(phy2log, logcnt, row, cluster),
        mean: Fraction::of(total.into(), cluster.total_speed().into()),
        exponent: loads.exponents()[layer],
    }
}
