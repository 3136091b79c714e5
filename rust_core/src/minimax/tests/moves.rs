//! Moves are those of naive references.

use crate::greedy::tests::{check, odd_counts, placed};
use crate::layout::Layout;
use crate::minimax::candidate::Candidate;
use crate::minimax::moves::reassign_column::ReassignColumn;
use crate::minimax::moves::swap;
use crate::minimax::moves::swap_pairs::SwapPairs;
use crate::minimax::moves::transfer_replica;
use crate::problems::SplitMix64;
use crate::sorted_replicas::by_expert::ByExpert;

#[test]
fn a_sweep_tells_whether_it_changed_a_load() {
    let mut stream = SplitMix64(37);
    let mut changes = [0, 0];
    for _ in 0..2000 {
        let (load, counts, gpus) = odd_counts(&mut stream);
        let (_, replicas, mut layout) = placed(&load, &counts, gpus);
        // Unlike what greedy packing makes: its columns hardly overlap.
        for _ in 0..stream.below(40) {
            let [a, b] = [0; 2].map(|_| stream.below(replicas.sorted.len() as u64) as u32);
            let [on_a, on_b] = [a, b].map(|index| layout.home[index as usize] as usize);
            if on_a != on_b && fits(&replicas, &layout, &[(a, on_b), (b, on_a)]) {
                layout.exchange(&replicas, a, b);
            }
        }
        let mut seen = vec![layout.load.clone()];
        let mut see = |layout: &Layout| {
            check(&replicas, layout);
            seen.push(layout.load.clone());
        };
        let changed = ReassignColumn::default().sweep(&replicas, &mut layout, &mut see);
        assert!(seen.windows(2).all(|two| two[0] != two[1]));
        assert_eq!(*seen.last().unwrap(), layout.load);
        assert_eq!(changed, seen.len() > 1);
        changes[usize::from(changed)] += 1;
    }
    assert!(changes.iter().all(|&count| count > 100), "{changes:?}");
}

#[test]
fn transfers_are_what_they_say() {
    let mut stream = SplitMix64(59);
    let (mut transfers, mut applied) = (Vec::new(), 0);
    for _ in 0..600 {
        let (load, counts, gpus) = odd_counts(&mut stream);
        let (_, replicas, layout) = placed(&load, &counts, gpus);
        let from = layout.busiest();
        let before = Candidate { peak: layout.peak(), replicas, layout };
        let Candidate { replicas, layout, .. } = &before;
        transfer_replica::list(&before, &load, from, usize::MAX, &mut transfers);
        assert!(transfers.is_sorted());
        let mut found: Vec<_> = transfers.iter().map(|r| (r.replica, r.receiver)).collect();
        found.sort_unstable();
        let on = |gpu: usize, position: u32| {
            layout.on(gpu).iter().any(|&index| replicas.position[index as usize] == position)
        };
        // Of the busiest GPU a index goes, or one of an expert that it has gets company.
        let mut expected = Vec::new();
        for (index, donor) in (0..).zip(&replicas.sorted) {
            let home = layout.home[index as usize] as usize;
            for (receiver, &count) in (0..).zip(&counts) {
                let helps = home == from || on(from, receiver);
                let may = donor.count() > 1 && count < gpus as u32 && !on(home, receiver);
                if helps && may {
                    expected.push((index, receiver));
                }
            }
        }
        assert_eq!(found, expected, "{load:?} {counts:?}");
        for &transfer in &transfers {
            let mut after = Candidate::default();
            let mut counts = Vec::new();
            transfer_replica::count(transfer, load.len(), &before.replicas, &mut counts);
            transfer_replica::apply(transfer, &load, &counts, &before, &mut after);
            check(&after.replicas, &after.layout);
            assert_eq!(after.peak, after.layout.peak());
            let donor = replicas.position[transfer.replica as usize];
            // The loads of those that may rise, and of the busiest.
            let changed = (0..gpus)
                .filter(|&gpu| on(gpu, donor) || gpu == from && on(from, transfer.receiver));
            let peak = changed.map(|gpu| after.layout.load[gpu]).max();
            assert_eq!(Some(transfer.peak), peak, "{load:?} {counts:?} {transfer:?}");
            applied += 1;
        }
        // The best of them, if not all are wanted.
        let all = transfers.clone();
        for wanted in [0, 1, all.len() / 2, all.len()] {
            transfer_replica::list(&before, &load, from, wanted, &mut transfers);
            assert!(transfers == all[..wanted.min(all.len())]);
        }
    }
    assert!(applied > 10_000, "{applied}");
}

/// Whether these replicas may go to these GPUs, which hold no other replica of their experts.
fn fits(replicas: &ByExpert, layout: &Layout, moves: &[(u32, usize)]) -> bool {
    moves.iter().all(|&(index, gpu)| !layout.holds(gpu, replicas.sorted[index as usize]))
}

/// A layout, its busiest GPU, and a target that this has to come down to.
fn unfinished(stream: &mut SplitMix64) -> (ByExpert, Layout, usize, u64) {
    let (load, counts, gpus) = odd_counts(stream);
    let (_, replicas, layout) = placed(&load, &counts, gpus);
    let from = layout.busiest();
    let peak = layout.load[from];
    let target = peak - stream.below(1 + peak / 4);
    (replicas, layout, from, target)
}

#[test]
fn swaps_are_those_of_the_naive_reference() {
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
                let same_expert =
                    replicas.sorted[a as usize].first == replicas.sorted[b as usize].first;
                if same_expert || drop + lightest > target {
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

/// Loads of two replicas of a GPU, and the replicas, lightest first.
fn pairs(replicas: &ByExpert, on: &[u32]) -> Vec<(u64, u32, u32)> {
    let load = |&index: &u32| replicas.load(index);
    let mut pairs: Vec<_> = (on.iter().enumerate())
        .flat_map(|(i, a)| on[i + 1..].iter().map(move |b| (load(a) + load(b), *a, *b)))
        .collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn swaps_of_pairs_are_those_of_the_naive_reference() {
    let mut stream = SplitMix64(67);
    let mut found = [0; 3];
    let mut planner = SwapPairs::default();
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
        let mut work = [5, 5];
        // Of the layout before, whose pairs are forgotten.
        planner.start(layout.load.len());
        for work in &mut work {
            let given = planner.find(&replicas, &layout, from, target, others, work);
            assert_eq!(given, expected, "{layout:?} {target}");
        }
        // The second time all pairs that it compares are listed already.
        let listed = layout.per_gpu * (layout.per_gpu - 1) / 2;
        assert_eq!(work[1], 5 + compared, "{layout:?} {target}");
        assert!(
            work[0] >= work[1] && (work[0] - work[1]).checked_rem(listed as u64).unwrap_or(0) == 0
        );
        found[usize::from(best > 0) + usize::from(best >= excess.max(1))] += 1;
    }
    assert!(found.iter().all(|&count| count > 50), "{found:?}");
}

#[test]
fn with_many_slots_no_pairs_are_swapped() {
    for (per_gpu, some) in [(64, true), (65, false)] {
        let load: Vec<u64> = (0..2 * per_gpu).rev().collect();
        let (_, replicas, mut layout) = placed(&load, &vec![1; load.len()], 2);
        let (light, heavy) = (layout.on(0)[per_gpu as usize - 1], layout.on(1)[0]);
        layout.exchange(&replicas, heavy, light);
        let from = layout.busiest();
        let peak = layout.load[from];
        let mut planner = SwapPairs::default();
        planner.start(2);
        let pair = planner.find(&replicas, &layout, from, peak - 1, 9, &mut 0);
        assert_eq!(pair.is_some(), some, "{per_gpu}");
    }
}
