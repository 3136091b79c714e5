//! Replica counts are those of a naive reference.

use std::cmp::Ordering;

use crate::minimax::replica_counts::{ReplicaCounts, each_choice, few_choices};
use crate::problems::SplitMix64;

/// Gives one more replica, `rest` times, to the expert with the largest load per replica of those that
/// `may` have more; ties: the lower position. Experts without load: the fewest replicas first.
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
fn choices_of_counts_are_those_of_the_naive_reference() {
    let mut stream = SplitMix64(43);
    let mut found = [0, 0];
    for _ in 0..1500 {
        let gpus = 2 + stream.below(5) as usize;
        let experts = 2 + stream.below(9) as usize;
        let slots = experts + stream.below(((gpus - 1) * experts) as u64 + 1) as usize;
        let bits = 1 + stream.below(20);
        let mut load: Vec<u64> = (0..experts).map(|_| stream.below(1 << bits)).collect();
        load.sort_unstable_by(|a, b| b.cmp(a));
        let mut choice = ReplicaCounts::default();
        choice.start(&load, slots, gpus);
        assert_eq!(choice.redundant(), slots - experts);
        for rest in 1..=slots - experts {
            let mut counts = vec![1; experts];
            assert!(give(&load, &mut counts, slots - experts - rest, |_, count| {
                count < gpus as u32
            }));
            let adams = counts.clone();
            let possible =
                give(&load, &mut counts, rest, |i, count| adams[i] == 1 && count < gpus as u32);
            assert_eq!(choice.choose(rest, gpus), possible, "{load:?} {slots} {gpus} {rest}");
            if possible {
                choice.counts.resize(experts, 1);
                assert_eq!(choice.counts, counts, "{load:?} {slots} {gpus} {rest}");
            }
            found[usize::from(possible)] += 1;
        }
    }
    assert!(found.iter().all(|&count| count > 1000), "{found:?}");
}

#[test]
fn few_choices_are_as_many_as_there_are() {
    for (experts, slots) in (1..6).flat_map(|experts| (experts..12).map(move |s| (experts, s))) {
        let (redundant, mut found) = (slots - experts, 0);
        each_choice(&mut vec![1; experts], 0, redundant, redundant + 1, &mut |counts| {
            assert_eq!(counts.iter().sum::<u32>() as usize, slots);
            found += 1;
        });
        assert!(few_choices(experts, slots, found), "{experts} {slots} {found}");
        assert!(found == 1 || !few_choices(experts, slots, found - 1), "{experts} {slots} {found}");
    }
}
