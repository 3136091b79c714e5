//! Plans for GPUs that are not equal.

use std::sync::Arc;

use eplb_core::{
    CanonicalLoads, Certificate, Cluster, Gpu, GpuState, HistoryOptions, LoadHistory,
    MigrationOptions, Placement, Policy, Previous, Problem, Topology, certify, plan, replan,
    verify, verify_structure,
};

fn gpu(node: u32, slots: u32, speed: u32, state: GpuState) -> Gpu {
    Gpu { node, slots, speed, state }
}

fn live(slots: u32) -> Gpu {
    gpu(0, slots, 1, GpuState::Live)
}

/// Loads with some weight on few experts, `[layers, experts]`.
fn loads(layers: usize, experts: usize, seed: u64) -> CanonicalLoads {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 40
    };
    let values: Vec<u64> = (0..layers * experts).map(|_| 1 + next() % 97 * (next() % 29)).collect();
    CanonicalLoads::new(&values, layers, experts).unwrap()
}

fn planned(topology: &Topology, loads: &CanonicalLoads) -> (Placement, Certificate) {
    let problem =
        Problem::new(loads.clone(), topology.clone(), Policy::MultiWindow.into()).unwrap();
    let plan = plan(&problem, 2).unwrap();
    let certificate = plan.certificate().clone();
    verify(plan.placement(), &certificate, loads).unwrap();
    assert_eq!(certify(plan.placement(), loads).unwrap(), certificate);
    (plan.into_placement(), certificate)
}

#[test]
fn experts_without_spares_on_gpus_that_do_not_divide_them() {
    let cluster = Cluster::new([43, 43, 43, 43, 42, 42].map(live).to_vec()).unwrap();
    let topology = Topology::of_cluster(256, 1, cluster).unwrap();
    let (placement, certificate) = planned(&topology, &loads(3, 256, 1));
    assert!(placement.logcnt().iter().all(|&count| count == 1));
    for layer in &certificate.layers {
        assert!(layer.gap() < 0.01, "{}", layer.gap());
    }
}
