//! The bound of a lattice is never above the least peak of these replica counts.

use crate::minimax::lattice::Lattice;
use crate::problem::share::packing_load;
use crate::problems::SplitMix64;

/// The least peak of replicas with these loads, heaviest first, on GPUs that carry so much already.
fn least_peak(replicas: &[u64], gpus: &mut [u64], mut best: u64) -> u64 {
    let Some((&replica, rest)) = replicas.split_first() else {
        return best.min(gpus.iter().copied().max().unwrap_or(0));
    };
    for gpu in 0..gpus.len() {
        // Empty GPUs are alike.
        let alike = gpus[..gpu].contains(&gpus[gpu]);
        if !alike && gpus[gpu] + replica < best {
            gpus[gpu] += replica;
            best = least_peak(rest, gpus, best);
            gpus[gpu] -= replica;
        }
    }
    best
}

#[test]
fn no_placement_is_below_the_bound_which_is_often_reached() {
    let mut stream = SplitMix64(29);
    let mut lattice = Lattice::default();
    let (mut above_mean, mut reached) = (0, 0);
    for _ in 0..2000 {
        let gpus = 2 + stream.below(3) as usize;
        let experts = 3 + stream.below(4) as usize;
        let token = 1 + stream.below(1 << 20);
        let mut load: Vec<u64> = (0..experts).map(|_| token * stream.below(12)).collect();
        load.sort_unstable_by(|a, b| b.cmp(a));
        let counts: Vec<u32> =
            (0..stream.below(5) as usize).map(|_| 1 + stream.below(3) as u32).collect();
        let counts = &counts[..counts.len().min(experts)];

        lattice.start(&load, gpus);
        let bound = lattice.bound(counts);

        let all = counts.iter().copied().chain(std::iter::repeat(1));
        let shares = load.iter().zip(all);
        let replicas: Vec<u64> = shares
            .flat_map(|(&w, count)| vec![packing_load(w, count.into()); count as usize])
            .collect();
        let least = least_peak(&replicas, &mut vec![0; gpus], u64::MAX);
        assert!(bound <= least, "{load:?} {counts:?} on {gpus}: {bound} is above {least}");
        let mean = replicas.iter().sum::<u64>().div_ceil(gpus as u64);
        above_mean += usize::from(bound > mean);
        reached += usize::from(bound > mean && bound == least);
    }
    assert!(above_mean > 800 && reached > 250, "{above_mean} above the mean, {reached} reached");
}

#[test]
fn loads_of_many_tokens_and_no_loads_have_no_bound() {
    let mut lattice = Lattice::default();
    for load in [&[1 << 39, 3, 1][..], &[0, 0, 0], &[4, 0, 0]] {
        lattice.start(load, 2);
        assert_eq!(lattice.bound(&[2]), 0, "{load:?}");
    }
}

#[test]
fn whole_tokens_that_few_halves_cannot_fill() {
    // 13 tokens on 3 GPUs: 5 with whole ones; two halves fill two GPUs, and 4.5 are enough.
    let mut lattice = Lattice::default();
    lattice.start(&[6, 4, 3], 3);
    assert_eq!(lattice.bound(&[]), packing_load(5, 1));
    assert_eq!(lattice.bound(&[1, 1, 2]), packing_load(9, 2));
}
