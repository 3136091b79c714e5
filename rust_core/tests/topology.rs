//! Sizes that do not go together are refused, each with its numbers and the nearest that would do.

mod problems;

use eplb_core::{Error, ErrorKind, MAX_EXPERTS, MAX_REPLICAS, Topology};
use problems::{SplitMix64, world};

fn of(sizes: [u64; 5]) -> Result<Topology, Error> {
    Topology::new(world(sizes))
}

#[test]
fn sizes_that_go_together() {
    let topology = of([256, 288, 8, 4, 32]).unwrap();
    assert_eq!((topology.num_experts(), topology.num_replicas()), (256, 288));
    assert_eq!((topology.groups(), topology.nodes(), topology.num_gpus()), (8, 4, 32));
    assert_eq!((topology.slots_per_gpu(), topology.fallback()), (9, false));
    assert!(of([1; 5]).is_ok());
    assert!(of([MAX_EXPERTS, MAX_REPLICAS, MAX_EXPERTS, MAX_EXPERTS, MAX_REPLICAS]).is_ok());
}

#[test]
fn groups_that_do_not_divide_by_the_nodes_fall_back_to_a_global_plan() {
    // Neither experts by groups nor GPUs by nodes are asked to divide then.
    let topology = of([10, 12, 3, 5, 4]).unwrap();
    assert!(topology.fallback());
    assert_eq!((topology.groups(), topology.nodes()), (1, 1));
    assert_eq!((topology.num_groups(), topology.num_nodes()), (3, 5));
}

#[test]
fn each_violation_has_its_message() {
    for (sizes, message) in [
        ([0, 8, 1, 1, 2], "num_experts is 0; it must be at least 1"),
        ([8, 0, 1, 1, 2], "num_replicas is 0; it must be at least 1"),
        ([8, 8, 0, 1, 2], "num_groups is 0; it must be at least 1"),
        ([8, 8, 1, 0, 2], "num_nodes is 0; it must be at least 1"),
        ([8, 8, 1, 1, 0], "num_gpus is 0; it must be at least 1"),
        ([16385, 1 << 20, 1, 1, 1], "num_experts=16385 is too large; at most 16384 is supported"),
        (
            [8, 1_048_577, 1, 1, 1],
            "num_replicas=1048577 is too large; at most 1048576 is supported",
        ),
        ([8, 8, 1_048_577, 1, 1], "num_groups=1048577 is too large; at most 1048576 is supported"),
        ([8, 8, 1, 1_048_577, 1], "num_nodes=1048577 is too large; at most 1048576 is supported"),
        ([8, 8, 1, 1, 1_048_577], "num_gpus=1048577 is too large; at most 1048576 is supported"),
        (
            [256, 32, 1, 1, 32],
            "num_replicas=32 is less than the 256 experts, and every expert needs a slot; \
             num_replicas counts all slots, not the spares: did you mean 256 + 32 = 288?",
        ),
        (
            [10, 13, 1, 1, 4],
            "num_replicas=13 does not divide evenly by num_gpus=4; num_replicas=12 or 16 would",
        ),
        (
            [10, 11, 1, 1, 4],
            "num_replicas=11 does not divide evenly by num_gpus=4; num_replicas=12 would",
        ),
        (
            [10, 11, 1, 1, 400],
            "num_replicas=11 does not divide evenly by num_gpus=400; num_replicas=400 would",
        ),
        (
            [10, 1_048_575, 1, 1, 1_000_000],
            "num_replicas=1048575 does not divide evenly by num_gpus=1000000; \
             num_replicas=1000000 would",
        ),
        (
            [16384, 16385, 1, 1, 16383],
            "num_replicas=16385 does not divide evenly by num_gpus=16383; num_replicas=32766 would",
        ),
        (
            [16384, 1_040_000, 1, 1, 1_040_001],
            "num_replicas=1040000 does not divide evenly by num_gpus=1040001; \
             num_replicas=1040001 would",
        ),
        (
            [12, 16, 8, 4, 4],
            "num_experts=12 does not divide evenly by num_groups=8; num_groups=4 or 12 would",
        ),
        (
            [7, 16, 8, 4, 4],
            "num_experts=7 does not divide evenly by num_groups=8; \
             with num_nodes=4 no num_groups does; num_nodes=1 allows more",
        ),
        ([12, 18, 4, 4, 6], "num_gpus=6 does not divide evenly by num_nodes=4; num_nodes=2 would"),
        ([12, 12, 4, 4, 2], "num_gpus=2 does not divide evenly by num_nodes=4; num_nodes=2 would"),
    ] {
        let error = of(sizes).unwrap_err();
        assert_eq!(error.to_string(), message, "{sizes:?}");
        assert_eq!(error.kind(), ErrorKind::Topology);
        assert_eq!(error.place(), (None, None, None));
    }
}

/// What the design asks for, in its order of words.
fn goes_together(sizes: [u64; 5]) -> bool {
    let [experts, replicas, groups, nodes, gpus] = sizes;
    let in_range = sizes.iter().all(|&size| (1..=1 << 20).contains(&size)) && experts <= 1 << 14;
    in_range
        && replicas >= experts
        && replicas % gpus == 0
        && (groups % nodes != 0 || experts % groups == 0 && gpus % nodes == 0)
}

#[test]
fn every_small_world_is_judged_rightly() {
    for n in 0..8_u64.pow(5) {
        let sizes = [n % 8, n / 8 % 8, n / 64 % 8, n / 512 % 8, n / 4096];
        assert_eq!(of(sizes).is_ok(), goes_together(sizes), "{sizes:?}");
    }
}

#[test]
fn sizes_of_any_magnitude_are_judged_rightly() {
    let mut stream = SplitMix64(1);
    let edges = [0, 1, 2, MAX_EXPERTS, MAX_EXPERTS + 1, MAX_REPLICAS, MAX_REPLICAS + 1];
    for _ in 0..20_000 {
        let sizes = [0; 5].map(|_| match stream.below(4) {
            0 => edges[stream.below(7) as usize],
            1 => u64::MAX - stream.below(3),
            2 => 1 << stream.below(64),
            _ => stream.next_u64() >> stream.below(64),
        });
        assert_eq!(of(sizes).is_ok(), goes_together(sizes), "{sizes:?}");
    }
}

#[test]
fn the_advice_mends_what_it_is_given_for() {
    let mut stream = SplitMix64(2);
    let mut mended = 0;
    for _ in 0..4000 {
        let sizes = [0; 5].map(|_| stream.up_to(40));
        let Err(Error::NotDivisible { whole_name, part_name, advice, .. }) = of(sizes) else {
            continue;
        };
        let [experts, _, _, nodes, _] = sizes;
        let Some(known) = advice.strip_suffix(" would") else {
            let expected = format!("with num_nodes={nodes} no num_groups does");
            assert!(advice.starts_with(&expected), "{sizes:?}: {advice}");
            assert!((1..=experts).all(|d| experts % d != 0 || d % nodes != 0), "{sizes:?}");
            continue;
        };
        let (name, values) = known.split_once('=').unwrap();
        for value in values.split(" or ") {
            let names = ["num_experts", "num_replicas", "num_groups", "num_nodes", "num_gpus"];
            let at = names.iter().position(|&of| of == name).unwrap();
            let mut better = sizes;
            better[at] = value.parse().unwrap();
            if let Err(Error::NotDivisible { whole_name: whole, part_name: part, .. }) = of(better)
            {
                assert_ne!((whole, part), (whole_name, part_name), "{sizes:?}: {advice}");
            }
            // No advice leads into the global fallback.
            assert!(part_name == "num_gpus" || better[2] % better[3] == 0, "{sizes:?}: {advice}");
            mended += 1;
        }
    }
    assert!(mended > 1000);
}
