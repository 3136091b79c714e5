//! Plans for GPUs that are not equal.

mod problems;

use eplb_core::{
    Bound, CanonicalLoads, Certificate, Cluster, Gpu, GpuState, HistoryOptions, LayerCertificate,
    LoadHistory, MigrationOptions, MoveLimit, Placement, Policy, Previous, Problem, Topology,
    Transfer, certify, plan, replan, transfers, verify, verify_structure,
};

fn gpu(node: u32, slots: u32, speed: u32, state: GpuState) -> Gpu {
    Gpu { node, slots, speed, state }
}

fn live(slots: u32) -> Gpu {
    gpu(0, slots, 1, GpuState::Live)
}

/// Loads with some weight on few experts, `[layers, experts]`.
fn loads(layers: usize, experts: usize, seed: u64) -> CanonicalLoads {
    let mut stream = problems::SplitMix64(seed);
    let mut next = || stream.below(1 << 24);
    let values: Vec<u64> = (0..layers * experts).map(|_| 1 + next() % 97 * (next() % 29)).collect();
    CanonicalLoads::new(&values, layers, experts).unwrap()
}

fn planned(topology: &Topology, loads: &CanonicalLoads) -> (Placement, Certificate) {
    let problem = Problem::new(loads, topology, Policy::MultiWindow).unwrap();
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

#[test]
fn slow_gpus_carry_less() {
    let mut stream = problems::SplitMix64(1);
    let gpus: Vec<Gpu> =
        (0..32).map(|_| gpu(0, 9, 70 + stream.below(61) as u32, GpuState::Live)).collect();
    let topology = Topology::of_cluster(256, 1, Cluster::new(gpus).unwrap()).unwrap();
    let loads = loads(6, 256, 2);
    let (_, certificate) = planned(&topology, &loads);
    let blind = Topology::of_cluster(256, 1, Cluster::uniform(32, 9, 1).unwrap()).unwrap();
    let (placement, equal) = planned(&blind, &loads);
    let blind = Placement::from_phy2log(placement.phy2log(), topology).unwrap();
    let blind = certify(&blind, &loads).unwrap();
    let mean_gap = |certificate: &Certificate| {
        certificate.layers.iter().map(LayerCertificate::gap).sum::<f64>() / 6.0
    };
    let [aware, blind, equal] = [&certificate, &blind, &equal].map(mean_gap);
    assert!(aware < equal + 0.01 && blind > 0.25, "{aware} {blind} {equal}");
}

/// The least time that any plan of these experts takes: every expert in every slot is tried.
fn least_time(weights: &[u64], gpus: &[Gpu], slots: &mut Vec<usize>) -> u64 {
    let all: usize = gpus.iter().map(|gpu| gpu.slots as usize).sum();
    if slots.len() < all {
        let mut least = u64::MAX;
        for expert in 0..weights.len() {
            slots.push(expert);
            least = least.min(least_time(weights, gpus, slots));
            slots.pop();
        }
        return least;
    }
    let count = |expert| slots.iter().filter(|&&held| held == expert).count() as u64;
    if (0..weights.len()).any(|expert| count(expert) == 0) {
        return u64::MAX;
    }
    let mut slots = slots.iter();
    let time = |gpu: &Gpu| {
        let held = slots.by_ref().take(gpu.slots as usize);
        let load: u64 =
            held.map(|&expert| (weights[expert] * 720_720).div_ceil(count(expert))).sum();
        load.div_ceil(u64::from(gpu.speed))
    };
    gpus.iter().map(time).max().unwrap()
}

#[test]
fn no_plan_is_below_the_bounds() {
    let mut stream = problems::SplitMix64(3);
    let (mut reached, mut kinds) = (0, [0; 3]);
    for _ in 0..400 {
        let experts = 2 + stream.below(3);
        let mut gpus = Vec::new();
        while gpus.iter().map(|gpu: &Gpu| gpu.slots).sum::<u32>() < experts as u32 {
            let slots = 1 + stream.below(experts.min(3)) as u32;
            gpus.push(gpu(0, slots, 1 + stream.below(4) as u32, GpuState::Live));
        }
        let cluster = Cluster::new(gpus).unwrap();
        if cluster.uniform_slots().is_some() || cluster.num_slots() > 7 {
            continue;
        }
        let topology = Topology::of_cluster(experts, 1, cluster).unwrap();
        let weights: Vec<u64> = (0..experts).map(|_| stream.below(40)).collect();
        let loads = CanonicalLoads::new(&weights, 1, experts as usize).unwrap();
        let least = least_time(loads.row(0), topology.cluster().gpus(), &mut Vec::new());
        let (_, certificate) = planned(&topology, &loads);
        let layer = &certificate.layers[0];
        assert!(layer.lower_bound <= least, "{layer:?} {least}");
        assert!(layer.max_load >= least);
        reached += u32::from(layer.lower_bound == least);
        match layer.bound {
            Bound::Mean => kinds[0] += 1,
            Bound::Adams => kinds[1] += 1,
            _ => kinds[2] += 1,
        }
    }
    assert!(reached > 50 && kinds.iter().all(|&seen| seen > 10), "{reached} {kinds:?}");
}

/// Clusters of every kind: plans and updates are valid and proven, and what is not in use is empty.
#[test]
fn any_cluster_is_planned() {
    let mut stream = problems::SplitMix64(5);
    let (mut made, mut refused) = (0, 0);
    for seed in 0..600 {
        let experts = 1 + stream.below(24);
        let mut gpus = Vec::new();
        let mut node = 0;
        for _ in 0..=stream.below(9) {
            node += u32::from(stream.below(4) == 0);
            let state = match stream.below(8) {
                0 => GpuState::Dead,
                1 => GpuState::Draining,
                _ => GpuState::Live,
            };
            let slots = stream.below(experts.min(8) + 1) as u32;
            gpus.push(gpu(node, slots, 1 + stream.below(4) as u32 * 7, state));
        }
        let cluster = Cluster::new(gpus).unwrap();
        let groups = [1, 2, 3][stream.below(3) as usize];
        let Ok(topology) = Topology::of_cluster(experts, groups, cluster.clone()) else {
            refused += 1;
            continue;
        };
        let mut history = LoadHistory::new(2, experts as usize, HistoryOptions::default()).unwrap();
        for window in 0..=seed % 5 {
            history.observe(&loads(2, experts as usize, seed * 100 + window), 1).unwrap();
        }
        let options = MigrationOptions::default();
        let Ok(new) = replan(&history, &topology, None, options, 1) else {
            // A GPU has more slots than there are experts for it.
            assert!(topology.slots_per_gpu() > topology.num_experts() / topology.nodes());
            continue;
        };
        made += 1;
        check(&new.placement, &history);
        // From there to a cluster that is another one.
        let mut gpus = cluster.gpus().to_vec();
        let one = stream.below(gpus.len() as u64) as usize;
        gpus[one].state = [GpuState::Dead, GpuState::Draining, GpuState::Live][seed as usize % 3];
        gpus[one].speed = 1 + stream.below(9) as u32;
        if stream.below(3) == 0 {
            gpus.push(gpu(node, 1 + stream.below(experts.min(4)) as u32, 3, GpuState::Live));
        }
        let Ok(next) = Topology::of_cluster(experts, groups, Cluster::new(gpus).unwrap()) else {
            continue;
        };
        if next.nodes() != topology.nodes() {
            continue;
        }
        let previous = Previous { phy2log: new.placement.phy2log(), cluster: &cluster };
        let Ok(update) = replan(&history, &next, Some(previous), options, 1) else { continue };
        check(&update.placement, &history);
        let list = transfers(previous, update.placement.phy2log(), &next).unwrap();
        let arrived = |transfer: &&Transfer| {
            transfer.source.is_none_or(|from| from.gpu != transfer.destination.gpu)
        };
        let copies: u64 = update.layers.iter().map(|layer| layer.copies).sum();
        assert_eq!(list.iter().filter(arrived).count() as u64, copies);
    }
    assert!(made > 200 && refused > 50, "{made} made, {refused} refused");
}

fn check(placement: &Placement, history: &LoadHistory) {
    verify_structure(placement).unwrap();
    assert!(placement.duplicates().iter().all(|&duplicates| duplicates == 0));
    let topology = placement.topology();
    let cluster = topology.cluster();
    for row in placement.phy2log().chunks_exact(topology.num_replicas()) {
        for gpu in 0..cluster.num_gpus() {
            let full = row[cluster.slots_of(gpu)].iter().all(|&expert| expert >= 0);
            let empty = row[cluster.slots_of(gpu)].iter().all(|&expert| expert == -1);
            assert!(if cluster.is_used(gpu) { full } else { empty }, "GPU {gpu}: {row:?}");
        }
    }
    let loads = history.newest();
    let certificate = certify(placement, &loads).unwrap();
    verify(placement, &certificate, &loads).unwrap();
    assert!(certificate.layers.iter().all(|layer| layer.max_load >= layer.lower_bound));
}

/// A history of some windows like each other, of two layers.
fn history(experts: usize) -> LoadHistory {
    let mut history = LoadHistory::new(2, experts, HistoryOptions::default()).unwrap();
    for seed in 0..4 {
        history.observe(&loads(2, experts, seed), 1).unwrap();
    }
    history
}

fn with_state(cluster: &Cluster, one: usize, state: GpuState) -> Cluster {
    let mut gpus = cluster.gpus().to_vec();
    gpus[one].state = state;
    Cluster::new(gpus).unwrap()
}

/// Each GPU is lost or drained in turn. What has no other replica is copied, and nothing else if moves
/// are not allowed.
#[test]
fn a_lost_gpu_costs_the_experts_that_it_held_alone() {
    let history = history(40);
    let whole = Cluster::uniform(8, 7, 2).unwrap();
    let topology = Topology::of_cluster(40, 1, whole.clone()).unwrap();
    let start = replan(&history, &topology, None, MigrationOptions::default(), 1).unwrap();
    let previous = Previous { phy2log: start.placement.phy2log(), cluster: &whole };
    let nothing = MigrationOptions {
        max_moves: MoveLimit::Number(0),
        max_moves_after_shift: MoveLimit::Number(0),
        ..MigrationOptions::default()
    };
    let alone = |layer: usize, gpu: usize| {
        let row = &start.placement.phy2log()[layer * 56..][..56];
        let count = |expert| row.iter().filter(|&&held| held == expert).count();
        row[whole.slots_of(gpu)].iter().filter(|&&expert| count(expert) == 1).count() as u64
    };
    for lost in 0..8 {
        for state in [GpuState::Dead, GpuState::Draining] {
            let next = Topology::of_cluster(40, 1, with_state(&whole, lost, state)).unwrap();
            let repaired = replan(&history, &next, Some(previous), nothing, 1).unwrap();
            check(&repaired.placement, &history);
            for (layer, migration) in repaired.layers.iter().enumerate() {
                assert_eq!(migration.copies, alone(layer, lost));
            }
            let list = transfers(previous, repaired.placement.phy2log(), &next).unwrap();
            for transfer in list {
                let source = transfer.source.map(|slot| slot.gpu);
                let expected = if state == GpuState::Dead { None } else { Some(lost) };
                assert_eq!(source, expected, "from storage, or from the drained GPU");
            }
            let options = MigrationOptions::default();
            let better = replan(&history, &next, Some(previous), options, 1).unwrap();
            check(&better.placement, &history);
            for (better, repaired) in better.layers.iter().zip(&repaired.layers) {
                assert!(better.objective[1] < repaired.objective[1]);
            }
        }
    }
}

#[test]
fn policies_that_plan_equal_gpus_only_say_so() {
    let cluster = Cluster::new(vec![live(2), live(3)]).unwrap();
    let topology = Topology::of_cluster(4, 1, cluster).unwrap();
    for policy in [Policy::DeepSeek, Policy::Adaptive] {
        let problem = Problem::new(&loads(1, 4, 1), &topology, policy).unwrap();
        let error = plan(&problem, 1).unwrap_err().to_string();
        let text = format!(
            "policy={policy} plans equal GPUs only, all of them in use; try policy=minimax or \
             policy=multiwindow"
        );
        assert_eq!(error, text);
    }
}

#[test]
fn a_plan_with_an_expert_on_a_gpu_that_is_not_in_use_is_refused() {
    let cluster = with_state(&Cluster::uniform(3, 2, 1).unwrap(), 1, GpuState::Draining);
    let topology = Topology::of_cluster(4, 1, cluster).unwrap();
    assert!(Placement::from_phy2log(&[0, 1, -1, -1, 2, 3], topology.clone()).is_ok());
    let error = Placement::from_phy2log(&[0, 1, -1, 1, 2, 3], topology).unwrap_err().to_string();
    assert!(error.contains("has a slot on GPU 1, which is drained"), "{error}");
}

#[test]
fn digests_tell_clusters_apart() {
    let digest = |cluster: Cluster| {
        let topology = Topology::of_cluster(4, 1, cluster).unwrap();
        Placement::from_phy2log(&[0, 1, 2, 3, 0, 1], topology).unwrap().digest()
    };
    let slow = |speed| gpu(0, 2, speed, GpuState::Live);
    let digests = [
        digest(Cluster::uniform(3, 2, 1).unwrap()),
        digest(Cluster::new(vec![live(2), slow(2), live(2)]).unwrap()),
        digest(Cluster::new(vec![live(2), live(2), slow(2)]).unwrap()),
        digest(Cluster::new(vec![live(2), live(1), live(3)]).unwrap()),
    ];
    let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), 4, "{digests:?}");
    assert_eq!(digest(Cluster::new(vec![slow(5); 3]).unwrap()), digests[0]);
}
