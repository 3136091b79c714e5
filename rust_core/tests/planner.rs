//! The planner against its naive reference, and against what has to hold of every plan.

mod problems;
mod reference;

use eplb_core::{
    CanonicalLoads, Effort, Options, Placement, Policy, Problem, SHARE_UNIT, Sizes, certify, verify,
};
use problems::{
    PUBLISHED, ROW_KINDS, SplitMix64, canonical, certified, global, loads, plan, policies, sizes,
    sizes_of, topology,
};

/// Fails unless the reference and the crate place every replica of every layer alike.
fn assert_as_reference(loads: &CanonicalLoads, sizes: &Sizes) {
    for policy in PUBLISHED {
        let plan = plan(loads, sizes, policy);
        let slots = sizes.num_replicas as usize;
        for layer in 0..loads.layers() {
            let row = loads.row(layer);
            let expected = reference::plan(row, sizes, policy == Policy::Adaptive);
            let planned = reference::Layer {
                phy2log: plan.phy2log()[layer * slots..][..slots].to_vec(),
                rank: plan.rank()[layer * slots..][..slots].to_vec(),
                logcnt: plan.logcnt()[layer * row.len()..][..row.len()].to_vec(),
            };
            assert_eq!(planned, expected, "{policy}, {sizes:?}, loads {row:?}");
        }
    }
}

#[test]
fn many_small_problems() {
    let mut stream = SplitMix64(1);
    for i in 0..6000 {
        let sizes = sizes(&mut stream);
        let experts = sizes.num_experts as usize;
        let loads = loads(&mut stream, i, 3, experts);
        assert_as_reference(&canonical(&loads, experts), &sizes);
    }
}

#[test]
fn sizes_of_real_models() {
    let mut stream = SplitMix64(2);
    for sizes in [
        [256, 288, 1, 1, 32],
        [256, 320, 8, 4, 64],
        [256, 288, 8, 1, 32],
        [384, 576, 1, 1, 144],
        [128, 144, 1, 1, 16],
        [64, 72, 8, 3, 8],
    ] {
        let experts = sizes[0] as usize;
        let loads = loads(&mut stream, 0, ROW_KINDS as usize, experts);
        assert_as_reference(&canonical(&loads, experts), &sizes_of(sizes));
    }
}

#[test]
fn every_row_of_small_loads() {
    for (experts, values) in [(2_u32, 7_u64), (3, 5), (4, 4), (5, 3), (6, 2)] {
        let rows = (0..values.pow(experts))
            .flat_map(|n| (0..experts).map(move |i| n / values.pow(i) % values));
        let loads = canonical(&rows.collect::<Vec<_>>(), experts as usize);
        for (replicas, gpus) in [(6, 1), (6, 2), (6, 3), (6, 6), (8, 2), (8, 4), (9, 3), (12, 4)] {
            assert_as_reference(&loads, &global(experts as u64, replicas, gpus));
        }
    }
}

#[test]
fn every_hierarchical_row_of_small_loads() {
    for sizes in [[8, 8, 4, 2, 4], [8, 12, 4, 1, 3], [8, 12, 8, 2, 4], [8, 10, 2, 2, 2]] {
        let rows = (0..3_u64.pow(8)).flat_map(|n| (0..8).map(move |i| n / 3_u64.pow(i) % 3));
        assert_as_reference(&canonical(&rows.collect::<Vec<_>>(), 8), &sizes_of(sizes));
    }
}

#[test]
fn thousands_of_copies() {
    for (experts, replicas, gpus) in [(1, 4000, 8), (3, 3000, 10), (8, 2400, 60), (40, 4000, 16)] {
        let mut rows = vec![0_u64; experts * 4];
        rows[experts / 2] = 77;
        rows[experts..2 * experts].fill(3);
        rows[2 * experts..].fill(1);
        rows[2 * experts] = 1 << 50;
        rows[3 * experts] = 1000;
        assert_as_reference(&canonical(&rows, experts), &global(experts as u64, replicas, gpus));
    }
}

#[test]
fn the_most_experts() {
    let experts = 1 << 14;
    let row: Vec<u64> = (0..experts).map(|i| i % 7 * (i % 1000)).collect();
    assert_as_reference(&canonical(&row, experts as usize), &global(experts, experts + 8, 6));
}

/// A search that went as deep as there are experts or groups would end the process.
#[test]
fn minimax_goes_no_deeper_than_a_small_stack() {
    let experts = 1 << 14;
    let even: Vec<u64> = (0..experts).map(|i| 10 + i % 7).collect();
    let hot: Vec<u64> = (0..experts).map(|i| if i == 5 { 1 << 20 } else { 10 }).collect();
    let many_groups = sizes_of([experts, experts, experts, 2, 4]);
    let one_spare = global(experts - 1, experts, 16);
    for (row, sizes) in [(even, many_groups), (hot[1..].to_vec(), one_spare)] {
        let plan = move || {
            let loads = canonical(&row, row.len());
            let plan = plan(&loads, &sizes, Policy::Minimax);
            assert_eq!(plan.duplicates(), [0]);
        };
        let small = std::thread::Builder::new().stack_size(1 << 18);
        small.spawn(plan).unwrap().join().unwrap();
    }
}

/// Whether the heaviest copies that fill a GPU are too heavy for a key of 64 bits, which holds a
/// load above the index of a GPU.
fn needs_wide_keys(row: &[u64], sizes: &Sizes) -> bool {
    let layer = reference::plan(row, sizes, false);
    let mut copies: Vec<u128> = (layer.phy2log.iter())
        .map(|&e| {
            reference::packing_load(row[e as usize] as u128, layer.logcnt[e as usize] as u128)
        })
        .collect();
    copies.sort_unstable_by_key(|&load| std::cmp::Reverse(load));
    let fullest: u128 = copies[..copies.len() / sizes.num_gpus as usize].iter().sum();
    fullest >= u128::from(u64::MAX / sizes.num_gpus.next_power_of_two())
}

#[test]
fn narrow_and_wide_packing_keys() {
    let (mut narrow, mut wide) = (0, 0);
    let mut stream = SplitMix64(3);
    for gpus in [17_u64, 31, 32, 33, 63, 64, 65, 100, 128, 200, 256] {
        // A GPU with such a load leaves no room for its index in 64 bits.
        let too_much = (u64::MAX / gpus.next_power_of_two()).div_ceil(SHARE_UNIT);
        for i in 0..60 {
            let slots_per_gpu = 2 + i % 4;
            let sizes = global(gpus * slots_per_gpu - i / 50, gpus * slots_per_gpu, gpus);
            // Hot experts just around that, alone or as many as fill a GPU.
            let together = if i % 3 == 0 { 1 } else { slots_per_gpu };
            let hot = gpus.next_power_of_two() / 32 * together;
            let most = too_much / together + 3 - stream.below(6);
            let mut row: Vec<u64> =
                (0..sizes.num_experts).map(|_| i / 30 + stream.below(3)).collect();
            for expert in 0..hot {
                let at = expert * 7 % sizes.num_experts;
                row[at as usize] = most - stream.below(2);
            }
            let loads = canonical(&row, row.len());
            assert_eq!(loads.row(0), row, "a total of 2^39 and more is not scaled");
            if needs_wide_keys(&row, &sizes) {
                wide += 1;
            } else {
                narrow += 1;
            }
            assert_as_reference(&loads, &sizes);
        }
    }
    assert!(narrow > 100 && wide > 100, "{narrow} narrow, {wide} wide");
}

#[test]
fn one_more_swap_takes_more_than_3_percent() {
    // After the greedy packing max - min is 3 % of the mean exactly, and a swap more would help:
    // of experts on 5 GPUs, of groups on 2 nodes.
    let on_gpus = [25, 4, 1, 25, 10, 72, 11, 12, 8, 57, 10, 3, 35, 14, 10, 74, 50, 14, 24, 41];
    assert_as_reference(&canonical(&on_gpus, 20), &global(20, 20, 5));
    let on_nodes = [83, 68, 6, 62, 4, 36, 45, 30, 50, 16];
    assert_as_reference(&canonical(&on_nodes, 10), &sizes_of([10, 10, 10, 2, 2]));
}

#[test]
fn threads_and_batches_change_nothing() {
    let mut stream = SplitMix64(4);
    for i in 0..200 {
        let sizes = sizes(&mut stream);
        let experts = sizes.num_experts as usize;
        let layers = 1 + stream.below(12) as usize;
        let all = canonical(&loads(&mut stream, i, layers, experts), experts);
        for policy in policies(&sizes) {
            let together = plan(&all, &sizes, policy);
            for threads in [2, 3, 8, usize::MAX] {
                let (threaded, _) = certified(&all, &topology(&sizes), policy, threads).unwrap();
                assert_eq!(together, threaded, "{threads} threads, {sizes:?}");
            }
            for layer in 0..layers {
                let alone = plan(&canonical(all.row(layer), experts), &sizes, policy);
                let slots = together.phy2log().len() / layers;
                assert_eq!(alone.phy2log(), &together.phy2log()[layer * slots..][..slots]);
                assert_eq!(alone.rank(), &together.rank()[layer * slots..][..slots]);
                assert_eq!(alone.logcnt(), &together.logcnt()[layer * experts..][..experts]);
            }
        }
    }
}

#[test]
fn ranks_and_counts_are_those_of_the_slots() {
    let mut stream = SplitMix64(5);
    for kind in 0..1000 {
        let sizes = sizes(&mut stream);
        let experts = sizes.num_experts as usize;
        let loads = canonical(&loads(&mut stream, kind, 1, experts), experts);
        for policy in policies(&sizes) {
            let plan = plan(&loads, &sizes, policy);
            let mut copies: Vec<_> = plan.phy2log().iter().zip(plan.rank()).collect();
            copies.sort_unstable();
            let counted = (0..experts as i64).zip(plan.logcnt());
            let expected = counted.flat_map(|(e, &r)| (0..r).map(move |rank| (e, rank)));
            assert!(copies.into_iter().map(|(&e, &r)| (e, r)).eq(expected), "{sizes:?}");
            assert!(plan.logcnt().iter().all(|&count| count >= 1), "{sizes:?}");
        }
    }
}

#[test]
fn powers_of_two_and_types_change_no_plan() {
    let mut stream = SplitMix64(6);
    for kind in 0..300 {
        let sizes = sizes(&mut stream);
        let experts = sizes.num_experts as usize;
        let row = loads(&mut stream, kind, 1, experts);
        let small: Vec<u16> = row.iter().map(|x| (x % 65536) as u16).collect();
        let row: Vec<u64> = small.iter().map(|&x| x.into()).collect();
        let singles: Vec<f32> = small.iter().map(|&x| x.into()).collect();
        for policy in policies(&sizes) {
            let expected = plan(&canonical(&row, experts), &sizes, policy);
            for shift in [1, 7, 40] {
                let scaled: Vec<u64> = row.iter().map(|x| x << shift).collect();
                assert_eq!(plan(&canonical(&scaled, experts), &sizes, policy), expected);
            }
            let singles = CanonicalLoads::new(&singles, 1, experts).unwrap();
            assert_eq!(plan(&singles, &sizes, policy), expected);
        }
    }
}

/// Without redundant slots both policies pack the same replicas, and swaps raise no peak.
#[test]
fn swaps_raise_no_peak() {
    let mut stream = SplitMix64(7);
    let mut lower = 0;
    for kind in 0..1000 {
        let gpus = 2 + stream.below(8);
        let experts = gpus * (2 + stream.below(8));
        let sizes = global(experts, experts, gpus);
        let loads = canonical(&loads(&mut stream, kind, 1, experts as usize), experts as usize);
        let [greedy, swapped] = PUBLISHED.map(|policy| {
            let plan = plan(&loads, &sizes, policy);
            certify(&plan, &loads).unwrap().layers[0].max_load
        });
        assert!(swapped <= greedy, "{sizes:?}, loads {:?}", loads.row(0));
        lower += usize::from(swapped < greedy);
    }
    assert!(lower > 100, "swaps lowered the peak {lower} times only");
}

/// Four copies of the 3 on three GPUs, which only `deepseek` allows itself, carry less than three.
#[test]
fn a_layer_that_more_copies_than_gpus_serve_better_is_flagged() {
    let loads = canonical(&[3, 1, 1], 3);
    let topology = topology(&global(3, 6, 3));
    for effort in Effort::ALL {
        let (plan, certificate) =
            certified(&loads, &topology, Options::minimax(effort), 1).unwrap();
        assert_eq!(plan.duplicates(), [0], "{effort}");
        assert!(certificate.layers[0].beaten_by_duplicates, "{effort}");
    }
}

/// A longer search takes other turns, some to a worse end.
#[test]
fn the_best_effort_never_ends_above_the_default_one() {
    let peaks = |loads: &CanonicalLoads, sizes: &Sizes, target_gap: Option<f64>| {
        [Effort::Default, Effort::Best].map(|effort| {
            let options = Options { target_gap, ..Options::minimax(effort) };
            let (_, certificate) = certified(loads, &topology(sizes), options, 1).unwrap();
            certificate.layers.iter().map(|layer| layer.max_load).collect::<Vec<_>>()
        })
    };
    let loads_16 =
        [705, 401, 928, 330, 949, 615, 561, 510, 326, 146, 765, 1410, 498, 839, 593, 427];
    let [default, best] = peaks(&canonical(&loads_16, 16), &global(16, 16, 4), None);
    assert_eq!(best, default);
    // With groups, and with a target that both reach.
    let loads_32 = [
        220, 309, 973, 514, 357, 456, 174, 723, 625, 59, 706, 18, 527, 719, 611, 837, 492, 247,
        864, 863, 293, 71, 378, 373, 613, 783, 167, 297, 793, 735, 112, 409,
    ];
    let [default, best] = peaks(&canonical(&loads_32, 32), &sizes_of([32, 32, 4, 2, 8]), None);
    assert!(best <= default);
    let loads_32 = [
        2275, 1392, 272, 2473, 1563, 585, 1789, 1440, 1342, 1029, 1728, 479, 850, 618, 1821, 1041,
        747, 458, 774, 1009, 760, 3648, 2737, 67, 152, 840, 656, 1239, 1243, 8314, 329, 686,
    ];
    let [default, best] = peaks(&canonical(&loads_32, 32), &global(32, 40, 8), Some(0.001));
    assert!(best <= default);
    let mut stream = SplitMix64(29);
    let mut lower = 0;
    for kind in 0..600_u64 {
        let sizes =
            [global(12, 16, 4), sizes_of([16, 24, 4, 2, 8]), global(15, 15, 3)][kind as usize % 3];
        let loads = loads(&mut stream, kind % ROW_KINDS, 1, sizes.num_experts as usize);
        let [default, best] = peaks(&canonical(&loads, sizes.num_experts as usize), &sizes, None);
        assert!(best <= default, "{sizes:?} {loads:?}");
        lower += usize::from(best < default);
    }
    assert!(lower > 50, "{lower}");
}

#[test]
fn the_default_effort_ends_above_the_fast_one_within_its_target_only() {
    let mut stream = SplitMix64(61);
    let (mut lower, mut equal) = (0, 0);
    for round in 0..40 {
        let sizes = [
            sizes_of([40, 48, 8, 4, 8]),
            sizes_of([80, 96, 16, 4, 8]),
            sizes_of([96, 96, 16, 4, 8]),
            global(80, 80, 8),
        ][round % 4];
        let experts = sizes.num_experts as usize;
        let load = |_| (1 + stream.below(99)) * (1 + stream.below(99));
        let loads: Vec<u64> = (0..20 * experts).map(load).collect();
        let loads = canonical(&loads, experts);
        let [fast, default] = [Effort::Fast, Effort::Default].map(|effort| {
            let options = Options::minimax(effort);
            certified(&loads, &topology(&sizes), options, 1).unwrap().1
        });
        let target = Effort::Default.target_gap(&topology(&sizes));
        for (layer, gap) in default.layers.iter().map(eplb_core::LayerCertificate::gap).enumerate()
        {
            let [fast, default] = [fast.layers[layer].max_load, default.layers[layer].max_load];
            assert!(default <= fast || gap <= target, "{sizes:?} {:?}", loads.row(layer));
            lower += usize::from(default < fast);
            equal += usize::from(default == fast && gap > target);
        }
    }
    assert!(lower > 100 && equal > 10, "{lower} {equal}");
}

#[test]
fn a_published_plan_that_is_no_better_is_neither_taken_nor_flagged() {
    let mut stream = SplitMix64(73);
    let (mut equal, mut equal_with_duplicates, mut flagged) = (0, 0, 0);
    for _ in 0..600 {
        let sizes = [global(6, 8, 4), global(8, 12, 4), global(12, 15, 3), global(4, 8, 4)]
            [stream.below(4) as usize];
        let experts = sizes.num_experts as usize;
        let loads: Vec<u64> = (0..experts).map(|_| stream.below(6)).collect();
        let loads = canonical(&loads, experts);
        let options = Options { target_gap: Some(0.0), ..Options::minimax(Effort::Default) };
        let (ours, certificate) = certified(&loads, &topology(&sizes), options, 1).unwrap();
        if certificate.layers[0].gap() == 0.0 {
            continue;
        }
        let ours_peak = certificate.layers[0].max_load;
        let mut beaten = false;
        for policy in PUBLISHED {
            let other = plan(&loads, &sizes, policy);
            let peak = certify(&other, &loads).unwrap().layers[0].max_load;
            let distinct = other.duplicates() == [0];
            assert!(!distinct || peak >= ours_peak, "{loads:?}");
            beaten |= peak < ours_peak;
            equal += usize::from(distinct && peak == ours_peak && ours != other);
            equal_with_duplicates += usize::from(!distinct && peak == ours_peak);
        }
        assert_eq!(certificate.layers[0].beaten_by_duplicates, beaten, "{loads:?}");
        flagged += usize::from(beaten);
    }
    let counts = [equal, equal_with_duplicates, flagged];
    assert!(counts.iter().all(|&count| count > 2), "{counts:?}");
}

/// With groups on one node `deepseek` orders experts by group, which decides ties of loads per copy.
#[test]
fn the_fast_effort_is_compared_where_groups_decide_ties() {
    let rows = [
        [1, 3, 3, 1, 3, 0, 1, 0, 2, 1, 0, 3, 3, 2, 3, 1],
        [0, 2, 3, 3, 3, 0, 1, 0, 1, 2, 2, 3, 1, 0, 0, 3],
        [1, 1, 1, 0, 0, 2, 1, 2, 1, 2, 1, 0, 0, 2, 1, 2],
    ];
    let (loads, sizes) = (canonical(rows.as_flattened(), 16), sizes_of([16, 24, 4, 1, 4]));
    let options = Options::minimax(Effort::Fast);
    let (_, fast) = certified(&loads, &topology(&sizes), options, 1).unwrap();
    let published = plan(&loads, &sizes, Policy::DeepSeek);
    let deepseek = certify(&published, &loads).unwrap();
    for layer in 0..3 {
        let beaten = deepseek.layers[layer].max_load < fast.layers[layer].max_load;
        assert_eq!(beaten, fast.layers[layer].beaten_by_duplicates);
        assert!(!beaten || published.duplicates()[layer] > 0);
    }
}

/// Also where the search ends within its target, however wide that is: where experts are in one group.
#[test]
fn the_fast_effort_is_never_above_deepseek_but_for_duplicates() {
    let mut stream = SplitMix64(41);
    let mut behind = 0;
    for (sizes, steps) in [
        (global(64, 80, 8), 1 << 10),
        (global(64, 96, 12), 5),
        (global(24, 96, 6), 8),
        (global(10, 80, 8), 9),
    ] {
        let (layers, experts) = (500, sizes.num_experts as usize);
        let loads: Vec<u64> = (0..layers * experts).map(|_| stream.up_to(steps)).collect();
        let loads = canonical(&loads, experts);
        let published = plan(&loads, &sizes, Policy::DeepSeek);
        let deepseek = certify(&published, &loads).unwrap();
        for target_gap in [None, Some(1.0)] {
            let options = Options { target_gap, ..Options::minimax(Effort::Fast) };
            let (_, fast) = certified(&loads, &topology(&sizes), options, 1).unwrap();
            for layer in 0..layers {
                if deepseek.layers[layer].max_load < fast.layers[layer].max_load {
                    assert!(published.duplicates()[layer] > 0, "{sizes:?}, {:?}", loads.row(layer));
                    behind += 1;
                }
            }
        }
    }
    assert!(behind > 100, "{behind}");
}

#[test]
fn minimax_spreads_spare_slots_of_experts_without_load_evenly() {
    for (row, counts) in [([0; 5], [2; 5]), ([9, 0, 0, 0, 0], [5, 2, 1, 1, 1])] {
        let plan = plan(&canonical(&row, 5), &global(5, 10, 5), Policy::Minimax);
        let mut found = plan.logcnt().to_vec();
        found.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(found, counts, "{row:?}");
    }
}

/// Two layers are packed side by side, also where only one of them needs keys of 128 bits.
#[test]
fn layers_do_not_see_the_layer_beside_them() {
    let mut stream = SplitMix64(97);
    // In 64 bits nothing is left of its packing load above an index, were it to be put there.
    let beyond = (1 << 59) / SHARE_UNIT + 1;
    for (experts, slots, gpus) in [(128, 128, 64), (128, 192, 64), (256, 512, 128), (300, 600, 300)]
    {
        let mut rows = Vec::new();
        for hot in [false, true, true, false, true, true, false, false, true] {
            let at = stream.below(experts);
            let load = |stream: &mut SplitMix64, i| {
                if hot && i == at { beyond } else { 1 + stream.below(1 << 20) }
            };
            rows.push((0..experts).map(|i| load(&mut stream, i)).collect::<Vec<u64>>());
        }
        for policy in PUBLISHED {
            let sizes = global(experts, slots, gpus);
            let together = plan(&canonical(&rows.concat(), experts as usize), &sizes, policy);
            let alone: Vec<i64> = (rows.iter())
                .flat_map(|row| {
                    let alone = plan(&canonical(row, experts as usize), &sizes, policy);
                    alone.phy2log().to_vec()
                })
                .collect();
            assert_eq!(together.phy2log(), alone, "{sizes:?} {policy}");
        }
    }
}

/// The experts on each GPU, in order.
fn contents(plan: &Placement, name: impl Fn(i64) -> i64) -> Vec<Vec<i64>> {
    let mut contents: Vec<Vec<i64>> = (plan.phy2log().chunks(plan.topology().slots_per_gpu()))
        .map(|gpu| gpu.iter().map(|&expert| name(expert)).collect())
        .collect();
    for gpu in &mut contents {
        gpu.sort_unstable();
    }
    contents.sort_unstable();
    contents
}

#[test]
fn permuted_experts_are_permuted_in_the_plan_where_nothing_ties() {
    let mut stream = SplitMix64(8);
    for _ in 0..300 {
        let gpus = stream.up_to(9);
        let slots_per_gpu = 2 + stream.below(6);
        let experts = gpus * slots_per_gpu - stream.below(gpus + 1);
        let sizes = global(experts, gpus * slots_per_gpu, gpus);
        // Loads of 39 bits: shares, sums and residuals are all different.
        let row: Vec<u64> = (0..experts).map(|_| stream.next_u64() >> 25).collect();
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by_cached_key(|_| stream.next_u64());
        let permuted: Vec<u64> = order.iter().map(|&expert| row[expert]).collect();
        // Shares and estimates of `multiwindow` are rounded to 16 bits, so that they tie.
        for policy in policies(&sizes).into_iter().filter(|&p| p != Policy::MultiWindow) {
            let before = plan(&canonical(&row, row.len()), &sizes, policy);
            let after = plan(&canonical(&permuted, row.len()), &sizes, policy);
            let original = |expert: i64| order[expert as usize] as i64;
            assert_eq!(contents(&before, |e| e), contents(&after, original), "{sizes:?} {row:?}");
        }
    }
}

/// So many layers that threads share out the certificate too.
#[test]
fn threads_do_not_change_a_certificate() {
    let (layers, experts) = (1 << 11, 64);
    let sizes = global(64, 72, 8);
    let mut stream = SplitMix64(47);
    let loads: Vec<u64> = (0..layers * experts).map(|_| stream.below(1000)).collect();
    let loads = canonical(&loads, experts);
    let options = Options::minimax(Effort::Fast);
    let plan = |threads| certified(&loads, &topology(&sizes), options, threads);
    let (alone, certificate) = plan(1).unwrap();
    assert_eq!(verify(&alone, &certificate, &loads), Ok(()));
    for threads in [2, 3, 8] {
        assert!(plan(threads).unwrap() == (alone.clone(), certificate.clone()), "{threads}");
    }
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let loads = canonical(&[1, 2, 3, 4, 5, 6], 3);
    let error = |loads, sizes: Sizes, threads| {
        let problem = Problem::new(loads, &topology(&sizes), Policy::DeepSeek);
        problem.and_then(|problem| eplb_core::plan(&problem, threads)).unwrap_err().to_string()
    };
    assert_eq!(
        error(&loads, global(4, 4, 2), 1),
        "the loads have 2 layers x 3 experts, but the plan has 2 x 4; expected loads of the same model"
    );
    assert_eq!(error(&loads, global(3, 4, 2), 0), "threads=0 is too small; expected at least 1");
    let minimax = |experts: u64, sizes: Sizes| {
        let loads = canonical(&vec![1; experts as usize], experts as usize);
        certified(&loads, &topology(&sizes), Policy::Minimax, 1)
    };
    let text = |experts, sizes| minimax(experts, sizes).unwrap_err().to_string();
    assert_eq!(
        text(3, global(3, 8, 2)),
        "num_replicas=8 means 4 slots per GPU, but there are 3 experts; expected no expert twice on a \
         GPU, which the policy minimax never does; try num_replicas=6 or policy=deepseek"
    );
    assert!(minimax(3, global(3, 6, 2)).is_ok());
    let nodes = sizes_of([6, 32, 2, 2, 8]);
    assert_eq!(
        text(6, nodes),
        "num_replicas=32 means 4 slots per GPU, but each of 2 nodes has 3 experts; expected no expert \
         twice on a GPU, which the policy minimax never does; try num_replicas=24 or policy=deepseek"
    );
    assert!(minimax(6, sizes_of([6, 24, 2, 2, 8])).is_ok());
    let many = canonical(&[1; 257], 1);
    assert_eq!(
        error(&many, global(1, 1 << 20, 1), 1),
        "257 layers x 1048576 slots are more than 268435456 slots in all; \
         plan fewer layers at a time"
    );
}

#[test]
fn policies_have_names() {
    for policy in Policy::ALL {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
    assert_eq!(
        "Adaptive".parse::<Policy>().unwrap_err().to_string(),
        format!("unknown policy \"Adaptive\"; expected one of {}", Policy::names().join(", "))
    );
}

#[test]
fn efforts_have_names() {
    for effort in Effort::ALL {
        assert_eq!(effort.to_string().parse(), Ok(effort));
    }
    assert_eq!(Effort::names(), ["fast", "default", "best"]);
    assert_eq!(
        "Best".parse::<Effort>().unwrap_err().to_string(),
        "unknown effort \"Best\"; expected one of fast, default, best"
    );
}
