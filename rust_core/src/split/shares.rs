//! From the load of each expert on its GPUs to the share of each slot, in lowest terms.

use crate::placement::EMPTY;
use crate::problem::cluster::Cluster;
use crate::problem::ratio::greatest_common_divisor_64;
use crate::split::flow::Flow;
use crate::split::sharing::{Holding, Sharing};

/// Numerators and denominators are below this: they are int64 everywhere.
const LIMIT: u128 = 1 << 63;

/// The numerators of the replicas of an expert on one GPU: the first `first` of them have one more than
/// `each`. It is 0 if they can share equally.
#[derive(Debug, Clone, Copy)]
struct Numerators {
    each: u64,
    first: u64,
    replicas: u64,
}

/// Writes the numerators of all slots, and the denominators of all experts. Experts without load, and
/// those on a single GPU, have equal shares.
pub(super) fn write_shares(
    sharing: &Sharing,
    flow: &Flow<'_>,
    cluster: &Cluster,
    (phy2log, logcnt): (&[i64], &[i64]),
    (numerators, denominators): (&mut [i64], &mut [i64]),
) {
    denominators.copy_from_slice(logcnt);
    let mut of_holdings = Vec::with_capacity(sharing.holdings.len());
    for (&expert, shared) in sharing.shared_experts.iter().zip(&sharing.experts) {
        let holdings = shared.holdings.clone();
        let loads = &flow.load[holdings.clone()];
        denominators[expert] =
            lowest_terms(&sharing.holdings[holdings], loads, &mut of_holdings) as i64;
    }
    // The holding of each shared expert that the next slot belongs to, and its replicas before that.
    let mut next: Vec<(usize, u64)> =
        sharing.experts.iter().map(|expert| (expert.holdings.start, 0)).collect();
    for slot in (0..cluster.num_gpus()).flat_map(|gpu| cluster.slots_of(gpu)) {
        numerators[slot] = if phy2log[slot] == EMPTY {
            0
        } else if let Some(shared) = sharing.shared[phy2log[slot] as usize] {
            let (holding, before) = &mut next[shared];
            if *before == of_holdings[*holding].replicas {
                (*holding, *before) = (*holding + 1, 0);
            }
            let Numerators { each, first, .. } = of_holdings[*holding];
            *before += 1;
            (each + u64::from(*before <= first)) as i64
        } else {
            1
        };
    }
}

/// Adds the numerators of an expert's holdings, and returns their denominator.
fn lowest_terms(holdings: &[Holding], loads: &[u128], numerators: &mut Vec<Numerators>) -> u64 {
    // Parts of all loads of a layer sum to less than 2^63.
    let loads = || loads.iter().map(|&load| load as u64);
    let common = loads().fold(0, greatest_common_divisor_64);
    let denominator = u128::from(loads().map(|load| load / common).sum::<u64>());
    // Times so much, replicas on one GPU share equally.
    let mut times = 1;
    for (holding, load) in holdings.iter().zip(loads()) {
        let replicas = holding.replicas;
        let needed = replicas / greatest_common_divisor_64(load / common, replicas);
        times = u128::from(needed) / gcd(times, needed) * times;
        if times * denominator >= LIMIT {
            times = 1;
            break;
        }
    }
    for (holding, load) in holdings.iter().zip(loads()) {
        let load = load / common * times as u64;
        let replicas = holding.replicas;
        numerators.push(Numerators { each: load / replicas, first: load % replicas, replicas });
    }
    (denominator * times) as u64
}

fn gcd(a: u128, b: u64) -> u128 {
    greatest_common_divisor_64(a as u64, b).into()
}
