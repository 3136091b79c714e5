//! The verifier: checks a placement and its certificate again, from the definitions, by other means
//! than the planners'. Of the rest of the crate it knows the problem and the placement.

mod bins;
mod bounds;
pub(crate) mod split;
pub(crate) mod structure;
#[cfg(test)]
mod tests;

use crate::error::{Error, Place};
use crate::placement::Placement;
use crate::placement::certificate::{Certificate, LayerCertificate};
use crate::problem::cluster::{Cluster, Gpu};
use crate::problem::loads::CanonicalLoads;
use crate::problem::topology::Topology;

use bounds::{Claimed, UNIT, lower_bounds};
use structure::{verify_structure_watched, watched};

/// Checks everything: the structure, that the certificate is for these loads, and every GPU load,
/// maximum and bound in it.
///
/// Time O(layers * (P + L log L)) for P slots and L experts, and per layer three searches of up to
/// 100,000 packings; bounds that are false take up to sixty times as long, for one layer.
///
/// # Errors
/// The first thing that is false; loads of another shape than the placement.
pub fn verify(
    placement: &Placement,
    certificate: &Certificate,
    loads: &CanonicalLoads,
) -> Result<(), Error> {
    verify_watched(placement, Some(certificate), loads, || Ok(()))
}

/// The same, with a `watch` that may end it by an error of its own: it is called between layers,
/// before every one if they are large. Without a certificate only the structure is checked, and the
/// shape of the loads.
///
/// # Errors
/// Those of [`verify`], and that of `watch`.
pub fn verify_watched<E: From<Error>>(
    placement: &Placement,
    certificate: Option<&Certificate>,
    loads: &CanonicalLoads,
    mut watch: impl FnMut() -> Result<(), E>,
) -> Result<(), E> {
    verify_structure_watched(placement, &mut watch)?;
    let topology = placement.topology();
    let layers = placement.layers();
    loads.check_shape(layers, topology.num_experts())?;
    let Some(certificate) = certificate else { return Ok(()) };
    check_shape(certificate, layers, topology.num_gpus())?;
    if certificate.loads_sha256 != loads.sha256() {
        let claim = "the certificate is for other loads";
        return Err(Error::falsehood(Place::default(), claim).hint([EVALUATE.into()]).into());
    }
    for layer in watched(0..layers, topology, &mut watch) {
        let layer = layer?;
        let claims = &certificate.layers[layer];
        check_layer(layer, placement, claims, loads)
            .map_err(|error| error.at(Place::layer(layer)))?;
    }
    Ok(())
}

fn check_layer(
    layer: usize,
    placement: &Placement,
    claims: &LayerCertificate,
    loads: &CanonicalLoads,
) -> Result<(), Error> {
    let topology = placement.topology();
    let (slots, experts) = (topology.num_replicas(), topology.num_experts());
    let phy2log = &placement.phy2log()[layer * slots..][..slots];
    let logcnt = &placement.logcnt()[layer * experts..][..experts];
    let row = loads.row(layer);
    check_exponent(claims.exponent, loads.exponents()[layer])?;
    let gpu_load = gpu_loads(phy2log, logcnt, row, topology);
    check_loads(claims, &gpu_load, topology.cluster())?;
    check_bounds(claims, row, topology)
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

fn check_loads(
    claims: &LayerCertificate,
    gpu_load: &[u64],
    cluster: &Cluster,
) -> Result<(), Error> {
    for (gpu, (said, is)) in claims.gpu_load.iter().zip(gpu_load).enumerate() {
        if said != is {
            let claim =
                format!("the certificate says that GPU {gpu} carries {said}, but it carries {is}");
            return false_claim(claim);
        }
    }
    let time = |(gpu, &load): (&Gpu, &u64)| u128::from(load).div_ceil(gpu.speed.into()) as u64;
    let is = cluster.gpus().iter().zip(gpu_load).map(time).max().unwrap_or(0);
    let said = claims.max_load;
    if said != is {
        return false_claim(format!(
            "the certificate says that the busiest GPU carries {said}, but it carries {is}"
        ));
    }
    let (said, is) = (claims.total_speed, cluster.total_speed());
    if said != is {
        return false_claim(format!(
            "the certificate says that the speeds are {said} together, but they are {is}"
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
