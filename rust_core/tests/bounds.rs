//! Lower bounds against brute force, in instances small enough to try everything.

mod brute;
mod problems;
mod reference;

use std::cmp::Reverse;

use brute::{best_copies, best_nodes, best_placement, each_sequence};
use eplb_core::{
    Bound, CanonicalLoads, LayerCertificate, MAX_PACKINGS, Policy, SHARE_UNIT, Sizes, certify,
    verify,
};
use problems::{ROW_KINDS, SplitMix64, canonical, plan, policies, row, sizes_of};

fn group_loads(row: &[u64], groups: usize) -> Vec<u64> {
    row.chunks(row.len() / groups).map(|group| group.iter().sum()).collect()
}

/// The fewest slots for copies of at most t, of which at most j a GPU are above t / (j+1): over all
/// ways to say which experts may have such copies, one of them in part.
fn fewest_slots(row: &[u64], sizes: &Sizes, t: u128, j: u128) -> u128 {
    let copies = |w: u64, most: u128| (u128::from(w) * 720_720).div_ceil(most).max(1);
    let all_small: u128 = row.iter().map(|&w| copies(w, t / (j + 1))).sum();
    let most_bigs = j * u128::from(sizes.num_gpus);
    let mut most_saved = 0;
    for full in 0..1_usize << row.len() {
        let (mut bigs, mut saved) = (0, 0);
        let each = row.iter().map(|&w| (copies(w, t), copies(w, t / (j + 1))));
        for (i, (least, not_big)) in each.clone().enumerate() {
            if full >> i & 1 == 1 {
                (bigs, saved) = (bigs + least, saved + not_big - least);
            }
        }
        let Some(room) = most_bigs.checked_sub(bigs) else { continue };
        most_saved = most_saved.max(saved);
        for (i, (least, not_big)) in each.enumerate() {
            if full >> i & 1 == 0 {
                let in_part = (not_big - least) * room.min(least) / least;
                most_saved = most_saved.max(saved + in_part);
            }
        }
    }
    all_small - most_saved
}

/// The least t from `least` on that counting allows.
fn counting(row: &[u64], sizes: &Sizes, least: u64) -> u64 {
    let slots_per_gpu = u128::from(sizes.num_replicas / sizes.num_gpus);
    let allowed = |t: u64| {
        (1..slots_per_gpu).all(|j| {
            let t = u128::from(t);
            t <= j || fewest_slots(row, sizes, t, j) <= sizes.num_replicas.into()
        })
    };
    let (mut low, mut high) = (least, row.iter().sum::<u64>() * SHARE_UNIT);
    while low < high {
        let middle = low.midpoint(high);
        if allowed(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The bound that a certificate has to name, from all by brute force.
fn best_bound(row: &[u64], sizes: &Sizes) -> (u64, Bound) {
    let (groups, nodes) = reference::hierarchy(sizes);
    let total: u128 = row.iter().map(|&w| u128::from(w)).sum();
    let share = |load: u128, gpus: u128| (load * u128::from(SHARE_UNIT)).div_ceil(gpus);
    let gpus = u128::from(sizes.num_gpus);
    let node = if nodes == 1 {
        0
    } else {
        share(best_nodes(&group_loads(row, groups), nodes), gpus / nodes as u128)
    };
    let mean = (share(total, gpus), Bound::Mean);
    let adams = (best_copies(row, sizes.num_replicas as usize), Bound::Adams);
    // Of equal ones the first.
    let counted = counting(row, sizes, mean.0.max(adams.0) as u64);
    let whole = sizes.num_replicas == sizes.num_experts;
    let packed = if whole { best_placement(row, &ungrouped(sizes)) } else { 0 };
    let packing = (packed, Bound::Packing);
    let (bound, kind) =
        [mean, adams, (node, Bound::Node), packing, (counted.into(), Bound::Counting)]
            .into_iter()
            .min_by_key(|(bound, _)| Reverse(*bound))
            .unwrap();
    (bound as u64, kind)
}

/// The same sizes in one group on one node.
fn ungrouped(sizes: &Sizes) -> Sizes {
    Sizes { num_groups: 1, num_nodes: 1, ..*sizes }
}

/// The certificate of the one layer of these loads.
fn certified_layer(loads: &CanonicalLoads, sizes: &Sizes, policy: Policy) -> LayerCertificate {
    certify(&plan(loads, sizes, policy), loads).unwrap().layers.remove(0)
}

/// Tiny instances: one node, several nodes of one, two and three groups, a global plan.
fn tiny_instances() -> Vec<Sizes> {
    vec![
        sizes_of([1, 4, 1, 1, 2]),
        sizes_of([2, 4, 1, 1, 2]),
        sizes_of([2, 6, 1, 1, 3]),
        sizes_of([3, 6, 1, 1, 2]),
        sizes_of([3, 6, 1, 1, 6]),
        sizes_of([4, 6, 2, 1, 3]),
        sizes_of([4, 6, 1, 1, 1]),
        sizes_of([4, 4, 1, 1, 2]),
        sizes_of([4, 4, 1, 1, 4]),
        sizes_of([5, 5, 1, 1, 1]),
        sizes_of([5, 6, 1, 1, 3]),
        sizes_of([6, 6, 1, 1, 2]),
        sizes_of([6, 6, 1, 1, 3]),
        sizes_of([4, 6, 3, 2, 3]),
        sizes_of([2, 6, 2, 2, 2]),
        sizes_of([4, 6, 2, 2, 2]),
        sizes_of([4, 6, 4, 2, 2]),
        sizes_of([4, 8, 4, 2, 4]),
        sizes_of([6, 6, 6, 2, 2]),
        sizes_of([6, 6, 6, 3, 3]),
    ]
}

#[test]
fn bounds_are_those_of_brute_force() {
    let mut stream = SplitMix64(1);
    let mut kinds = [0; Bound::ALL.len()];
    for sizes in tiny_instances() {
        for kind in 0..ROW_KINDS * 12 {
            let row = row(&mut stream, kind % ROW_KINDS, sizes.num_experts as usize);
            let loads = canonical(&row, row.len());
            let (bound, kind) = best_bound(loads.row(0), &sizes);
            let certificate = certified_layer(&loads, &sizes, Policy::DeepSeek);
            assert_eq!(certificate.lower_bound, bound, "{sizes:?} {row:?}");
            assert_eq!(certificate.bound, kind, "{sizes:?} {row:?}");
            let without_groups = best_bound(loads.row(0), &ungrouped(&sizes)).0;
            assert_eq!(certificate.bound_without_groups, without_groups, "{sizes:?} {row:?}");
            kinds[Bound::ALL.iter().position(|&k| k == kind).unwrap()] += 1;
        }
    }
    assert!(kinds.iter().all(|&n| n > 50), "{:?}: {kinds:?}", Bound::ALL);
}

#[test]
fn no_placement_stays_below_a_bound_and_no_plan_below_the_best() {
    let mut stream = SplitMix64(2);
    let mut reached = 0;
    for sizes in tiny_instances() {
        for kind in 0..ROW_KINDS {
            let row = row(&mut stream, kind, sizes.num_experts as usize);
            let loads = canonical(&row, row.len());
            let best = best_placement(loads.row(0), &sizes);
            for policy in policies(&sizes) {
                let certificate = certified_layer(&loads, &sizes, policy);
                let bound = u128::from(certificate.lower_bound);
                assert!(bound <= best, "{sizes:?} {row:?}: {bound} > {best}");
                assert!(best <= certificate.max_load.into(), "{sizes:?} {row:?}");
                reached += usize::from(bound == best);
            }
        }
    }
    assert!(reached > 100, "bounds as good as that are few: {reached}");
}

#[test]
fn no_placement_of_small_loads_stays_below_a_bound() {
    for sizes in [
        sizes_of([3, 4, 1, 1, 2]),
        sizes_of([3, 6, 1, 1, 3]),
        sizes_of([4, 4, 4, 2, 2]),
        sizes_of([4, 6, 2, 2, 2]),
    ] {
        let experts = sizes.num_experts as usize;
        each_sequence(experts, 4, &|_| true, &mut Vec::new(), &mut |row| {
            let row: Vec<u64> = row.iter().map(|&x| x as u64).collect();
            let loads = canonical(&row, experts);
            let (bound, kind) = best_bound(loads.row(0), &sizes);
            let certificate = certified_layer(&loads, &sizes, Policy::Adaptive);
            assert_eq!((certificate.lower_bound, certificate.bound), (bound, kind));
            assert!(u128::from(bound) <= best_placement(loads.row(0), &sizes), "{row:?}");
        });
    }
}

/// The least heavier half, over all halves of up to 22 groups.
fn best_half(groups: &[u64]) -> u64 {
    let total: u64 = groups.iter().sum();
    let load = |half: u32| -> u64 {
        let members = groups.iter().enumerate().filter(|(i, _)| half >> i & 1 == 1);
        members.map(|(_, load)| load).sum()
    };
    (0_u32..1 << (groups.len() - 1))
        .filter(|half| half.count_ones() as usize * 2 == groups.len())
        .map(|half| load(half).max(total - load(half)))
        .min()
        .unwrap()
}

/// The mean, and of the `j * nodes + 1` heaviest groups `j + 1` on one node, with the lightest.
fn pigeonhole(groups: &[u64], nodes: usize) -> u64 {
    let mut groups = groups.to_vec();
    groups.sort_unstable_by_key(|&load| Reverse(load));
    let per_node = groups.len() / nodes;
    let crowded = (0..per_node).map(|j| {
        let heavy = groups[..=j * nodes].iter().rev().take(j + 1);
        heavy.chain(groups.iter().rev().take(per_node - j - 1)).sum()
    });
    let mean = groups.iter().sum::<u64>().div_ceil(nodes as u64);
    crowded.chain([mean]).max().unwrap()
}

#[test]
fn node_bounds_are_exact_up_to_the_limit_of_the_search() {
    assert_eq!(MAX_PACKINGS, 100_000);
    let mut stream = SplitMix64(3);
    let (mut above_pigeonhole, mut node_bounds) = (0, 0);
    // 20 groups on 2 nodes: 92,378 packings; 22: 352,716.
    for groups in [8, 20, 22] {
        for kind in [5, 9, 10, 12] {
            let sizes = sizes_of([groups, groups, groups, 2, 2]);
            let row = row(&mut stream, kind, groups as usize);
            let loads = canonical(&row, row.len());
            let weaker = pigeonhole(loads.row(0), 2);
            let exact = best_half(loads.row(0));
            let peak = if groups <= 20 { exact } else { weaker };
            let certificate = certified_layer(&loads, &sizes, Policy::DeepSeek);
            let adams = loads.row(0).iter().max().unwrap();
            assert_eq!(certificate.lower_bound, peak.max(*adams) * SHARE_UNIT, "{row:?}");
            above_pigeonhole += usize::from(groups <= 20 && exact > weaker);
            node_bounds += usize::from(certificate.bound == Bound::Node);
        }
    }
    assert!(above_pigeonhole > 2 && node_bounds > 4, "{above_pigeonhole} {node_bounds}");
}

#[test]
fn packing_bounds_are_exact_up_to_the_limit_of_the_search() {
    let mut stream = SplitMix64(4);
    let mut kinds = Vec::new();
    let mut above_pigeonhole = 0;
    for (experts, gpus) in
        [(8, 2), (20, 2), (22, 2), (15, 3), (24, 3), (64, 8), (1 << 14, 1), (1 << 14, 1 << 14)]
    {
        for kind in [5, 9, 10, 12] {
            let sizes = sizes_of([experts, experts, 1, 1, gpus]);
            let row = row(&mut stream, kind, experts as usize);
            let loads = canonical(&row, row.len());
            let weaker = pigeonhole(loads.row(0), gpus as usize);
            let exact = gpus == 2 && experts <= 20;
            let peak = if exact { best_half(loads.row(0)) } else { weaker };
            let certificate = certified_layer(&loads, &sizes, Policy::DeepSeek);
            assert_eq!(certificate.lower_bound, peak * SHARE_UNIT, "{sizes:?} {row:?}");
            assert_eq!(certificate.bound_without_groups, certificate.lower_bound);
            above_pigeonhole += usize::from(peak > weaker);
            kinds.push(certificate.bound);
        }
    }
    let packing = kinds.iter().filter(|&&kind| kind == Bound::Packing).count();
    assert!(above_pigeonhole > 2 && packing > 6, "{above_pigeonhole} {kinds:?}");
}

/// Counting in larger instances, beside the verifier, which shares the room out by prices.
#[test]
fn counting_bounds_are_those_of_the_verifier() {
    let mut stream = SplitMix64(5);
    let mut counting = 0;
    for round in 0..20_000 {
        let gpus = 2 + stream.below(10);
        let per_gpu = 2 + stream.below(4);
        let experts = 2 + stream.below(gpus * per_gpu - 2);
        let sizes = sizes_of([experts, gpus * per_gpu, 1, 1, gpus]);
        let skew = 1 + round % 4;
        let row: Vec<u64> = (0..experts)
            .map(|_| (0..skew).map(|_| 1 + stream.below(30)).product::<u64>())
            .collect();
        let loads = canonical(&row, row.len());
        let plan = plan(&loads, &sizes, Policy::DeepSeek);
        let certificate = certify(&plan, &loads).unwrap();
        assert_eq!(verify(&plan, &certificate, &loads), Ok(()), "{sizes:?} {row:?}");
        counting += usize::from(certificate.layers[0].bound == Bound::Counting);
    }
    assert!(counting > 500, "{counting}");
}

#[test]
fn bounds_have_names() {
    assert!(Bound::ALL.is_sorted());
    for bound in Bound::ALL {
        assert_eq!(bound.to_string().parse(), Ok(bound));
    }
    assert_eq!("Mean".parse::<Bound>(), Err(()));
}
