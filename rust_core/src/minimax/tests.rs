//! No step of the search raises a peak, and the best that it saw is what it returns; dead ends of
//! dealing, which random loads hardly reach, are mended.

use super::deal::Deal;
use super::layout::Layout;
use super::node::{Limits, NodePlanner, Task};
use super::replicas::Replicas;
use crate::policy::Effort;
use crate::problems::{ROW_KINDS, Stream, canonical, loads};
use crate::trace::Step;
use crate::trace::tests::{Recorder, assert_never_rises, compare, sequences};

/// Times that each of these steps was taken.
const COUNTED: [Step; 4] = [Step::Rematch, Step::Swap, Step::PairSwap, Step::Retarget];

#[test]
fn no_step_raises_a_peak_and_the_best_is_kept() {
    let mut stream = Stream(23);
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

/// Deals copies of experts of these loads, heaviest first; fails unless every GPU holds as many
/// different experts as it has slots. Tells whether greedy packing would have done the same.
fn deal(load: &[u64], counts: &[u32], gpus: usize) -> (bool, Layout) {
    let (mut replicas, mut layout) = (Replicas::default(), Layout::default());
    replicas.collect(load, counts);
    let greedy = Deal::default().deal(&replicas, gpus, &mut layout);
    let mut copies = layout.slots.clone();
    copies.sort_unstable();
    assert!(copies.into_iter().eq(0..replicas.sorted.len() as u32), "{load:?} {counts:?}");
    for gpu in 0..gpus {
        let on = layout.on(gpu);
        assert!(on.is_sorted() && on.iter().all(|&copy| layout.home[copy as usize] == gpu as u32));
        assert_eq!(layout.load[gpu], on.iter().map(|&copy| replicas.load(copy)).sum::<u64>());
        let firsts = on.iter().map(|&copy| replicas.sorted[copy as usize].first);
        let mut firsts: Vec<u32> = firsts.collect();
        firsts.dedup();
        assert_eq!(firsts.len(), layout.per_gpu, "{load:?} {counts:?}");
    }
    (greedy, layout)
}

#[test]
fn a_copy_without_room_beside_others_gets_some() {
    // The heavy expert has a GPU to itself until the other is full: then both copies of the last
    // would have to go to the first. So one of the full GPU's moves over.
    let (greedy, layout) = deal(&[100, 5, 5, 5, 2], &[1, 1, 1, 1, 2], 2);
    assert!(!greedy);
    let unit = crate::share::SHARE_UNIT;
    assert_eq!(layout.load, [106 * unit, 11 * unit]);
}

#[test]
fn copies_are_apart_in_layouts_of_every_size() {
    let mut stream = Stream(31);
    let mut dead_ends = 0;
    for _ in 0..4000 {
        let gpus = 2 + stream.below(7) as usize;
        let per_gpu = 2 + stream.below(5) as usize;
        let experts = per_gpu + stream.below((gpus * per_gpu - per_gpu) as u64 + 1) as usize;
        let mut counts = vec![1; experts];
        for _ in experts..gpus * per_gpu {
            // The lightest get the most copies, as no planner would have it.
            let roomy = counts.iter().rposition(|&count| count < gpus as u32).unwrap();
            counts[roomy] += 1;
        }
        let mut load: Vec<u64> = (0..experts).map(|_| 1 << stream.below(30)).collect();
        load.sort_unstable_by(|a, b| b.cmp(a));
        dead_ends += usize::from(!deal(&load, &counts, gpus).0);
    }
    assert!(dead_ends > 500, "{dead_ends} layouts that greedy packing would not find");
}
