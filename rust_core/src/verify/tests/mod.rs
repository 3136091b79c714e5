mod naive;

use super::bins::Bins;
use super::bounds::{Claimed, LayerLimits, UNIT, least_allowed, lower_bounds};
use crate::placement::bound::Bound;
use crate::problem::topology::Topology;
use crate::problems::{ROW_KINDS, SplitMix64, canonical, global, row, sizes, sizes_of, topology};

/// Small problems of every kind, with more slots per GPU than those of other tests.
fn small_problems(rounds: u64, mut check: impl FnMut(&[u64], &Topology)) {
    let mut stream = SplitMix64(1);
    for round in 0..rounds {
        let sizes = match round % 5 {
            0 => sizes(&mut stream),
            // Many slots per GPU, few GPUs.
            1 => {
                let (gpus, experts) = (stream.up_to(4), stream.up_to(40));
                let per_gpu = experts.div_ceil(gpus) + stream.below(2) * stream.below(40);
                global(experts, gpus * per_gpu, gpus)
            }
            // No redundant slots.
            2 => {
                let (gpus, per_gpu) = (stream.up_to(4), stream.up_to(4));
                global(gpus * per_gpu, gpus * per_gpu, gpus)
            }
            // Few slots per GPU, many experts with two.
            3 => {
                let (gpus, per_gpu) = (1 + stream.up_to(10), 1 + stream.up_to(4));
                global(1 + stream.up_to(gpus * per_gpu - 1), gpus * per_gpu, gpus)
            }
            // Whole groups on nodes.
            _ => {
                let (nodes, per_node) = (1 + stream.up_to(3), stream.up_to(4));
                let (groups, gpus) = (nodes * per_node, nodes * stream.up_to(3));
                let experts = groups * stream.up_to(3);
                let per_gpu = experts.div_ceil(gpus) + stream.below(3);
                sizes_of([experts, gpus * per_gpu, groups, nodes, gpus])
            }
        };
        let experts = sizes.num_experts as usize;
        let row = if round % 3 == 0 {
            let skew = stream.up_to(4);
            (0..experts).map(|_| (0..skew).map(|_| stream.up_to(30)).product()).collect()
        } else {
            row(&mut stream, round % ROW_KINDS, experts)
        };
        check(canonical(&row, experts).row(0), &topology(&sizes));
    }
}

#[test]
fn bounds_are_those_of_the_naive_twin_whatever_is_claimed() {
    let mut kinds = [0; Bound::ALL.len()];
    small_problems(10_000, |loads, topology| {
        let expected = naive::lower_bounds(loads, topology);
        let (best, without_groups) = (expected.best.0 as u64, expected.without_groups as u64);
        let claims = [
            (best, without_groups),
            (best + 1, without_groups + 1),
            (best.saturating_sub(1), without_groups.saturating_sub(1)),
            (without_groups, best),
            (0, u64::MAX),
            (u64::MAX, 0),
        ];
        for (best, without_groups) in claims {
            let found = lower_bounds(loads, topology, Claimed { best, without_groups });
            assert_eq!(found, expected, "{topology:?} {loads:?} {best} {without_groups}");
        }
        kinds[expected.best.1 as usize] += 1;
    });
    assert!(kinds.iter().all(|&n| n > 100), "{:?}: {kinds:?}", Bound::ALL);
}

/// Questions asked, and the answer, if all from 1000 on are allowed.
fn questions(from: u128, claimed: u128, to: u128) -> (u128, u32) {
    let mut asked = 0;
    let allows = |t| {
        asked += 1;
        t >= 1000
    };
    (least_allowed(from, claimed, to, allows), asked)
}

#[test]
fn a_true_claim_takes_three_questions_and_a_false_one_bisection() {
    let far = 1 << 60;
    for (from, claimed, to, answer, most) in [
        (1000, 1000, far, 1000, 1),
        (1000, 7, far, 1000, 1),
        (10, 1000, far, 1000, 3),
        (10, 1001, far, 1000, 63),
        (10, 999, far, 1000, 63),
        (10, 10, far, 1000, 63),
        (10, 0, far, 1000, 63),
        (10, u64::MAX.into(), far, 1000, 63),
        (10, 1000, 1000, 1000, 3),
        (0, 5, 0, 0, 0),
    ] {
        let (found, asked) = questions(from, claimed, to);
        assert_eq!(found, answer, "{from} {claimed} {to}");
        assert!(asked <= most, "{from} {claimed} {to}: {asked} questions");
    }
}

/// What one question of counting looks at: however many slots a GPU has, at most two numbers of big
/// replicas, each in near-linear time.
#[test]
fn at_most_two_numbers_of_big_replicas_are_looked_at() {
    let mut found = [0; 3];
    let mut count = |loads: &[u64], topology: &Topology| {
        let layer = LayerLimits::new(loads, topology);
        if layer.mean == 0 {
            return;
        }
        for permille in [0, 1, 10, 50, 100, 200, 300, 500, 700, 1000, 1500, 3000, 9000] {
            let crowds = layer.crowds(layer.mean + layer.mean * permille / 1000);
            assert!(crowds.len() <= 2, "{topology:?}: {crowds:?}");
            found[crowds.len()] += 1;
        }
    };
    small_problems(2_000, &mut count);
    let mut stream = SplitMix64(2);
    for (experts, slots, gpus) in [
        (512, 4096, 8),
        (512, 1024, 2),
        (512, 2048, 4),
        (1 << 14, 1 << 14, 1),
        (1 << 14, 1 << 15, 2),
        (1 << 14, 1 << 20, 64),
        (1 << 14, 1 << 20, 1 << 10),
        (1 << 12, 1 << 20, 1 << 10),
        (256, 1 << 16, 1),
        (256, 1 << 20, 1),
    ] {
        let topology = topology(&global(experts, slots, gpus));
        for kind in [1, 3, 5, 9, 10, 11, 13] {
            let row = row(&mut stream, kind, experts as usize);
            count(canonical(&row, row.len()).row(0), &topology);
        }
        let harmonic: Vec<u64> = (1..=experts).map(|i| (1 << 30) / i).collect();
        count(canonical(&harmonic, harmonic.len()).row(0), &topology);
    }
    assert!(found[1] > 1000, "{found:?}");
    // A GPU of 100 has room for one of 51 or two of 34, but nine and seventeen are too many for eight.
    let loads = [[51; 9].as_slice(), &[34; 8]].concat();
    let layer = LayerLimits::new(&loads, &topology(&global(17, 40, 8)));
    assert_eq!(layer.crowds(100 * UNIT), [1, 2]);
}

/// What one question of packing looks at, beside the number of packings; none if these are too many.
#[test]
fn a_search_takes_no_more_steps_than_there_are_packings() {
    let mut stream = SplitMix64(3);
    for (items, bins, packings) in [
        (20, 2, 92_378),
        (18, 2, 24_310),
        (16, 2, 6_435),
        (12, 4, 15_400),
        (12, 3, 5_775),
        (9, 3, 280),
        (30, 1, 1),
        (22, 2, 0),
        (15, 3, 0),
        (1 << 14, 2, 0),
        (1 << 14, 1 << 13, 0),
    ] {
        let mut most_steps = 0;
        for round in 0..40 {
            let range = [3, 50, 1 << 40][round % 3];
            let loads: Vec<u128> = (0..items).map(|_| stream.up_to(range).into()).collect();
            let (total, bins) = (loads.iter().sum(), Bins::new(loads, bins));
            let fit = |load| {
                let mut steps = 0;
                let fits = bins.fit_in_steps(load, &mut steps);
                most_steps = most_steps.max(steps);
                fits
            };
            least_allowed(0, 0, total, fit);
        }
        assert!(most_steps <= packings, "{items} items in {bins} bins: {most_steps} steps");
    }
}
