//! The verifier: checks a plan and its certificate again, from the definitions, by other means than
//! the planners'. Of the rest of the crate it knows the types of the problem only.

use crate::error::Error;
use crate::placement::bound::Bound;
use crate::placement::certificate::Certificate;
use crate::placement::plan::Plan;
use crate::problem::loads::CanonicalLoads;
use crate::problem::topology::Topology;

/// A copy's load counts in 1/720720 of a canonical load.
const UNIT: u128 = 720_720;

/// Up to so many ways to put groups on nodes, or experts on GPUs, the bound is the best of them.
const ENUMERATED_PACKINGS: u128 = 100_000;

/// A false claim about a place.
fn falsehood(
    layer: Option<usize>,
    slot: Option<usize>,
    expert: Option<usize>,
    claim: String,
) -> Error {
    Error::Verification { layer, slot, expert, claim }
}

/// Checks what needs no loads: every expert has a slot, every slot an expert of the model, counts
/// and ranks are those of the slots, and groups are whole on their nodes, equally many on each.
///
/// # Errors
/// [`Error::Verification`] with the first thing that is false.
pub fn verify_structure(plan: &Plan) -> Result<(), Error> {
    let (slots, experts) = (plan.topology.num_replicas(), plan.topology.num_experts());
    let sizes = [
        ("phy2log", plan.phy2log.len(), slots),
        ("rank", plan.rank.len(), slots),
        ("logcnt", plan.logcnt.len(), experts),
    ];
    for (name, found, per_layer) in sizes {
        if plan.layers == 0 || Some(found) != plan.layers.checked_mul(per_layer) {
            let claim = format!("{name} has {found} entries, not {} x {per_layer}", plan.layers);
            return Err(falsehood(None, None, None, claim));
        }
    }
    for layer in 0..plan.layers {
        let phy2log = &plan.phy2log[layer * slots..][..slots];
        let rank = &plan.rank[layer * slots..][..slots];
        let logcnt = &plan.logcnt[layer * experts..][..experts];
        check_copies(layer, phy2log, rank, logcnt)?;
        check_groups(layer, phy2log, &plan.topology)?;
    }
    Ok(())
}

/// Every expert has `logcnt` slots, at least one, whose ranks are 0, 1, ..., `logcnt` - 1.
fn check_copies(layer: usize, phy2log: &[i64], rank: &[i64], logcnt: &[i64]) -> Result<(), Error> {
    let experts = logcnt.len();
    let mut copies = vec![0_usize; experts];
    for (slot, &expert) in phy2log.iter().enumerate() {
        let Some(copies) = usize::try_from(expert).ok().and_then(|e| copies.get_mut(e)) else {
            let claim = format!("holds expert {expert}, but there are {experts} experts");
            return Err(falsehood(Some(layer), Some(slot), None, claim));
        };
        *copies += 1;
    }
    for (expert, (&held, &said)) in copies.iter().zip(logcnt).enumerate() {
        let claim = match held {
            0 => "has no slot".to_owned(),
            _ if held as i64 != said => {
                format!("logcnt says {said} copies, but {held} slots hold it")
            }
            _ => continue,
        };
        return Err(falsehood(Some(layer), None, Some(expert), claim));
    }
    // Where the ranks of each expert begin in a table of all of them.
    let begin: Vec<usize> = copies
        .iter()
        .scan(0, |end, &copies| {
            *end += copies;
            Some(*end - copies)
        })
        .collect();
    let mut taken = vec![false; phy2log.len()];
    for (slot, (&expert, &rank)) in phy2log.iter().zip(rank).enumerate() {
        let expert = expert as usize;
        let claim = match usize::try_from(rank) {
            Ok(rank) if rank < copies[expert] => {
                if !std::mem::replace(&mut taken[begin[expert] + rank], true) {
                    continue;
                }
                format!("rank {rank} is another copy's already")
            }
            _ => format!("rank {rank} is not one of 0..{}", copies[expert]),
        };
        return Err(falsehood(Some(layer), Some(slot), Some(expert), claim));
    }
    Ok(())
}

/// In a hierarchical plan the experts of a group are all on one node, and nodes hold equally many
/// groups.
fn check_groups(layer: usize, phy2log: &[i64], topology: &Topology) -> Result<(), Error> {
    let (groups, nodes) = (topology.groups(), topology.nodes());
    let group_size = topology.num_experts() / groups;
    let node_slots = topology.num_replicas() / nodes;
    let mut node_of_group = vec![None; groups];
    let mut groups_on_node = vec![0; nodes];
    for (slot, &expert) in phy2log.iter().enumerate() {
        let group = expert as usize / group_size;
        let node = slot / node_slots;
        match node_of_group[group] {
            None => {
                node_of_group[group] = Some(node);
                groups_on_node[node] += 1;
            }
            Some(home) if home != node => {
                let claim = format!("is on node {node}, but group {group} is on node {home}");
                return Err(falsehood(Some(layer), Some(slot), Some(expert as usize), claim));
            }
            Some(_) => {}
        }
    }
    if let Some(node) = groups_on_node.iter().position(|&held| held != groups / nodes) {
        let held = groups_on_node[node];
        let claim = format!("node {node} holds {held} groups instead of {}", groups / nodes);
        return Err(falsehood(Some(layer), None, None, claim));
    }
    Ok(())
}

/// Checks everything: the structure, that the certificate is for these loads, and every GPU load,
/// maximum and bound in it.
///
/// Time O(layers * L^2 * P/G), as it is plain, not fast; and up to 100,000 packings a layer.
///
/// # Errors
/// [`Error::Verification`] with the first thing that is false; [`Error::LoadMismatch`] if the
/// loads have another shape than the plan.
pub fn verify(plan: &Plan, certificate: &Certificate, loads: &CanonicalLoads) -> Result<(), Error> {
    verify_structure(plan)?;
    let (layers, experts) = (plan.layers, plan.topology.num_experts());
    if loads.layers() != layers || loads.experts() != experts {
        return Err(Error::LoadMismatch {
            layers: loads.layers(),
            experts: loads.experts(),
            plan_layers: layers,
            plan_experts: experts,
        });
    }
    check_certificate_sizes(plan, certificate)?;
    if certificate.loads_sha256 != loads.sha256() {
        let claim = "the plan was certified for other loads; to see what it costs under these, \
                     use evaluate";
        return Err(falsehood(None, None, None, claim.to_owned()));
    }
    let slots = plan.topology.num_replicas();
    let gpus = plan.topology.num_gpus();
    for layer in 0..layers {
        let claims = LayerClaims {
            exponent: certificate.exponents[layer],
            without_groups: certificate.bound_without_groups[layer],
            beaten: certificate.beaten_by_duplicates[layer],
            gpu_load: &certificate.gpu_load[layer * gpus..][..gpus],
            max_load: certificate.max_load[layer],
            lower_bound: certificate.lower_bound[layer],
            bound: certificate.bound[layer],
        };
        let found = LayerClaims {
            exponent: loads.exponents()[layer],
            gpu_load: &gpu_loads(
                &plan.phy2log[layer * slots..][..slots],
                &plan.logcnt[layer * experts..][..experts],
                loads.row(layer),
                gpus,
            ),
            ..claims
        };
        check_layer(layer, &claims, &found, loads.row(layer), &plan.topology)?;
    }
    Ok(())
}

/// What a certificate says of one layer.
struct LayerClaims<'a> {
    exponent: i32,
    gpu_load: &'a [u64],
    max_load: u64,
    lower_bound: u64,
    bound: Bound,
    without_groups: u64,
    beaten: bool,
}

fn check_layer(
    layer: usize,
    claims: &LayerClaims<'_>,
    found: &LayerClaims<'_>,
    loads: &[u64],
    topology: &Topology,
) -> Result<(), Error> {
    let false_here = |claim| Err(falsehood(Some(layer), None, None, claim));
    if claims.exponent != found.exponent {
        let ratio = i64::from(found.exponent) - i64::from(claims.exponent);
        return false_here(format!(
            "the plan was certified for other loads: 2^{ratio} times these; to see what it costs \
             under these, use evaluate"
        ));
    }
    for (gpu, (said, is)) in claims.gpu_load.iter().zip(found.gpu_load).enumerate() {
        if said != is {
            return false_here(format!("GPU {gpu} is said to carry {said}, but carries {is}"));
        }
    }
    let max = found.gpu_load.iter().copied().max().unwrap_or(0);
    if claims.max_load != max {
        let said = claims.max_load;
        return false_here(format!("the busiest GPU is said to carry {said}, but carries {max}"));
    }
    let bounds = lower_bounds(loads, topology);
    let (lower_bound, bound) = bounds.best;
    if u128::from(claims.lower_bound) != lower_bound || claims.bound != bound {
        let (said, kind) = (claims.lower_bound, claims.bound);
        return false_here(format!(
            "the lower bound is said to be {said} ({kind}), but is {lower_bound} ({bound})"
        ));
    }
    if u128::from(claims.without_groups) != bounds.without_groups {
        let (said, is) = (claims.without_groups, bounds.without_groups);
        return false_here(format!("the bound without groups is said to be {said}, but is {is}"));
    }
    if claims.beaten && u128::from(max) == lower_bound {
        return false_here("is said to be beaten, but no plan has a lower largest load".to_owned());
    }
    Ok(())
}

fn check_certificate_sizes(plan: &Plan, certificate: &Certificate) -> Result<(), Error> {
    let gpus = plan.topology.num_gpus();
    let sizes = [
        ("gpu_load", certificate.gpu_load.len(), plan.layers * gpus),
        ("max_load", certificate.max_load.len(), plan.layers),
        ("lower_bound", certificate.lower_bound.len(), plan.layers),
        ("bound", certificate.bound.len(), plan.layers),
        ("bound_without_groups", certificate.bound_without_groups.len(), plan.layers),
        ("beaten_by_duplicates", certificate.beaten_by_duplicates.len(), plan.layers),
        ("exponents", certificate.exponents.len(), plan.layers),
    ];
    match sizes.into_iter().find(|(_, found, needed)| found != needed) {
        Some((name, found, needed)) => {
            let claim = format!("the certificate's {name} has {found} entries instead of {needed}");
            Err(falsehood(None, None, None, claim))
        }
        None if certificate.num_gpus != gpus => {
            let claim = format!("the certificate is for {} GPUs, not {gpus}", certificate.num_gpus);
            Err(falsehood(None, None, None, claim))
        }
        None => Ok(()),
    }
}

/// The load of each GPU: each slot adds its expert's load over its copies, rounded up.
fn gpu_loads(phy2log: &[i64], logcnt: &[i64], loads: &[u64], gpus: usize) -> Vec<u64> {
    let mut gpu_load = vec![0; gpus];
    for (slot, &expert) in phy2log.iter().enumerate() {
        let expert = expert as usize;
        let share = ceil_div(u128::from(loads[expert]) * UNIT, logcnt[expert] as u128);
        gpu_load[slot / (phy2log.len() / gpus)] += share as u64;
    }
    gpu_load
}

fn ceil_div(a: u128, b: u128) -> u128 {
    a / b + u128::from(!a.is_multiple_of(b))
}

/// What no plan can beat.
struct Bounds {
    /// The largest of the bounds, and its kind.
    best: (u128, Bound),
    /// The largest of those that do not look at groups.
    without_groups: u128,
}

/// Of equal bounds the mean is named, then Adams', the node's, packing, counting.
fn lower_bounds(loads: &[u64], topology: &Topology) -> Bounds {
    let total: u128 = loads.iter().map(|&load| u128::from(load)).sum();
    let mean = ceil_div(total * UNIT, topology.num_gpus() as u128);
    let adams = least_largest_share(loads, topology.num_replicas() as u128);
    let node = ceil_div(
        least_heaviest_node(loads, topology) * UNIT,
        (topology.num_gpus() / topology.nodes()) as u128,
    );
    let counting = least_countable(loads, topology, mean.max(adams));
    let packing = packing(loads, topology);
    let best = if counting > mean.max(adams).max(node).max(packing) {
        (counting, Bound::Counting)
    } else if packing > mean.max(adams).max(node) {
        (packing, Bound::Packing)
    } else if node > mean.max(adams) {
        (node, Bound::Node)
    } else if adams > mean {
        (adams, Bound::Adams)
    } else {
        (mean, Bound::Mean)
    };
    Bounds { best, without_groups: counting.max(packing) }
}

/// The least t, `at_least` or more, that counting does not rule out. Found by bisection.
fn least_countable(loads: &[u64], topology: &Topology, at_least: u128) -> u128 {
    let rules_out = |t: u128| {
        let j = 1..(topology.num_replicas() / topology.num_gpus()) as u128;
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

/// The slots that copies of at most `t` take at least, where at most `bigs` are above `small`; an
/// expert may have a fraction of its copies big.
///
/// An expert takes `b` slots if no copy of it is big, else `a` with as many bigs. Bigs at a price
/// each cost what they save at most: the least over all prices of what bigs at this price save
/// beyond it, plus the price of all there may be, is what they save. The price is that of some
/// expert, or nothing.
fn fewest_slots(loads: &[u64], t: u128, small: u128, bigs: u128) -> u128 {
    let copies = |load: u64, most: u128| ceil_div(u128::from(load) * UNIT, most).max(1);
    let kinds: Vec<(u128, u128)> = loads
        .iter()
        .map(|&load| (copies(load, small) - copies(load, t), copies(load, t)))
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

/// The least t such that copies of at most t each suffice for all experts: an expert then needs
/// ceil(load / t) of the slots. Found by bisection.
fn least_largest_share(loads: &[u64], slots: u128) -> u128 {
    let needed = |t: u128| -> u128 {
        loads.iter().map(|&load| ceil_div(u128::from(load) * UNIT, t).max(1)).sum()
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

/// The least load of the heaviest GPU over all ways to put experts on GPUs, where there is one copy
/// of each; or a bound of it.
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

/// The least load of the heaviest bin over all ways to put items into bins, where these are two a
/// bin or few enough to enumerate; else what the pigeonhole principle says of it.
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
    let mut least = ceil_div(total, bins as u128);
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
