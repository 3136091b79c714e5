//! Seeded problems: sizes of every kind that go together, and loads of every kind that matters.

#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) use eplb_core::sampling::SplitMix64;
use eplb_core::{
    CanonicalLoads, Certificate, Error, Options, Placement, Policy, Problem, Sizes, Topology,
};

/// The policies that the naive reference knows.
pub(crate) const PUBLISHED: [Policy; 2] = [Policy::DeepSeek, Policy::Adaptive];

/// The policies that have a plan for these sizes: `minimax` has none where some GPU would have to
/// hold an expert twice.
pub(crate) fn policies(sizes: &Sizes) -> Vec<Policy> {
    eplb_core::policies_for(&topology(sizes))
}

/// The sizes L, P, groups, nodes, G.
pub(crate) fn sizes_of(sizes: [u64; 5]) -> Sizes {
    let [num_experts, num_replicas, num_groups, num_nodes, num_gpus] = sizes;
    Sizes { num_experts, num_replicas, num_groups, num_nodes, num_gpus }
}

/// One group on one node.
pub(crate) fn global(num_experts: u64, num_replicas: u64, num_gpus: u64) -> Sizes {
    sizes_of([num_experts, num_replicas, 1, 1, num_gpus])
}

/// How many kinds of rows there are.
pub(crate) const ROW_KINDS: u64 = 15;

/// A row of loads of a kind: `0..ROW_KINDS`.
pub(crate) fn row(stream: &mut SplitMix64, kind: u64, experts: usize) -> Vec<u64> {
    let hot = stream.below(experts as u64) as usize;
    let level = stream.next_u64() >> stream.below(64);
    let load = |expert: usize, stream: &mut SplitMix64| match kind {
        0 => 0,
        1 => level,
        2 => u64::from(expert == hot) * level.max(1),
        3 => stream.below(4),
        4 => stream.below(2) * stream.below(2),
        5 => 1 << stream.below(64),
        6 => (1 << 24) - 2 + stream.below(4),
        7 => (1 << 40) - 2 + stream.below(4),
        8 => u64::MAX - stream.below(3),
        9 => stream.below(1000),
        10 => stream.next_u64() >> stream.below(64),
        11 => 1 + expert as u64 / 4,
        12 => 720_720 / stream.up_to(16),
        13 => stream.below(4) + u64::from(expert == hot) * 0xffff_ffff,
        _ => stream.next_u64(),
    };
    (0..experts).map(|expert| load(expert, stream)).collect()
}

/// Sizes that go together, of one of some kinds, up to a few hundred slots.
pub(crate) fn sizes(stream: &mut SplitMix64) -> Sizes {
    let kind = stream.below(8);
    let num_nodes = if kind < 4 { stream.up_to(4) } else { 1 };
    let groups_per_node = if kind < 5 { stream.up_to(4) } else { 1 };
    let gpus_per_node = match kind {
        0 | 7 => 1,
        6 => 16 + stream.below(60),
        _ => stream.up_to(9),
    };
    let group_size = stream.up_to(9);
    let num_groups = num_nodes * groups_per_node;
    let num_experts = if kind == 7 { 1 } else { num_groups * group_size };
    let num_gpus = num_nodes * gpus_per_node;
    let fewest = num_experts.div_ceil(num_gpus);
    let slots_per_gpu = match stream.below(4) {
        0 => fewest,
        1 => fewest + stream.below(20),
        _ => fewest + stream.below(3),
    };
    // One group more than the nodes divide: the global fallback, where GPUs need not divide either.
    let fallback = kind == 5;
    Sizes {
        num_experts,
        num_replicas: slots_per_gpu * num_gpus,
        num_groups: if kind == 7 { 1 } else { num_groups + u64::from(fallback) },
        num_nodes: if fallback { 3 + stream.below(5) } else { num_nodes },
        num_gpus,
    }
}

/// The kinds of the layers follow one another, from `first_kind` on.
pub(crate) fn loads(
    stream: &mut SplitMix64,
    first_kind: u64,
    layers: usize,
    experts: usize,
) -> Vec<u64> {
    (first_kind..).take(layers).flat_map(|kind| row(stream, kind % ROW_KINDS, experts)).collect()
}

/// Sizes that have to be right.
pub(crate) fn topology(sizes: &Sizes) -> Topology {
    Topology::new(*sizes).unwrap_or_else(|error| panic!("{sizes:?}: {error}"))
}

/// Loads that have to be right.
pub(crate) fn canonical(loads: &[u64], experts: usize) -> CanonicalLoads {
    CanonicalLoads::new(loads, loads.len() / experts, experts).unwrap()
}

/// The crate's plan on one thread.
pub(crate) fn plan(loads: &CanonicalLoads, sizes: &Sizes, policy: Policy) -> Placement {
    let problem = Problem::new(loads, &topology(sizes), policy).unwrap();
    eplb_core::plan(&problem, 1).unwrap().placement().clone()
}

/// The crate's placement and its certificate, on so many threads.
pub(crate) fn certified(
    loads: &CanonicalLoads,
    topology: &Topology,
    options: impl Into<Options>,
    threads: usize,
) -> Result<(Placement, Certificate), Error> {
    let plan = eplb_core::plan(&Problem::new(loads, topology, options)?, threads)?;
    Ok((plan.placement().clone(), plan.certificate().clone()))
}
