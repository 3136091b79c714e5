//! Sizes that do not go together are refused, each with its numbers and the nearest that would do.

mod problems;

use eplb_core::{
    Cluster, Error, ErrorKind, Gpu, GpuState, MAX_EXPERTS, MAX_REPLICAS, Part, Place, Topology,
};
use problems::{SplitMix64, sizes_of};

fn of(sizes: [u64; 5]) -> Result<Topology, Error> {
    Topology::new(sizes_of(sizes))
}

#[test]
fn sizes_that_go_together() {
    let topology = of([256, 288, 8, 4, 32]).unwrap();
    assert_eq!((topology.num_experts(), topology.num_replicas()), (256, 288));
    assert_eq!((topology.groups(), topology.nodes(), topology.num_gpus()), (8, 4, 32));
    assert_eq!((topology.slots_per_gpu(), topology.is_global()), (9, false));
    assert!(of([1; 5]).is_ok());
    assert!(of([MAX_EXPERTS, MAX_REPLICAS, MAX_EXPERTS, MAX_EXPERTS, MAX_REPLICAS]).is_ok());
}

#[test]
fn groups_that_do_not_divide_by_the_nodes_fall_back_to_a_global_plan() {
    // Neither experts by groups nor GPUs by nodes are asked to divide then.
    let topology = of([10, 12, 3, 5, 4]).unwrap();
    assert!(topology.is_global());
    assert_eq!((topology.groups(), topology.nodes()), (1, 1));
    assert_eq!((topology.num_groups(), topology.num_nodes()), (3, 5));
}

#[test]
fn each_violation_has_its_message() {
    for (sizes, message) in [
        ([0, 8, 1, 1, 2], "num_experts=0 is too small; expected at least 1"),
        ([8, 0, 1, 1, 2], "num_replicas=0 is too small; expected at least 1"),
        ([8, 8, 0, 1, 2], "num_groups=0 is too small; expected at least 1"),
        ([8, 8, 1, 0, 2], "num_nodes=0 is too small; expected at least 1"),
        ([8, 8, 1, 1, 0], "num_gpus=0 is too small; expected at least 1"),
        ([16385, 1 << 20, 1, 1, 1], "num_experts=16385 is too large; expected at most 16384"),
        ([8, 1_048_577, 1, 1, 1], "num_replicas=1048577 is too large; expected at most 1048576"),
        ([8, 8, 1_048_577, 1, 1], "num_groups=1048577 is too large; expected at most 1048576"),
        ([8, 8, 1, 1_048_577, 1], "num_nodes=1048577 is too large; expected at most 1048576"),
        ([8, 8, 1, 1, 1_048_577], "num_gpus=1048577 is too large; expected at most 1048576"),
        (
            [256, 32, 1, 1, 32],
            "num_replicas=32 is less than the 256 experts; expected at least one slot for each expert; \
             all slots count, not only redundant ones: did you mean num_replicas=288?",
        ),
        (
            [10, 13, 1, 1, 4],
            "num_replicas=13 is not divisible by num_gpus=4; try num_replicas=12 or num_replicas=16",
        ),
        ([10, 11, 1, 1, 4], "num_replicas=11 is not divisible by num_gpus=4; try num_replicas=12"),
        (
            [10, 11, 1, 1, 400],
            "num_replicas=11 is not divisible by num_gpus=400; try num_replicas=400",
        ),
        (
            [10, 1_048_575, 1, 1, 1_000_000],
            "num_replicas=1048575 is not divisible by num_gpus=1000000; \
             try num_replicas=1000000",
        ),
        (
            [16384, 16385, 1, 1, 16383],
            "num_replicas=16385 is not divisible by num_gpus=16383; try num_replicas=32766",
        ),
        (
            [16384, 1_040_000, 1, 1, 1_040_001],
            "num_replicas=1040000 is not divisible by num_gpus=1040001; \
             try num_replicas=1040001",
        ),
        (
            [12, 16, 8, 4, 4],
            "num_experts=12 is not divisible by num_groups=8; try num_groups=4 or num_groups=12",
        ),
        (
            [7, 16, 8, 4, 4],
            "num_experts=7 is not divisible by num_groups=8; \
             with num_nodes=4 no number of groups fits 7 experts; try num_groups=1 and num_nodes=1",
        ),
        ([12, 18, 4, 4, 6], "num_gpus=6 is not divisible by num_nodes=4; try num_nodes=2"),
        (
            [7, 13, 8, 4, 4],
            "num_replicas=13 is not divisible by num_gpus=4; try num_replicas=12 and num_groups=1 and \
             num_nodes=1, or num_replicas=16 and num_groups=1 and num_nodes=1",
        ),
        (
            [12, 4, 8, 4, 2],
            "num_replicas=4 is less than the 12 experts; expected at least one slot for each expert; \
             all slots count, not only redundant ones: did you mean num_replicas=16 and num_groups=4 and \
             num_nodes=2?",
        ),
        ([12, 12, 4, 4, 2], "num_gpus=2 is not divisible by num_nodes=4; try num_nodes=2"),
    ] {
        let error = of(sizes).unwrap_err();
        assert_eq!(error.to_string(), message, "{sizes:?}");
        assert_eq!(error.kind(), ErrorKind::Topology);
        assert_eq!(error.place(), Place::default());
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
fn every_small_instance_is_judged_rightly() {
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

/// The sizes that a hint names: of choices, each with all that it changes.
fn hinted(error: &Error, sizes: [u64; 5]) -> Vec<[u64; 5]> {
    let names = ["num_experts", "num_replicas", "num_groups", "num_nodes", "num_gpus"];
    let mut choices = vec![sizes];
    for part in error.advice() {
        match part {
            Part::Parameter { name, value: Some(value) } => {
                let at = names.iter().position(|of| of == name).unwrap();
                choices.last_mut().unwrap()[at] = value.parse().unwrap();
            }
            Part::Text(text) if text.ends_with(" or ") => choices.push(sizes),
            _ => {}
        }
    }
    choices
}

/// What a hint names is accepted.
#[test]
fn hints_work_when_followed() {
    let mut stream = SplitMix64(2);
    let (mut followed, mut joined) = (0, 0);
    for n in 0..60_000 {
        let most = if n % 2 == 0 { 12 } else { 40 };
        let sizes = [0; 5].map(|_| stream.up_to(most));
        let Err(error) = of(sizes) else { continue };
        assert!(!error.advice().is_empty(), "{error}");
        joined += u64::from(error.advice().contains(&Part::from(" and ")));
        for better in hinted(&error, sizes) {
            followed += 1;
            assert!(of(better).is_ok(), "{sizes:?}: {error}");
        }
    }
    assert!(followed > 30_000 && joined > 1000, "{followed} hints, {joined} of several sizes");
}

#[test]
fn a_cluster_of_equal_gpus_is_a_topology_like_its_sizes() {
    let cluster = Cluster::uniform(4, 3, 2).unwrap();
    let made = Topology::of_cluster(8, 2, cluster.clone()).unwrap();
    assert_eq!(made, of([8, 12, 2, 2, 4]).unwrap());
    let global = Topology::of_cluster(8, 3, cluster.clone()).unwrap();
    assert_eq!(global, of([8, 12, 3, 2, 4]).unwrap());
    let error = Topology::of_cluster(9, 2, cluster).unwrap_err();
    assert_eq!(error.to_string(), of([9, 12, 2, 2, 4]).unwrap_err().to_string());
}

fn gpu(node: u32, slots: u32, state: GpuState) -> Gpu {
    Gpu { node, slots, speed: 1, state }
}

#[test]
fn gpus_that_are_not_in_use_are_left_out() {
    use GpuState::{Dead, Draining, Live};
    let gpus = vec![gpu(0, 4, Live), gpu(1, 5, Dead), gpu(2, 3, Live), gpu(2, 3, Draining)];
    let topology = Topology::of_cluster(6, 2, Cluster::new(gpus.clone()).unwrap()).unwrap();
    assert_eq!((topology.num_replicas(), topology.slots_per_gpu()), (15, 4));
    assert_eq!((topology.num_nodes(), topology.nodes(), topology.groups()), (3, 2, 2));
    // Three groups are not divisible by the two nodes that are in use.
    let global = Topology::of_cluster(6, 3, Cluster::new(gpus.clone()).unwrap()).unwrap();
    assert_eq!((global.nodes(), global.groups(), global.is_global()), (1, 1, true));
    let refused = |experts, groups| {
        let cluster = Cluster::new(gpus.clone()).unwrap();
        Topology::of_cluster(experts, groups, cluster).unwrap_err().to_string()
    };
    assert_eq!(
        refused(9, 1),
        "the GPUs in use have 7 slots for 9 experts; expected at least one slot for each expert: 2 more; \
         5 slots on each of 2 GPUs in use would do"
    );
    assert_eq!(refused(7, 2), "num_experts=7 is not divisible by num_groups=2");
    let small = vec![gpu(0, 4, Live), gpu(2, 2, Live)];
    let error = Topology::of_cluster(6, 2, Cluster::new(small).unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("the GPUs in use of node 2 have 2 slots for 3 experts;"), "{error}");
    assert!(
        error.ends_with("1 more; without groups experts can go to other nodes: try num_groups=1")
    );
    assert!(refused(0, 1).starts_with("num_experts=0 is too small"));
    assert!(refused(6, 0).starts_with("num_groups=0 is too small"));
    assert!(refused(1 << 20, 1).starts_with("num_experts=1048576 is too large"));
}
