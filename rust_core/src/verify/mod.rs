//! The verifier: checks a placement and its certificate again, from the definitions, by other means
//! than the planners'. Of the rest of the crate it knows the problem and the placement.

mod bins;
mod bounds;
pub(crate) mod structure;
#[cfg(test)]
mod tests;

use crate::error::{Error, Place};
use crate::placement::Placement;
use crate::placement::certificate::{Certificate, LayerCertificate};
use crate::problem::loads::CanonicalLoads;
use crate::problem::topology::Topology;

use bounds::{Claimed, UNIT, lower_bounds};
use structure::verify_structure;

/// Checks everything: the structure, that the certificate is for these loads, and every GPU load,
/// maximum and bound in it.
///
/// Time O(layers * L^2 * P/G), because it is plain, not fast; and up to 100,000 packings per layer.
///
/// # Errors
/// The first thing that is false; loads of another shape than the placement.
pub fn verify(
    placement: &Placement,
    certificate: &Certificate,
    loads: &CanonicalLoads,
) -> Result<(), Error> {
    verify_structure(placement)?;
    let topology = placement.topology();
    let (layers, experts) = (placement.layers(), topology.num_experts());
    loads.check_shape(layers, experts)?;
    check_shape(certificate, layers, topology.num_gpus())?;
    if certificate.loads_sha256 != loads.sha256() {
        let claim = "the certificate is for other loads";
        return Err(Error::falsehood(Place::default(), claim).hint([EVALUATE.into()]));
    }
    let slots = topology.num_replicas();
    for (layer, claims) in certificate.layers.iter().enumerate() {
        let phy2log = &placement.phy2log()[layer * slots..][..slots];
        let logcnt = &placement.logcnt()[layer * experts..][..experts];
        check_exponent(claims.exponent, loads.exponents()[layer])
            .and_then(|()| {
                check_loads(claims, &gpu_loads(phy2log, logcnt, loads.row(layer), topology))
            })
            .and_then(|()| check_bounds(claims, loads.row(layer), topology))
            .map_err(|error| error.at(Place::layer(layer)))?;
    }
    Ok(())
}

const EVALUATE: &str = "to see what the plan costs under these loads, use evaluate";

fn false_claim(claim: String) -> Result<(), Error> {
    Err(Error::falsehood(Place::default(), claim))
}

fn check_shape(certificate: &Certificate, layers: usize, gpus: usize) -> Result<(), Error> {
    let found = certificate.layers.len();
    if found != layers {
        return false_claim(format!(
            "the certificate has {found} layers, but the plan has {layers}"
        ));
    }
    for (layer, claims) in certificate.layers.iter().enumerate() {
        let found = claims.gpu_load.len();
        if found != gpus {
            let claim = format!("the certificate is for {found} GPUs, but the plan is for {gpus}");
            return Err(Error::falsehood(Place::layer(layer), claim));
        }
    }
    Ok(())
}

fn check_exponent(claimed: i32, found: i32) -> Result<(), Error> {
    if claimed == found {
        return Ok(());
    }
    let ratio = i64::from(found) - i64::from(claimed);
    let claim = format!("the certificate is for other loads: 2^{ratio} times these");
    Err(Error::falsehood(Place::default(), claim).hint([EVALUATE.into()]))
}

fn check_loads(claims: &LayerCertificate, gpu_load: &[u64]) -> Result<(), Error> {
    for (gpu, (said, is)) in claims.gpu_load.iter().zip(gpu_load).enumerate() {
        if said != is {
            let claim =
                format!("the certificate says that GPU {gpu} carries {said}, but it carries {is}");
            return false_claim(claim);
        }
    }
    let (said, is) = (claims.max_load, gpu_load.iter().copied().max().unwrap_or(0));
    if said != is {
        return false_claim(format!(
            "the certificate says that the busiest GPU carries {said}, but it carries {is}"
        ));
    }
    Ok(())
}

fn check_bounds(
    claims: &LayerCertificate,
    loads: &[u64],
    topology: &Topology,
) -> Result<(), Error> {
    let claimed = Claimed { best: claims.lower_bound, without_groups: claims.bound_without_groups };
    let bounds = lower_bounds(loads, topology, claimed);
    let (lower_bound, bound) = bounds.best;
    if u128::from(claims.lower_bound) != lower_bound || claims.bound != bound {
        let (said, kind) = (claims.lower_bound, claims.bound);
        return false_claim(format!(
            "the certificate says that the lower bound is {said} ({kind}), but it is {lower_bound} \
             ({bound})"
        ));
    }
    if u128::from(claims.bound_without_groups) != bounds.without_groups {
        let (said, is) = (claims.bound_without_groups, bounds.without_groups);
        return false_claim(format!(
            "the certificate says that the bound without groups is {said}, but it is {is}"
        ));
    }
    if claims.beaten_by_duplicates && u128::from(claims.max_load) == lower_bound {
        return false_claim(
            "the certificate says that duplicates beat the plan, but no plan has a lower largest \
             load"
                .to_owned(),
        );
    }
    Ok(())
}

/// The load of each GPU: each slot adds its expert's load over its replicas, rounded up. Empty slots
/// add nothing.
fn gpu_loads(phy2log: &[i64], logcnt: &[i64], loads: &[u64], topology: &Topology) -> Vec<u64> {
    let share = |&expert: &i64| {
        let (load, replicas) = (loads[expert as usize], logcnt[expert as usize]);
        (u128::from(load) * UNIT).div_ceil(replicas as u128) as u64
    };
    let cluster = topology.cluster();
    let load = |gpu| phy2log[cluster.slots_of(gpu)].iter().filter(|&&e| e >= 0).map(share).sum();
    (0..cluster.num_gpus()).map(load).collect()
}
