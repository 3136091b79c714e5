//! No GPU gets an expert twice, in the order of the naive reference; dead ends, which random loads hardly
//! reach, are repaired.

use super::distinct::DistinctGreedy;
use crate::layout::Layout;
use crate::problems::SplitMix64;
use crate::sorted_replicas::by_expert::ByExpert;

/// Fails unless every GPU holds as many different experts as it has slots, heaviest first, and
/// what is known of it is true.
pub(crate) fn check(replicas: &ByExpert, layout: &Layout) {
    for (gpu, load) in layout.load.iter().enumerate() {
        let on = layout.on(gpu);
        assert!(on.is_sorted(), "{on:?}");
        assert!(on.iter().all(|&index| layout.home[index as usize] == gpu as u32));
        assert_eq!(*load, on.iter().map(|&index| replicas.load(index)).sum::<u64>());
        let firsts = on.iter().map(|&index| replicas.sorted[index as usize].first);
        let mut firsts: Vec<u32> = firsts.collect();
        firsts.dedup();
        assert_eq!(firsts.len(), layout.per_gpu, "{on:?}");
    }
}

/// Places replicas of experts of these loads, heaviest first; fails unless they go where the naive
/// reference puts them. Tells whether greedy packing with duplicates would have done the same.
pub(crate) fn placed(load: &[u64], counts: &[u32], gpus: usize) -> (bool, ByExpert, Layout) {
    let (mut replicas, mut layout) = (ByExpert::default(), Layout::default());
    replicas.collect(load, counts);
    let as_lpt = DistinctGreedy::default().place(&replicas, gpus, &mut layout);
    check(&replicas, &layout);
    for (gpu, on) in naive_placement(&replicas, gpus).iter().enumerate() {
        assert_eq!(layout.on(gpu), on, "{load:?} {counts:?}");
    }
    (as_lpt, replicas, layout)
}

/// Each replica, heaviest first, to the lightest GPU that has room and lacks its expert; if there is none,
/// by the exchange after which the heavier of the two GPUs is lightest.
fn naive_placement(replicas: &ByExpert, gpus: usize) -> Vec<Vec<u32>> {
    let per_gpu = replicas.sorted.len() / gpus;
    let first = |index: u32| replicas.sorted[index as usize].first;
    let holds = |on: &[u32], index: u32| on.iter().any(|&other| first(other) == first(index));
    let load = |on: &[u32]| on.iter().map(|&index| replicas.load(index)).sum::<u64>();
    let mut placed = vec![Vec::new(); gpus];
    for index in 0..replicas.sorted.len() as u32 {
        let lightest = |placed: &[Vec<u32>], fits: &dyn Fn(&[u32]) -> bool| {
            let roomy = (0..gpus).filter(|&gpu| placed[gpu].len() < per_gpu && fits(&placed[gpu]));
            roomy.min_by_key(|&gpu| (load(&placed[gpu]), gpu))
        };
        if let Some(gpu) = lightest(&placed, &|on| !holds(on, index)) {
            placed[gpu].push(index);
            continue;
        }
        let roomy = lightest(&placed, &|_| true).unwrap();
        let mut best = (u64::MAX, 0, 0);
        for (gpu, on) in placed.iter().enumerate().filter(|(_, on)| on.len() == per_gpu) {
            for &other in
                on.iter().filter(|&&other| !holds(on, index) && !holds(&placed[roomy], other))
            {
                let given = load(on) - replicas.load(other) + replicas.load(index);
                best =
                    best.min((given.max(load(&placed[roomy]) + replicas.load(other)), gpu, other));
            }
        }
        let (_, gpu, other) = best;
        placed[gpu].retain(|&kept| kept != other);
        placed[gpu].push(index);
        placed[roomy].push(other);
        placed[roomy].sort_unstable();
    }
    placed
}

#[test]
fn a_replica_without_room_beside_others_gets_some() {
    // The heavy expert has a GPU for itself until the other GPU is full: then both replicas of the last
    // expert would have to go to the first GPU. So one replica moves there from the full GPU.
    let (as_lpt, _, layout) = placed(&[100, 5, 5, 5, 2], &[1, 1, 1, 1, 2], 2);
    assert!(!as_lpt);
    let unit = crate::problem::share::SHARE_UNIT;
    assert_eq!(layout.load, [106 * unit, 11 * unit]);
}

/// Loads, and counts of replicas that no planner would choose: the lightest experts have the most.
pub(crate) fn odd_counts(stream: &mut SplitMix64) -> (Vec<u64>, Vec<u32>, usize) {
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
fn replicas_are_apart_in_layouts_of_every_size() {
    let mut stream = SplitMix64(31);
    let mut dead_ends = 0;
    for _ in 0..4000 {
        let (load, counts, gpus) = odd_counts(&mut stream);
        dead_ends += usize::from(!placed(&load, &counts, gpus).0);
    }
    assert!(dead_ends > 500, "{dead_ends} layouts that greedy packing would not find");
}
