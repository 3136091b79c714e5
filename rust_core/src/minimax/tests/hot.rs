//! Choices of the counts of hot experts, and what a skeleton says of them.

use crate::minimax::budget::Budget;
use crate::minimax::hot::{Choice, HotChoices, Skeleton};
use crate::minimax::replica_counts::ReplicaCounts;
use crate::minimax::task::Task;
use crate::problem::options::{Effort, Options};
use crate::problem::share::packing_load;
use crate::problems::{SplitMix64, global, topology};

/// A few heavy experts, the others light, in descending order.
fn loads(stream: &mut SplitMix64, experts: usize) -> Vec<u64> {
    let hot = 1 + stream.below(3);
    let mut load: Vec<u64> = (0..experts as u64)
        .map(|i| (1 << 20) + stream.below(if i < hot { 1 << 30 } else { 1 << 24 }))
        .collect();
    load.sort_unstable_by(|a, b| b.cmp(a));
    load
}

/// Calls `check` with the choices for small problems with hot experts: a peak above the target, loads,
/// how many are hot, and the choices.
fn each_problem(mut check: impl FnMut(Task<'_>, &mut ReplicaCounts, usize, u64, &HotChoices)) {
    let mut stream = SplitMix64(7);
    let sizes = topology(&global(6, 9, 3));
    let budget = &Budget::list(Options::minimax(Effort::Default), &sizes).unwrap()[0];
    let mut list = HotChoices::default();
    for _ in 0..400 {
        let gpus = 2 + stream.below(3) as usize;
        let per_gpu = 2 + stream.below(2) as usize;
        let slots = gpus * per_gpu;
        let experts = (slots - stream.below(gpus as u64 + 1) as usize).max(3);
        let load = loads(&mut stream, experts);
        let mean = (load.iter().sum::<u64>() * 720_720).div_ceil(gpus as u64);
        let task = Task { gpus, slots, bound: mean, target: mean, budget };
        let mut counts = ReplicaCounts::default();
        counts.start(&load, slots, gpus);
        let peak = mean + mean / (1 + stream.below(4));
        let hot = list.list(&mut counts, task, 64, peak);
        check(task, &mut counts, hot, peak, &list);
    }
}

/// All counts of a choice.
fn all_counts(choice: &Choice, hot: usize, counts: &mut ReplicaCounts, gpus: usize) -> Vec<u32> {
    assert!(counts.choose_rest(hot, choice.rest, choice.to_lightest, gpus));
    let mut all = counts.counts.clone();
    all.resize(counts.adams.load.len(), 1);
    all[..hot].copy_from_slice(&choice.counts[..hot]);
    all
}

#[test]
fn choices_fill_the_slots_in_order_and_come_once() {
    let (mut found, mut to_lightest) = (0, 0);
    each_problem(|task, counts, hot, peak, list| {
        assert!(list.choices.is_sorted());
        assert!(list.choices.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(hot > 0 || list.choices.is_empty());
        for choice in list.choices.iter().filter(|choice| choice.judgement < u64::MAX) {
            let all = all_counts(choice, hot, counts, task.gpus);
            assert_eq!(all.iter().sum::<u32>() as usize, task.slots, "{choice:?}");
            assert!(all.iter().all(|&count| 1 <= count && count as usize <= task.gpus));
            let mut shares = counts.adams.load.iter().zip(&all).take(hot);
            assert!(shares.all(|(&w, &count)| packing_load(w, count.into()) < peak));
            found += 1;
            to_lightest += usize::from(choice.to_lightest);
        }
    });
    assert!(found > 1000 && to_lightest > 300, "{found} {to_lightest}");
}

#[test]
fn no_packing_with_a_skeleton_is_below_its_judgement() {
    let (mut found, mut reached) = (0, 0);
    each_problem(|task, counts, hot, _, list| {
        for choice in list.choices.iter().filter(|choice| choice.judgement < u64::MAX).take(12) {
            let all = all_counts(choice, hot, counts, task.gpus);
            let load = &counts.adams.load;
            let mut rest: Vec<u64> = (hot..load.len())
                .flat_map(|i| vec![packing_load(load[i], all[i].into()); all[i] as usize])
                .collect();
            rest.sort_unstable();
            let skeleton = Skeleton::new(&load[..hot], choice.counts, task);
            let per_gpu = task.slots / task.gpus;
            let mut gpus: Vec<(u64, usize)> = skeleton.alike[..skeleton.kinds]
                .iter()
                .flat_map(|alike| vec![(alike.load, per_gpu - alike.held); alike.gpus])
                .collect();
            assert_eq!(gpus.iter().map(|gpu| gpu.1).sum::<usize>(), rest.len());
            let least = least_peak(&mut rest, &mut gpus);
            assert!(choice.judgement <= least, "{choice:?} {least}");
            found += 1;
            reached += usize::from(choice.judgement.max(task.bound) == least);
        }
    });
    assert!(found > 1000 && reached > 100, "{found} {reached}");
}

/// The least peak over every way to put these replicas in the free slots of GPUs.
fn least_peak(rest: &mut Vec<u64>, gpus: &mut [(u64, usize)]) -> u64 {
    let Some(replica) = rest.pop() else {
        return gpus.iter().map(|gpu| gpu.0).max().unwrap_or(0);
    };
    let mut least = u64::MAX;
    for gpu in 0..gpus.len() {
        if gpus[gpu].1 == 0 || gpus[..gpu].contains(&gpus[gpu]) {
            continue;
        }
        let before = gpus[gpu];
        gpus[gpu] = (before.0 + replica, before.1 - 1);
        least = least.min(least_peak(rest, gpus));
        gpus[gpu] = before;
    }
    rest.push(replica);
    least
}
