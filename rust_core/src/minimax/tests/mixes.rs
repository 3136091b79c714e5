//! Mixes are possible counts, and of equal loads the best ones are among them.

use std::collections::BTreeSet;

use crate::minimax::mixes::{Choice, Mixes};
use crate::minimax::replica_counts::{ReplicaCounts, each_choice};
use crate::problem::share::SHARE_UNIT;
use crate::problems::SplitMix64;

/// All sizes with at most so many slots: experts, slots of a GPU, GPUs.
fn sizes(most: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let shapes = (1..=most).flat_map(move |gpus| (1..=most / gpus).map(move |each| (each, gpus)));
    shapes.flat_map(|(each, gpus)| (each..=each * gpus).map(move |experts| (experts, each, gpus)))
}

/// Whether replicas of equal loads, `counts` of them, can be placed without a GPU above `limit`: expert by
/// expert, on some of the GPUs that have room.
fn fits(counts: &[u32], gpus: &mut [(u64, usize)], limit: u64) -> bool {
    let Some((&count, others)) = counts.split_first() else { return true };
    let all = 0..1_u32 << gpus.len();
    all.filter(|set| set.count_ones() == count).any(|set| {
        let chosen = |gpu: &usize| set >> gpu & 1 == 1;
        let share = SHARE_UNIT / u64::from(count);
        // Of GPUs that have the same, the first ones.
        let alike = |i: usize| i > 0 && gpus[i] == gpus[i - 1] && !chosen(&(i - 1));
        let full = |i: usize| gpus[i].1 == 0 || gpus[i].0 + share > limit;
        if (0..gpus.len()).filter(chosen).any(|i| alike(i) || full(i)) {
            return false;
        }
        let mut then = gpus.to_vec();
        for i in (0..gpus.len()).filter(chosen) {
            then[i] = (then[i].0 + share, then[i].1 - 1);
        }
        fits(others, &mut then, limit)
    })
}

/// The counts that the search begins with.
fn adams(load: &[u64], slots: usize, gpus: usize) -> Vec<u32> {
    let mut counts = ReplicaCounts::default();
    counts.start(load, slots, gpus);
    counts.choose_adams();
    counts.counts.resize(load.len(), 1);
    counts.counts
}

/// Checks that choices share out all slots, at most one replica of an expert for each GPU, the best
/// first, none twice.
fn check(choices: &[Choice], wanted: usize, (experts, each, gpus): (usize, usize, usize)) {
    assert!(choices.len() <= wanted);
    assert!(choices.is_sorted_by_key(|choice| choice.judged));
    for Choice { counts, .. } in choices {
        assert_eq!(counts.len(), experts);
        assert_eq!(counts.iter().sum::<u32>() as usize, each * gpus, "{counts:?}");
        assert!(counts.iter().all(|&count| (1..=gpus as u32).contains(&count)), "{counts:?}");
    }
    let distinct: BTreeSet<_> = choices.iter().map(|choice| &choice.counts).collect();
    assert_eq!(distinct.len(), choices.len(), "{choices:?}");
}

#[test]
fn mixes_are_possible_counts_whatever_the_loads() {
    let mut stream = SplitMix64(71);
    let mut mixes = Mixes::default();
    let mut found = 0;
    for size in sizes(40) {
        let (experts, each, gpus) = size;
        for kind in 0..6 {
            let mut load: Vec<u64> = match kind {
                0 => vec![1 << 20; experts],
                1 => vec![0; experts],
                // Two classes.
                2 => (0..experts).map(|i| if i % 3 == 0 { 1 << 20 } else { 3000 }).collect(),
                3 => (0..experts).map(|_| stream.below(2)).collect(),
                _ => (0..experts).map(|_| 1000 + stream.below(1 << (2 * kind))).collect(),
            };
            load.sort_unstable_by(|a, b| b.cmp(a));
            let choices = mixes.list(&load, each * gpus, gpus, 4);
            check(&choices, 4, size);
            found += choices.len();
        }
    }
    assert!(found > 5000, "{found}");
}

#[test]
fn of_equal_loads_a_mix_or_adams_method_is_the_best_choice() {
    let mut mixes = Mixes::default();
    let mut missed = Vec::new();
    let mut tried = 0;
    for (experts, each, gpus) in sizes(12).filter(|size| size.2 > 2) {
        let load = vec![1 << 20; experts];
        let choices = mixes.list(&load, each * gpus, gpus, 3);
        let mut choices: Vec<_> = choices.into_iter().map(|choice| choice.counts).collect();
        choices.push(adams(&load, each * gpus, gpus));
        let empty = vec![(0, each); gpus];
        let least = |limit: u64| {
            let mut possible = false;
            let redundant = each * gpus - experts;
            each_choice(&mut vec![1; experts], 0, redundant, gpus, &mut |counts| {
                let descends = counts.is_sorted_by(|a, b| a >= b);
                possible |= !possible && descends && fits(counts, &mut empty.clone(), limit);
            });
            possible
        };
        let best = |limit| choices.iter().any(|counts| fits(counts, &mut empty.clone(), limit));
        // The least peak of the mixes, by bisection; no other counts are below it.
        let (mut low, mut high) = (0, each as u64 * SHARE_UNIT);
        while low < high {
            let middle = low.midpoint(high);
            if best(middle) { high = middle } else { low = middle + 1 }
        }
        tried += 1;
        if least(low - 1) {
            missed.push((experts, each, gpus));
        }
    }
    assert!(missed.is_empty(), "{} of {tried}: {missed:?}", missed.len());
}
