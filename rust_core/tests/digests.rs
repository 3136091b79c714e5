//! Answers that no build, machine or release may change without saying so.

mod problems;

use std::sync::Arc;

use eplb_core::{
    CanonicalLoads, Effort, HistoryOptions, LoadHistory, MigrationOptions, MoveLimit, Options,
    Placement, Policy, Previous, Problem, replan,
};
use problems::{PUBLISHED, SplitMix64, canonical, certified, plan, sizes_of, topology};

/// Sizes for the battery of digests: L, P, groups, nodes, G.
const BATTERY: [[u64; 5]; 12] = [
    [8, 16, 1, 1, 8],
    [12, 16, 4, 2, 8],
    [16, 16, 1, 1, 4],
    [64, 72, 8, 1, 8],
    [64, 96, 8, 4, 32],
    [60, 64, 7, 2, 16],
    [128, 144, 1, 1, 16],
    [256, 256, 8, 8, 64],
    [256, 288, 1, 1, 32],
    [256, 320, 8, 4, 64],
    [384, 576, 1, 1, 144],
    [7, 1600, 1, 1, 40],
];

/// `Placement::digest` of each, by both published policies. A change of any of these is a change of answers.
const DIGESTS: [[&str; 2]; 12] = [
    ["61b06862fe714377", "e7b7204381f7bd31"],
    ["d2b137613d9b1afd", "7ccf1ee26bd7dec5"],
    ["792f68c7aea1b9b3", "876f074c657fe3ed"],
    ["6ac7623f878d6204", "3fc13cdc93fe31aa"],
    ["2f6b67cb769dc5a3", "f60ee25e5abef145"],
    ["318aa31a8d0e85c5", "ac74bcc977eb8fde"],
    ["b3608c805ff53860", "96d3300f9372d698"],
    ["e0c9d9915fa47fd6", "264d0eac41358b0b"],
    ["631c7f4f8ed4dfba", "d5ed3bdde0cdef89"],
    ["7eda38f3f0e47634", "247530e3d5da30c3"],
    ["09095ebe2b1d6f2e", "0eb489e07a2fa3f3"],
    ["084c76083173a7d0", "15de9cbcf3616759"],
];

/// By `minimax`, effort fast and default, for the sizes that it has plans for: all but the last.
const MINIMAX: [[&str; 2]; 11] = [
    ["3461f08bbf64b528", "28a96e0c74dabfc6"],
    ["c82a7ff429facb4a", "38c958860c96deda"],
    ["03b32053175be2b7", "c91f2d6456241ea5"],
    ["0099e2810bd540c9", "1d31ff5d96e051c4"],
    ["368d954c3693fc71", "6f547a9735f98f27"],
    ["cd086e3291bdac6e", "b36f66fd680ad28b"],
    ["ab5181f68718e601", "bede65d0aa4906dd"],
    ["a76b6b5407fec5cf", "41790b56e5a08fa3"],
    ["e68fc7bd4ccfafe2", "48116c7e75ce7284"],
    ["b0291bc69e20ed09", "d02e3a311e51a57d"],
    ["aa733140cabc1561", "71a8bce54f0d093d"],
];

/// Over time, for the same sizes: of a history of three windows, its plan, and the update after a
/// fourth window.
const OVER_TIME: [[&str; 3]; 11] = [
    ["f804616a6e55d942", "fef070d03f9dca2a", "93b8843ae87b9d56"],
    ["59dc5560f5b48cbc", "7c9ba0b45a296406", "6a94dca99da9cfef"],
    ["706f35389729b2af", "c3218125cb808626", "2672060d68bd898f"],
    ["df2773e5e0a22b4f", "5b64dd30a25d4c23", "a50ebf1dbfbcdd85"],
    ["df2773e5e0a22b4f", "42dcc127b8d3521c", "7150dc649f008289"],
    ["ca447e7189716bcd", "4f4e9cd3446d4283", "858c3eb1c5417c49"],
    ["4b2227b3a71f4836", "db39c7666e2a6922", "5ef753139a6bc894"],
    ["16770ce5ff53364a", "7514088d5df21866", "b54d3630936c2b18"],
    ["16770ce5ff53364a", "9a6be806b20df9d3", "51226df1a8be4f3c"],
    ["16770ce5ff53364a", "c7cba9dbfe80a396", "dd9f4e74b23a6497"],
    ["5463b04ca4f82ba8", "5f0703cd8d4ae42f", "134c8d68d3a0952a"],
];

/// Of twenty windows, whose traffic shifts at the ninth, and at the fifteenth to what is still known:
/// which layers shift, the copies of each update, and the history and the update after some.
const SHIFTS: [(usize, [bool; 3]); 1] = [(8, [true; 3])];
const COPIES: [[u64; 3]; 20] = [
    [24, 24, 24],
    [2, 0, 1],
    [2, 2, 2],
    [0, 2, 0],
    [0, 0, 2],
    [2, 0, 1],
    [0, 0, 2],
    [0, 0, 2],
    [7, 7, 8],
    [2, 2, 1],
    [2, 1, 2],
    [2, 0, 0],
    [2, 2, 0],
    [2, 2, 0],
    [2, 2, 2],
    [2, 0, 1],
    [2, 2, 2],
    [1, 1, 2],
    [2, 2, 2],
    [0, 2, 0],
];
const LONG_HISTORIES: [[&str; 2]; 4] = [
    ["79d76b91282e6b49", "230dd07ca0509546"],
    ["e106ee3a2520fb7d", "9fab1ea8b875aea3"],
    ["824759f1ebcdb37c", "6b24d2d37f7c601f"],
    ["31f550bb9cf63fd3", "14cd1eefa0900859"],
];

/// Twelve layers, from loads of one bit, full of ties, to loads of 64, skewed more and more.
fn battery_loads(i: usize) -> CanonicalLoads {
    window(i, i as u64)
}

/// The same of any seed.
fn window(i: usize, seed: u64) -> CanonicalLoads {
    let mut stream = SplitMix64(seed);
    let load = |bits: u64| stream.next_u64() >> (64 - bits) >> stream.below(1 + bits / 8);
    let experts = BATTERY[i][0];
    let bits = (1..=12).flat_map(|layer| (0..experts).map(move |_| layer * 64 / 12));
    let loads: Vec<u64> = bits.map(load).collect();
    canonical(&loads, experts as usize)
}

#[test]
fn answers_of_minimax_are_those_of_every_build() {
    for (i, (sizes, digests)) in BATTERY.into_iter().zip(MINIMAX).enumerate() {
        let found = [Effort::Fast, Effort::Default].map(|effort| {
            let options = Options::minimax(effort);
            let plan = certified(&battery_loads(i), &topology(&sizes_of(sizes)), options, 2);
            plan.unwrap().0.digest()
        });
        assert_eq!(found, digests, "{sizes:?}");
    }
}

#[test]
fn answers_over_time_are_those_of_every_build() {
    for (i, (sizes, digests)) in BATTERY.into_iter().zip(OVER_TIME).enumerate() {
        let sizes = sizes_of(sizes);
        let topology = topology(&sizes);
        let options = HistoryOptions::default();
        let mut history = LoadHistory::new(12, topology.num_experts(), options).unwrap();
        for seed in 0..3 {
            history.observe(&window(i, 100 + seed), 2).unwrap();
        }
        let problem =
            Problem::of_history(&Arc::new(history.clone()), &topology, Policy::MultiWindow);
        let planned = eplb_core::plan(&problem.unwrap(), 2).unwrap().into_placement();
        let digest = history.digest();
        history.observe(&window(i, 103), 1).unwrap();
        let previous = Previous { phy2log: planned.phy2log(), cluster: topology.cluster() };
        let options = MigrationOptions::default();
        let update = replan(&history, &topology, Some(previous), options, 2).unwrap();
        let found = [digest, planned.digest(), update.placement.digest()];
        assert_eq!(found, digests, "{sizes:?}");
    }
}

/// Eight windows of one kind, six of another, and six of the first again, in three layers of 16
/// experts: rows are merged, and the traffic shifts to what is new, and back to what is known.
fn changing_windows() -> Vec<CanonicalLoads> {
    let mut stream = SplitMix64(7);
    let kinds: [Vec<u64>; 2] =
        std::array::from_fn(|_| (0..48).map(|_| 1 << stream.below(11)).collect());
    let mut windows = Vec::new();
    for (kind, count) in [(0, 8), (1, 6), (0, 6)] {
        for _ in 0..count {
            let load = |&mean: &u64| 16 * mean + stream.below(2 + 4 * mean);
            let loads: Vec<u64> = kinds[kind].iter().map(load).collect();
            windows.push(canonical(&loads, 16));
        }
    }
    windows
}

#[test]
fn over_time_long_histories_and_their_updates_are_those_of_every_build() {
    let topology = topology(&sizes_of([16, 24, 1, 1, 8]));
    let mut history = LoadHistory::new(3, 16, HistoryOptions { rows: 5, decay: 60_000 }).unwrap();
    let mut slots: Vec<i64> = Vec::new();
    let (mut shifts, mut copies, mut digests) = (Vec::new(), Vec::new(), Vec::new());
    let mut same_unit = 0;
    for (index, loads) in changing_windows().iter().enumerate() {
        history.observe(loads, 1).unwrap();
        assert_eq!(history.rows(), [(index + 1).min(5); 3]);
        if history.shifted() != [false; 3] {
            shifts.push((index, history.shifted()));
        }
        let previous = Previous { phy2log: &slots, cluster: topology.cluster() };
        let options = MigrationOptions {
            max_moves: MoveLimit::Number(2),
            max_moves_after_shift: MoveLimit::Number(9),
            max_copies: (index % 4 == 3).then_some(3),
            ..MigrationOptions::default()
        };
        let update =
            replan(&history, &topology, (index > 0).then_some(previous), options, 1).unwrap();
        slots = update.placement.phy2log().to_vec();
        let moved = [0, 1, 2].map(|layer| update.layers[layer].copies);
        // What an update reaches is where the next one begins, if both count in the same unit.
        let previous = Previous { phy2log: &slots, cluster: topology.cluster() };
        let nothing = MigrationOptions { max_copies: Some(0), ..options };
        let kept = replan(&history, &topology, Some(previous), nothing, 1).unwrap();
        for (layer, kept) in update.layers.iter().zip(&kept.layers) {
            let [before, after] = layer.objective;
            assert!(after <= before && (index == 0 || (after < before) == (layer.copies > 0)));
            assert!(kept.kept && kept.objective[0] == kept.objective[1]);
            // Where loads fall by half, the next unit is a finer one.
            assert!(kept.objective[0] >= after);
            same_unit += usize::from(after < before && kept.objective[0] == after);
        }
        assert_eq!(
            update.layers.iter().map(|layer| layer.shifted).collect::<Vec<_>>(),
            history.shifted()
        );
        copies.push(moved);
        if index % 6 == 1 {
            digests.push([history.digest(), update.placement.digest()]);
        }
    }
    assert_eq!(shifts, SHIFTS.map(|(index, layers)| (index, layers.to_vec())));
    assert!(same_unit > 25, "{same_unit}");
    assert_eq!(copies, COPIES);
    assert_eq!(digests, LONG_HISTORIES);
}

/// Sizes with many ways to search: few and many slots per GPU, no redundant slots and many, groups.
const SEARCHED: [[u64; 5]; 14] = [
    [12, 16, 1, 1, 4],
    [12, 16, 4, 2, 8],
    [15, 15, 1, 1, 3],
    [16, 24, 1, 1, 8],
    [20, 30, 1, 1, 3],
    [24, 36, 6, 2, 12],
    [32, 36, 8, 2, 4],
    [48, 64, 1, 1, 32],
    [48, 60, 1, 1, 12],
    [60, 70, 1, 1, 10],
    [64, 72, 1, 1, 8],
    [64, 96, 8, 4, 32],
    [28, 32, 1, 1, 4],
    [240, 256, 1, 1, 32],
];

/// The plans of all layers for these sizes, effort by effort, as one number.
const SEARCHES: [u64; 3] =
    [16_054_114_632_506_394_498, 9_317_496_553_718_418_957, 7_194_402_638_054_185_297];

/// Layers for each of the sizes: the best effort takes long.
const LAYERS: [u64; 3] = [24, 24, 4];

/// Loads of four kinds in turn, from nearly even ones to one that rules all.
fn searched_loads(stream: &mut SplitMix64, kind: u64, experts: usize) -> CanonicalLoads {
    let uniform = |stream: &mut SplitMix64| 1 + stream.below(1 << 10);
    let load = |stream: &mut SplitMix64| match kind % 4 {
        0 => 1000 + stream.below(1000),
        1 => uniform(stream) * uniform(stream),
        2 => (1 << 20) / stream.up_to(experts as u64),
        _ => uniform(stream) * uniform(stream) * uniform(stream) * uniform(stream),
    };
    let loads: Vec<u64> = (0..experts).map(|_| load(stream)).collect();
    canonical(&loads, experts)
}

/// One number of this and of all plans before.
fn joined(before: u64, loads: &CanonicalLoads, sizes: [u64; 5], options: Options) -> u64 {
    let plan = certified(loads, &topology(&sizes_of(sizes)), options, 1);
    before.rotate_left(7) ^ u64::from_str_radix(&plan.unwrap().0.digest(), 16).unwrap()
}

#[test]
fn turns_of_the_search_are_those_of_every_build() {
    for ((effort, layers), searches) in Effort::ALL.into_iter().zip(LAYERS).zip(SEARCHES) {
        let mut stream = SplitMix64(31);
        let mut all = 0_u64;
        for kind in 0..layers {
            for sizes in SEARCHED {
                let loads = searched_loads(&mut stream, kind, sizes[0] as usize);
                all = joined(all, &loads, sizes, Options::minimax(effort));
            }
        }
        assert_eq!(all, searches, "{effort}");
    }
}

/// Searches that end where their work is done, and searches that end early: by `effort`, the plans
/// for a target that nothing reaches, and for one that is soon reached.
const OTHER_TARGETS: [[u64; 2]; 3] = [
    [6_636_066_049_856_934_175, 17_719_687_202_479_857_515],
    [1_763_198_207_066_813_990, 8_937_282_586_343_634_525],
    [15_635_850_013_650_944_285, 12_336_027_514_651_940_990],
];

#[test]
fn answers_for_other_targets_are_those_of_every_build() {
    for ((effort, layers), targets) in Effort::ALL.into_iter().zip([16, 16, 2]).zip(OTHER_TARGETS) {
        let mut stream = SplitMix64(53);
        let mut all = [0_u64; 2];
        for kind in 0..layers {
            for sizes in [
                [40, 48, 1, 1, 4],
                [60, 70, 1, 1, 10],
                [96, 108, 1, 1, 12],
                [40, 72, 1, 1, 36],
                [64, 96, 8, 4, 32],
                [150, 198, 1, 1, 66],
                [512, 576, 1, 1, 64],
            ] {
                let loads = searched_loads(&mut stream, kind, sizes[0] as usize);
                for (all, gap) in all.iter_mut().zip([0.0, 0.02]) {
                    let target_gap = Some(gap);
                    let options = Options { target_gap, ..Options::minimax(effort) };
                    *all = joined(*all, &loads, sizes, options);
                }
            }
        }
        assert_eq!(all, targets, "{effort}");
    }
}

/// More GPUs than a byte counts, and loads whose keys do not fit 64 bits.
#[test]
fn answers_of_minimax_on_many_gpus_are_those_of_every_build() {
    let mut all = [0_u64; 2];
    let mut stream = SplitMix64(37);
    for sizes in
        [[70, 70, 1, 1, 35], [514, 771, 1, 1, 257], [600, 600, 1, 1, 300], [1200, 1800, 1, 1, 600]]
    {
        let hot = canonical(
            &(0..sizes[0]).map(|i| if i == 3 { 1 << 40 } else { 1 + i % 5 }).collect::<Vec<_>>(),
            sizes[0] as usize,
        );
        for loads in [
            hot,
            searched_loads(&mut stream, 1, sizes[0] as usize),
            searched_loads(&mut stream, 3, sizes[0] as usize),
        ] {
            for (all, effort) in all.iter_mut().zip(Effort::ALL) {
                *all = joined(*all, &loads, sizes, Options::minimax(effort));
            }
        }
    }
    assert_eq!(all, [10_154_840_050_875_618_729, 12_183_034_614_920_239_951], "fast, default");
}

#[test]
fn answers_are_those_of_every_build() {
    for (i, (sizes, digests)) in BATTERY.into_iter().zip(DIGESTS).enumerate() {
        let loads = battery_loads(i);
        let found = PUBLISHED.map(|policy| plan(&loads, &sizes_of(sizes), policy).digest());
        assert_eq!(found, digests, "{sizes:?}");
    }
}

#[test]
fn control_two_slots_exchanged_are_another_digest() {
    let sizes = sizes_of(BATTERY[0]);
    let planned = plan(&battery_loads(0), &sizes, Policy::DeepSeek);
    let mut slots = planned.phy2log().to_vec();
    let other = slots.iter().position(|&expert| expert != slots[0]).unwrap();
    slots.swap(0, other);
    let exchanged = Placement::from_phy2log(&slots, topology(&sizes)).unwrap();
    assert_eq!(planned.digest(), DIGESTS[0][0]);
    assert_ne!(exchanged.digest(), DIGESTS[0][0]);
}

#[test]
fn the_example_of_deepseek() {
    let loads = [
        90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86, //
        20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27,
    ];
    let sizes = sizes_of([12, 16, 4, 2, 8]);
    let plan = plan(&canonical(&loads, 12), &sizes, Policy::DeepSeek);
    let expected = [
        5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1, //
        7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1,
    ];
    assert_eq!(plan.phy2log(), expected);
    // SHA-256 over the tag, the five sizes and these slots, computed elsewhere.
    assert_eq!(plan.digest(), "fa2557c1ab64c492");
}
