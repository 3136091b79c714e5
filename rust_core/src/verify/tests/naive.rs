//! The lower bounds from their definitions: every argument by bisection over the whole range, every
//! number of big replicas, every price, every packing. Slow: the oracle of the verifier.

use crate::placement::bound::Bound;
use crate::problem::topology::Topology;

use super::super::bounds::{Bounds, UNIT};

/// Up to so many ways to put groups on nodes, or experts on GPUs, the bound is the best of them.
const ENUMERATED_PACKINGS: u128 = 100_000;

/// Of equal bounds the kind that comes first is named.
pub(super) fn lower_bounds(loads: &[u64], topology: &Topology) -> Bounds {
    let total: u128 = loads.iter().map(|&load| u128::from(load)).sum();
    let mean = (total * UNIT).div_ceil(topology.num_gpus() as u128);
    let adams = least_largest_share(loads, topology.num_replicas() as u128);
    let node = (least_heaviest_node(loads, topology) * UNIT)
        .div_ceil((topology.num_gpus() / topology.nodes()) as u128);
    let counting = least_countable(loads, topology, mean.max(adams));
    let packing = packing(loads, topology);
    let others = [
        (adams, Bound::Adams),
        (node, Bound::Node),
        (packing, Bound::Packing),
        (counting, Bound::Counting),
    ];
    let best = others.into_iter().fold((mean, Bound::Mean), |best, other| {
        let named_first = other.0 == best.0 && other.1 < best.1;
        if other.0 > best.0 || named_first { other } else { best }
    });
    Bounds { best, without_groups: counting.max(packing) }
}

/// The least t, `at_least` or more, that counting does not rule out. Found by bisection.
fn least_countable(loads: &[u64], topology: &Topology, at_least: u128) -> u128 {
    let rules_out = |t: u128| {
        let j = 1..topology.slots_per_gpu() as u128;
        j.into_iter().any(|j| {
            let (slots, gpus) = (topology.num_replicas() as u128, topology.num_gpus() as u128);
            t > j && fewest_slots(loads, t, t / (j + 1), j * gpus) > slots
        })
    };
    if at_least == 0 || !rules_out(at_least) {
        return at_least;
    }
    let mut ruled_out = at_least;
    let mut allowed = loads.iter().map(|&load| u128::from(load) * UNIT).sum();
    while allowed - ruled_out > 1 {
        let middle = ruled_out.midpoint(allowed);
        if rules_out(middle) {
            ruled_out = middle;
        } else {
            allowed = middle;
        }
    }
    allowed
}

/// The slots that replicas of at most `t` take at least, if at most `bigs` of them are above `small`.
/// An expert may have a fraction of its replicas big.
///
/// An expert takes `b` slots if no replica of it is big, else `a` with as many bigs. Bigs at a price
/// each cost what they save at most: the least over all prices of what bigs at this price save
/// beyond it, plus the price of all there may be, is what they save. The price is that of some
/// expert, or nothing.
fn fewest_slots(loads: &[u64], t: u128, small: u128, bigs: u128) -> u128 {
    let replicas = |load: u64, most: u128| (u128::from(load) * UNIT).div_ceil(most).max(1);
    let kinds: Vec<(u128, u128)> = loads
        .iter()
        .map(|&load| (replicas(load, small) - replicas(load, t), replicas(load, t)))
        .collect();
    let all_small: u128 = kinds.iter().map(|(saved, taken)| saved + taken).sum();
    let mut prices = kinds.clone();
    prices.push((0, 1));
    prices.sort_unstable();
    prices.dedup();
    let saved_at = |&(saved, taken): &(u128, u128)| {
        // The price is saved / taken; count in 1 / taken.
        let beyond = kinds.iter().map(|kind| (kind.0 * taken).saturating_sub(kind.1 * saved));
        (beyond.sum::<u128>() + bigs * saved) / taken
    };
    all_small - prices.iter().map(saved_at).min().unwrap_or(0)
}

/// The least t such that replicas of at most t each suffice for all experts: an expert then needs
/// ceil(load / t) of the slots. Found by bisection.
fn least_largest_share(loads: &[u64], slots: u128) -> u128 {
    let needed = |t: u128| -> u128 {
        loads.iter().map(|&load| (u128::from(load) * UNIT).div_ceil(t).max(1)).sum()
    };
    let mut too_small = 0;
    let mut enough = loads.iter().map(|&load| u128::from(load) * UNIT).max().unwrap_or(0);
    while enough - too_small > 1 {
        let middle = too_small.midpoint(enough);
        if needed(middle) <= slots {
            enough = middle;
        } else {
            too_small = middle;
        }
    }
    enough
}

/// The least load of the heaviest GPU over all ways to put experts on GPUs, if there is one replica of
/// each; or a bound of it.
fn packing(loads: &[u64], topology: &Topology) -> u128 {
    if topology.num_replicas() > loads.len() {
        return 0;
    }
    let experts = loads.iter().map(|&load| u128::from(load)).collect();
    least_heaviest(experts, topology.num_gpus()) * UNIT
}

/// The least load of the heaviest node over all ways to put groups on nodes, or a bound of it.
fn least_heaviest_node(loads: &[u64], topology: &Topology) -> u128 {
    let nodes = topology.nodes();
    if nodes == 1 {
        return 0;
    }
    let groups = loads
        .chunks(loads.len() / topology.groups())
        .map(|group| group.iter().map(|&load| u128::from(load)).sum())
        .collect();
    least_heaviest(groups, nodes)
}

/// The least load of the heaviest bin over all ways to put items into bins, if there are two items per
/// bin or the ways are few enough to enumerate; otherwise a bound by the pigeonhole principle.
fn least_heaviest(mut items: Vec<u128>, bins: usize) -> u128 {
    items.sort_unstable();
    let per_bin = items.len() / bins;
    if per_bin <= 2 {
        // Lightest with heaviest.
        let partner = |i: usize| {
            if per_bin == 2 { items[items.len() - 1 - i] } else { 0 }
        };
        return (0..items.len()).map(|i| items[i] + partner(i)).max().unwrap_or(0);
    }
    if packings(items.len() as u128, bins as u128) <= ENUMERATED_PACKINGS {
        let mut least = u128::MAX;
        enumerate(&items, per_bin, 0, &mut least);
        return least;
    }
    items.reverse();
    let total: u128 = items.iter().sum();
    let mut least = total.div_ceil(bins as u128);
    for j in 0..per_bin {
        // Of the j * bins + 1 heaviest items one bin holds j + 1.
        let together: u128 = (0..=j).map(|i| items[j * bins - i]).sum();
        let beside: u128 = items.iter().rev().take(per_bin - j - 1).sum();
        least = least.max(together + beside);
    }
    least
}

/// `items! / (per_bin!^bins * bins!)`, or more than is enumerated.
fn packings(items: u128, bins: u128) -> u128 {
    if items > 30 {
        return u128::MAX;
    }
    let factorial = |n: u128| (1..=n).product::<u128>();
    let per_bin = factorial(items / bins);
    // 30! is below 2^108; divide as early as the result stays whole.
    (0..bins).fold(factorial(items), |ways, _| ways / per_bin) / factorial(bins)
}

/// Fills one bin after another: the first item that is left, and every choice of others.
fn enumerate(items: &[u128], per_bin: usize, peak: u128, least: &mut u128) {
    let Some((&first, others)) = items.split_first() else {
        *least = (*least).min(peak);
        return;
    };
    choose(others, per_bin - 1, first, &mut Vec::new(), &mut |bin, rest| {
        if peak.max(bin) < *least {
            enumerate(rest, per_bin, peak.max(bin), least);
        }
    });
}

/// Calls `found` with the load of a bin and the items left, for every choice of `wanted` items.
fn choose(
    items: &[u128],
    wanted: usize,
    load: u128,
    left: &mut Vec<u128>,
    found: &mut dyn FnMut(u128, &[u128]),
) {
    if wanted == 0 {
        let before = left.len();
        left.extend_from_slice(items);
        found(load, left);
        left.truncate(before);
        return;
    }
    if items.len() < wanted {
        return;
    }
    choose(&items[1..], wanted - 1, load + items[0], left, found);
    left.push(items[0]);
    choose(&items[1..], wanted, load, left, found);
    left.pop();
}
