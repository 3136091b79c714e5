//! No step of the search raises a peak, and the best that it saw is what it returns; dead ends of
//! dealing, which random loads hardly reach, are mended.

use std::cmp::Ordering;

use super::copies::{Copies, each_choice, few_choices};
use super::deal::Deal;
use super::layout::Layout;
use super::node::{Limits, NodePlanner, Placed, Task};
use super::packings;
use super::pair_swap::PairSwap;
use super::rematch::Rematch;
use super::replicas::Replicas;
use super::retarget;
use super::swap;
use crate::kernel::probe::Step;
use crate::kernel::probe::tests::{Recorder, assert_never_rises, compare, sequences};
use crate::kernel::tournament::{Key, Tree, Trees, start, with_trees};
use crate::problem::options::Effort;
use crate::problems::{ROW_KINDS, SplitMix64, canonical, loads};

/// Times that each of these steps was taken.
const COUNTED: [Step; 4] = [Step::Rematch, Step::Swap, Step::PairSwap, Step::Retarget];

#[test]
fn no_step_raises_a_peak_and_the_best_is_kept() {
    let mut stream = SplitMix64(23);
    let mut counts = [0; COUNTED.len()];
    let mut lower = 0;
    for kind in 0..1200 {
        let gpus = 2 + stream.below(12) as usize;
        let per_gpu = 2 + stream.below(6) as usize;
        let slots = gpus * per_gpu;
        let experts = (per_gpu + stream.below((slots - per_gpu) as u64 + 1) as usize).min(slots);
        let loads = canonical(&loads(&mut stream, kind % ROW_KINDS, 1, experts), experts);
        for effort in Effort::ALL {
            let mut planner = NodePlanner::<Recorder>::default();
            let bound = planner.start(loads.row(0), slots, gpus);
            let limits = Limits::of(effort, per_gpu);
            planner.place(Task { gpus, slots, bound, target: bound, limits });
            let steps = &planner.trace.0;
            lower += assert_never_rises(steps).1;
            let mut best = None;
            for sequence in sequences(steps) {
                let last = sequence[sequence.len() - 1];
                let better = best.is_none_or(|best| compare(last.1, best).is_lt());
                // A trial ends with the word that it was better, or was not.
                if sequence[0].0 == Step::Trial {
                    assert_eq!(better, last.0 == Step::Retarget);
                }
                if better {
                    best = Some(last.1);
                }
            }
            assert_eq!(best.unwrap().load, planner.best.peak);
            assert_eq!(planner.best.layout.peak(), planner.best.peak);
            for (step, _) in steps {
                for (count, counted) in counts.iter_mut().zip(COUNTED) {
                    *count += usize::from(*step == counted);
                }
            }
        }
    }
    assert!(counts.iter().all(|&count| count > 100), "{COUNTED:?}: {counts:?}");
    assert!(lower > 5000, "{lower} steps lowered a peak");
}

/// Fails unless every GPU holds as many different experts as it has slots, heaviest first, and
/// what is known of it is true.
fn check(replicas: &Replicas, layout: &Layout) {
    for (gpu, load) in layout.load.iter().enumerate() {
        let on = layout.on(gpu);
        assert!(on.is_sorted(), "{on:?}");
        assert!(on.iter().all(|&copy| layout.home[copy as usize] == gpu as u32));
        assert_eq!(*load, on.iter().map(|&copy| replicas.load(copy)).sum::<u64>());
        let firsts = on.iter().map(|&copy| replicas.sorted[copy as usize].first);
        let mut firsts: Vec<u32> = firsts.collect();
        firsts.dedup();
        assert_eq!(firsts.len(), layout.per_gpu, "{on:?}");
    }
}

/// Deals copies of experts of these loads, heaviest first; fails unless they go where the naive reference
/// has them. Tells whether greedy packing would have done the same.
fn deal(load: &[u64], counts: &[u32], gpus: usize) -> (bool, Replicas, Layout) {
    let (mut replicas, mut layout) = (Replicas::default(), Layout::default());
    replicas.collect(load, counts);
    let greedy = Deal::default().deal(&replicas, gpus, &mut layout);
    check(&replicas, &layout);
    for (gpu, on) in naive_deal(&replicas, gpus).iter().enumerate() {
        assert_eq!(layout.on(gpu), on, "{load:?} {counts:?}");
    }
    (greedy, replicas, layout)
}

/// Each copy, heaviest first, to the lightest GPU that has room and lacks its expert; where there is
/// none, by the exchange that leaves the least larger load of the two GPUs.
fn naive_deal(replicas: &Replicas, gpus: usize) -> Vec<Vec<u32>> {
    let per_gpu = replicas.sorted.len() / gpus;
    let first = |copy: u32| replicas.sorted[copy as usize].first;
    let holds = |on: &[u32], copy: u32| on.iter().any(|&other| first(other) == first(copy));
    let load = |on: &[u32]| on.iter().map(|&copy| replicas.load(copy)).sum::<u64>();
    let mut dealt = vec![Vec::new(); gpus];
    for copy in 0..replicas.sorted.len() as u32 {
        let lightest = |dealt: &[Vec<u32>], fits: &dyn Fn(&[u32]) -> bool| {
            let roomy = (0..gpus).filter(|&gpu| dealt[gpu].len() < per_gpu && fits(&dealt[gpu]));
            roomy.min_by_key(|&gpu| (load(&dealt[gpu]), gpu))
        };
        if let Some(gpu) = lightest(&dealt, &|on| !holds(on, copy)) {
            dealt[gpu].push(copy);
            continue;
        }
        let roomy = lightest(&dealt, &|_| true).unwrap();
        let mut best = (u64::MAX, 0, 0);
        for (gpu, on) in dealt.iter().enumerate().filter(|(_, on)| on.len() == per_gpu) {
            for &other in
                on.iter().filter(|&&other| !holds(on, copy) && !holds(&dealt[roomy], other))
            {
                let given = load(on) - replicas.load(other) + replicas.load(copy);
                best =
                    best.min((given.max(load(&dealt[roomy]) + replicas.load(other)), gpu, other));
            }
        }
        let (_, gpu, other) = best;
        dealt[gpu].retain(|&kept| kept != other);
        dealt[gpu].push(copy);
        dealt[roomy].push(other);
        dealt[roomy].sort_unstable();
    }
    dealt
}

#[test]
fn a_copy_without_room_beside_others_gets_some() {
    // The heavy expert has a GPU to itself until the other is full: then both copies of the last
    // would have to go to the first. So one of the full GPU's moves over.
    let (greedy, _, layout) = deal(&[100, 5, 5, 5, 2], &[1, 1, 1, 1, 2], 2);
    assert!(!greedy);
    let unit = crate::problem::share::SHARE_UNIT;
    assert_eq!(layout.load, [106 * unit, 11 * unit]);
}

/// Loads, and counts of copies that no planner would choose: the lightest have the most.
fn odd_copies(stream: &mut SplitMix64) -> (Vec<u64>, Vec<u32>, usize) {
    let gpus = 2 + stream.below(7) as usize;
    let per_gpu = 2 + stream.below(5) as usize;
    let experts = per_gpu + stream.below((gpus * per_gpu - per_gpu) as u64 + 1) as usize;
    let mut counts = vec![1; experts];
    for _ in experts..gpus * per_gpu {
        let roomy = counts.iter().rposition(|&count| count < gpus as u32).unwrap();
        counts[roomy] += 1;
    }
    let (powers, most) = (stream.below(2) == 0, 1 + stream.below(30));
    let one = |_| if powers { 1 << stream.below(most) } else { stream.below(most * most) };
    let mut load: Vec<u64> = (0..experts).map(one).collect();
    load.sort_unstable_by(|a, b| b.cmp(a));
    (load, counts, gpus)
}

#[test]
fn copies_are_apart_in_layouts_of_every_size() {
    let mut stream = SplitMix64(31);
    let mut dead_ends = 0;
    for _ in 0..4000 {
        let (load, counts, gpus) = odd_copies(&mut stream);
        dead_ends += usize::from(!deal(&load, &counts, gpus).0);
    }
    assert!(dead_ends > 500, "{dead_ends} layouts that greedy packing would not find");
}

#[test]
fn a_sweep_tells_whether_it_changed_a_load() {
    let mut stream = SplitMix64(37);
    let mut changes = [0, 0];
    for _ in 0..2000 {
        let (load, counts, gpus) = odd_copies(&mut stream);
        let (_, replicas, mut layout) = deal(&load, &counts, gpus);
        // Away from what greedy packing makes, where columns hardly overlap.
        for _ in 0..stream.below(40) {
            let [a, b] = [0; 2].map(|_| stream.below(replicas.sorted.len() as u64) as u32);
            let [on_a, on_b] = [a, b].map(|copy| layout.home[copy as usize] as usize);
            if on_a != on_b && fits(&replicas, &layout, &[(a, on_b), (b, on_a)]) {
                layout.exchange(&replicas, a, b);
            }
        }
        let mut seen = vec![layout.load.clone()];
        let mut see = |layout: &Layout| {
            check(&replicas, layout);
            seen.push(layout.load.clone());
        };
        let changed = Rematch::default().sweep(&replicas, &mut layout, &mut see);
        assert!(seen.windows(2).all(|two| two[0] != two[1]));
        assert_eq!(*seen.last().unwrap(), layout.load);
        assert_eq!(changed, seen.len() > 1);
        changes[usize::from(changed)] += 1;
    }
    assert!(changes.iter().all(|&count| count > 100), "{changes:?}");
}

/// One copy more, `rest` times, for the expert with the largest load per copy of those that `may`
/// have more; ties: the lower position. Experts without load: the fewest copies first.
fn give(load: &[u64], counts: &mut [u32], rest: usize, may: impl Fn(usize, u32) -> bool) -> bool {
    for _ in 0..rest {
        let able = (0..load.len()).filter(|&i| may(i, counts[i]));
        let next = able.min_by(|&i, &j| {
            let (of_i, of_j) = (load[i] * u64::from(counts[j]), load[j] * u64::from(counts[i]));
            let fewest = if load[i] == 0 { counts[i].cmp(&counts[j]) } else { Ordering::Equal };
            of_j.cmp(&of_i).then(fewest).then(i.cmp(&j))
        });
        let Some(next) = next else { return false };
        counts[next] += 1;
    }
    true
}

#[test]
fn choices_of_copies_are_those_of_the_naive_twin() {
    let mut stream = SplitMix64(43);
    let mut found = [0, 0];
    for _ in 0..1500 {
        let gpus = 2 + stream.below(5) as usize;
        let experts = 2 + stream.below(9) as usize;
        let slots = experts + stream.below(((gpus - 1) * experts) as u64 + 1) as usize;
        let bits = 1 + stream.below(20);
        let mut load: Vec<u64> = (0..experts).map(|_| stream.below(1 << bits)).collect();
        load.sort_unstable_by(|a, b| b.cmp(a));
        let mut copies = Copies::default();
        copies.start(&load, slots, gpus);
        assert_eq!(copies.spares(), slots - experts);
        for rest in 1..=slots - experts {
            let mut counts = vec![1; experts];
            assert!(give(&load, &mut counts, slots - experts - rest, |_, count| {
                count < gpus as u32
            }));
            let adams = counts.clone();
            let possible =
                give(&load, &mut counts, rest, |i, count| adams[i] == 1 && count < gpus as u32);
            assert_eq!(copies.choose(rest, gpus), possible, "{load:?} {slots} {gpus} {rest}");
            if possible {
                copies.counts.resize(experts, 1);
                assert_eq!(copies.counts, counts, "{load:?} {slots} {gpus} {rest}");
            }
            found[usize::from(possible)] += 1;
        }
    }
    assert!(found.iter().all(|&count| count > 1000), "{found:?}");
}

#[test]
fn few_choices_are_as_many_as_there_are() {
    for (experts, slots) in (1..6).flat_map(|experts| (experts..12).map(move |s| (experts, s))) {
        let (spares, mut found) = (slots - experts, 0);
        each_choice(&mut vec![1; experts], 0, spares, spares + 1, &mut |counts| {
            assert_eq!(counts.iter().sum::<u32>() as usize, slots);
            found += 1;
        });
        assert!(few_choices(experts, slots, found), "{experts} {slots} {found}");
        assert!(found == 1 || !few_choices(experts, slots, found - 1), "{experts} {slots} {found}");
    }
}

#[test]
fn retargets_are_what_they_say() {
    let mut stream = SplitMix64(59);
    let (mut retargets, mut applied) = (Vec::new(), 0);
    for _ in 0..600 {
        let (load, counts, gpus) = odd_copies(&mut stream);
        let (_, replicas, layout) = deal(&load, &counts, gpus);
        let from = layout.busiest();
        let before = Placed { peak: layout.peak(), replicas, layout };
        let Placed { replicas, layout, .. } = &before;
        retarget::list(replicas, layout, &load, from, usize::MAX, &mut retargets);
        assert!(retargets.is_sorted());
        let mut found: Vec<_> = retargets.iter().map(|r| (r.copy, r.receiver)).collect();
        found.sort_unstable();
        let on = |gpu: usize, position: u32| {
            layout.on(gpu).iter().any(|&copy| replicas.position[copy as usize] == position)
        };
        // Of the busiest GPU a copy goes, or one of an expert that it has gets company.
        let mut expected = Vec::new();
        for (copy, donor) in (0..).zip(&replicas.sorted) {
            let home = layout.home[copy as usize] as usize;
            for (receiver, &count) in (0..).zip(&counts) {
                let helps = home == from || on(from, receiver);
                let may = donor.copies() > 1 && count < gpus as u32 && !on(home, receiver);
                if helps && may {
                    expected.push((copy, receiver));
                }
            }
        }
        assert_eq!(found, expected, "{load:?} {counts:?}");
        for &retarget in &retargets {
            let mut after = Placed::default();
            retarget::apply(retarget, &load, &before, &mut after, &mut Vec::new());
            check(&after.replicas, &after.layout);
            assert_eq!(after.peak, after.layout.peak());
            let donor = replicas.position[retarget.copy as usize];
            // The loads of those that may rise, and of the busiest.
            let changed = (0..gpus)
                .filter(|&gpu| on(gpu, donor) || gpu == from && on(from, retarget.receiver));
            let peak = changed.map(|gpu| after.layout.load[gpu]).max();
            assert_eq!(Some(retarget.peak), peak, "{load:?} {counts:?} {retarget:?}");
            applied += 1;
        }
        // The best of them, where not all are wanted.
        let all = retargets.clone();
        for wanted in [0, 1, all.len() / 2, all.len()] {
            retarget::list(replicas, layout, &load, from, wanted, &mut retargets);
            assert!(retargets == all[..wanted.min(all.len())]);
        }
    }
    assert!(applied > 10_000, "{applied}");
}

/// Whether these copies may go to these GPUs, which hold no other copy of their experts.
fn fits(replicas: &Replicas, layout: &Layout, moves: &[(u32, usize)]) -> bool {
    moves.iter().all(|&(copy, gpu)| !layout.holds(gpu, replicas.sorted[copy as usize]))
}

/// A layout, its busiest GPU, and a target that this has to come down to.
fn unfinished(stream: &mut SplitMix64) -> (Replicas, Layout, usize, u64) {
    let (load, counts, gpus) = odd_copies(stream);
    let (_, replicas, layout) = deal(&load, &counts, gpus);
    let from = layout.busiest();
    let peak = layout.load[from];
    let target = peak - stream.below(1 + peak / 4);
    (replicas, layout, from, target)
}

#[test]
fn exchanges_are_those_of_the_naive_twin() {
    let mut stream = SplitMix64(61);
    let mut found = [0; 3];
    for _ in 0..3000 {
        let (replicas, layout, from, target) = unfinished(&mut stream);
        let excess = layout.load[from] - target;
        let lightest = *layout.load.iter().min().unwrap();
        // The first pair that reaches the target, else the first of those that take most off.
        let (mut best, mut expected, mut compared) = (0, None, 0);
        'pairs: for &a in layout.on(from) {
            for b in a + 1..replicas.sorted.len() as u32 {
                let drop = replicas.load(a) - replicas.load(b);
                let twins = replicas.sorted[a as usize].first == replicas.sorted[b as usize].first;
                if twins || drop + lightest > target {
                    continue;
                }
                compared += 1;
                let to = layout.home[b as usize] as usize;
                let fits = fits(&replicas, &layout, &[(a, to), (b, from)]);
                if drop > best && to != from && layout.load[to] + drop <= target && fits {
                    (best, expected) = (drop, Some((a, b)));
                    if drop >= excess {
                        break 'pairs;
                    }
                }
            }
        }
        let mut work = 5;
        assert_eq!(swap::find(&replicas, &layout, from, target, &mut work), expected);
        assert!(work == 5 + compared, "{layout:?} {target}");
        found[usize::from(best > 0) + usize::from(best >= excess.max(1))] += 1;
    }
    assert!(found.iter().all(|&count| count > 50), "{found:?}");
}

/// Loads of two copies of a GPU, and the copies, lightest first.
fn pairs(replicas: &Replicas, on: &[u32]) -> Vec<(u64, u32, u32)> {
    let load = |&copy: &u32| replicas.load(copy);
    let mut pairs: Vec<_> = (on.iter().enumerate())
        .flat_map(|(i, a)| on[i + 1..].iter().map(move |b| (load(a) + load(b), *a, *b)))
        .collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn exchanges_of_pairs_are_those_of_the_naive_twin() {
    let mut stream = SplitMix64(67);
    let mut found = [0; 3];
    for _ in 0..3000 {
        let (replicas, layout, from, target) = unfinished(&mut stream);
        let excess = layout.load[from] - target;
        let others = 1 + stream.below(layout.load.len() as u64 + 1) as usize;
        let mut order: Vec<(u64, usize)> = layout.load.iter().copied().zip(0..).collect();
        order.sort_unstable();
        order.truncate(others);
        let (mut best, mut expected, mut compared) = (0, None, 0);
        'gpus: for (load, to) in order {
            if load + best >= target {
                break;
            }
            for (heavy, a, c) in pairs(&replicas, layout.on(from)) {
                compared += 1;
                for (light, b, d) in pairs(&replicas, layout.on(to)) {
                    if light + best >= heavy || load + heavy - light > target {
                        continue;
                    }
                    compared += 1;
                    if fits(&replicas, &layout, &[(a, to), (c, to), (b, from), (d, from)]) {
                        (best, expected) = (heavy - light, Some([(a, b), (c, d)]));
                        break;
                    }
                }
                if best >= excess {
                    break 'gpus;
                }
            }
        }
        let mut work = 5;
        let mut planner = PairSwap::default();
        let given = planner.find(&replicas, &layout, from, target, others, &mut work);
        assert_eq!(given, expected, "{layout:?} {target}");
        assert!(work == 5 + compared, "{layout:?} {target} {work} {compared}");
        found[usize::from(best > 0) + usize::from(best >= excess.max(1))] += 1;
    }
    assert!(found.iter().all(|&count| count > 50), "{found:?}");
}

#[test]
fn with_many_slots_no_pairs_are_exchanged() {
    for (per_gpu, some) in [(64, true), (65, false)] {
        let load: Vec<u64> = (0..2 * per_gpu).rev().collect();
        let (_, replicas, mut layout) = deal(&load, &vec![1; load.len()], 2);
        let (light, heavy) = (layout.on(0)[per_gpu as usize - 1], layout.on(1)[0]);
        layout.exchange(&replicas, heavy, light);
        let from = layout.busiest();
        let peak = layout.load[from];
        let pair = PairSwap::default().find(&replicas, &layout, from, peak - 1, 9, &mut 0);
        assert_eq!(pair.is_some(), some, "{per_gpu}");
    }
}

/// The peaks of all ways to put the groups from `next` on on nodes, where those with as many as they
/// hold are full, and a group goes to no more than one of the empty nodes.
fn all_packings(groups: &[u64], next: usize, nodes: &mut Vec<Vec<u64>>, peaks: &mut Vec<u64>) {
    if next == groups.len() {
        peaks.push(nodes.iter().map(|node| node.iter().sum()).max().unwrap());
        return;
    }
    let per_node = groups.len() / nodes.len();
    for node in 0..nodes.len() {
        if nodes[node].len() < per_node {
            nodes[node].push(groups[next]);
            all_packings(groups, next + 1, nodes, peaks);
            nodes[node].pop();
            if nodes[node].is_empty() {
                break;
            }
        }
    }
}

#[test]
fn packings_of_groups_are_the_lightest_there_are() {
    let mut stream = SplitMix64(71);
    for (nodes, per_node) in [(1, 3), (2, 1), (2, 3), (2, 4), (3, 2), (3, 3), (4, 2)] {
        for _ in 0..40 {
            let most = 1 + stream.below(40);
            let groups: Vec<u64> = (0..nodes * per_node).map(|_| stream.below(most)).collect();
            let mut peaks = Vec::new();
            all_packings(&groups, 0, &mut vec![Vec::new(); nodes], &mut peaks);
            peaks.sort_unstable();
            for wanted in [1, 2, 5, 100_000] {
                let found = packings::list(&groups, nodes, wanted, 1_000_000);
                let found_peaks: Vec<u64> = found.iter().map(|packing| packing.peak).collect();
                assert_eq!(found_peaks, peaks[..wanted.min(peaks.len())], "{groups:?}");
                for packing in &found {
                    let mut load = vec![(0, 0); nodes];
                    for (&group, &node) in groups.iter().zip(&packing.node) {
                        load[node as usize].0 += group;
                        load[node as usize].1 += 1;
                    }
                    assert!(load.iter().all(|&(_, filled)| filled == per_node));
                    assert_eq!(load.iter().map(|node| node.0).max(), Some(packing.peak));
                }
                let mut ways: Vec<_> = found.into_iter().map(|packing| packing.node).collect();
                let count = ways.len();
                ways.sort_unstable();
                ways.dedup();
                assert_eq!(ways.len(), count, "{groups:?}");
            }
        }
    }
}

#[test]
fn keys_order_gpus_as_far_as_64_bits_hold_their_loads() {
    let mut stream = SplitMix64(79);
    for gpus in [1_u64, 2, 3, 8, 9, 300] {
        let index_bits = gpus.next_power_of_two().trailing_zeros();
        for bits in [1, 20, 64 - index_bits, 65 - index_bits, 60, 63] {
            let bits = bits.min(63);
            let load: Vec<u64> = (0..gpus)
                .map(|gpu| if gpu == 0 { 1 << (bits - 1) } else { stream.below(1 << (bits - 1)) })
                .collect();
            let layout = Layout { load, ..Layout::default() };
            let keys = layout.keys();
            let exact = bits + index_bits <= 64;
            assert_eq!(keys.exact(), exact, "{gpus} {bits}");
            let mut order: Vec<(u64, u64)> = layout.load.iter().copied().zip(0..).collect();
            for &(load, gpu) in &order {
                assert_eq!(keys.gpu(keys.key(load, gpu)) as u64, gpu);
            }
            order.sort_unstable();
            for two in order.windows(2) {
                let [(a, i), (b, j)] = two else { unreachable!() };
                let in_order = keys.key(*a, *i) < keys.key(*b, *j);
                // What is left out are at most as many bits as an index has.
                assert!(in_order || !exact && b - a < 1 << index_bits, "{gpus} {bits}");
            }
        }
    }
}

#[test]
fn more_than_a_thousand_groups_are_packed_once() {
    for (groups, ways) in [(1000, 2), (1002, 1)] {
        let found = packings::list(&vec![1; groups], 2, 2, 100_000);
        assert_eq!(found.len(), ways);
        assert!(found.iter().all(|packing| packing.peak == groups as u64 / 2));
    }
}

#[test]
fn packings_found_in_few_steps_are_those_of_every_build() {
    let mut stream = SplitMix64(83);
    let mut peaks = [0; 4];
    for _ in 0..200 {
        let groups: Vec<u64> = (0..12).map(|_| stream.below(1000)).collect();
        for (peak, steps) in peaks.iter_mut().zip([0, 30, 100, 1_000_000]) {
            *peak += packings::list(&groups, 3, 1, steps)[0].peak;
        }
    }
    assert_eq!(peaks, [412_476, 407_977, 404_706, 402_360]);
}

/// Gives leaves other keys; fails unless the root is the least key of the leaves each time.
fn play<K: Key + std::fmt::Debug, T: Tree<K> + ?Sized>(tree: &mut T, packs: usize) {
    let leaves = packs.next_power_of_two();
    let bits = tree.index_bits();
    assert_eq!(1 << bits, leaves);
    let mut keys = vec![K::FULL; leaves];
    for (pack, key) in keys[..packs].iter_mut().enumerate() {
        *key = K::from(pack as u64);
    }
    assert_eq!(tree.root(), keys[0]);
    let mut stream = SplitMix64(89);
    for _ in 0..200 {
        let pack = stream.below(packs as u64);
        let load = K::from(stream.below(1000)) << bits;
        let key = if stream.below(5) == 0 { K::FULL } else { load + K::from(pack) };
        keys[pack as usize] = key;
        tree.set(pack as usize, key);
        let least = *keys.iter().min().unwrap();
        assert_eq!(tree.root(), least);
        if least != K::FULL {
            assert_eq!(keys[tree.leaf(least)], least);
        }
    }
}

#[test]
fn a_tournament_finds_the_least_key() {
    for packs in [1, 2, 3, 4, 7, 16, 32, 60, 128, 256, 300] {
        let mut trees = Trees::default();
        play(start(&mut trees.narrow, packs), packs);
        play(start(&mut trees.wide, packs), packs);
        let mut other = Trees::default();
        for fullest in [0, u64::MAX] {
            with_trees!([&mut trees, &mut other], packs, fullest, trees => {
                for tree in trees {
                    play(tree, packs);
                }
            });
        }
    }
}

#[test]
fn keys_are_wide_where_64_bits_do_not_hold_the_fullest_pack() {
    for (packs, bits) in [(1, 0), (2, 1), (3, 2), (32, 5), (33, 6)] {
        let most = (u64::MAX >> bits) - 1;
        assert!(Trees::narrow_will_do(packs, most));
        assert!(!Trees::narrow_will_do(packs, most + 1));
    }
}
