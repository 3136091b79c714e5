//! `minimax` on GPUs that are not equal.
#![allow(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "ratios of times are told, and no plan depends on them"
)]

mod problems;

use eplb_core::sampling::Family;
use eplb_core::{
    Bound, CanonicalLoads, Certificate, Cluster, Effort, Gpu, GpuState, LayerCertificate, Options,
    Placement, Policy, Topology, certify, verify,
};
use problems::{
    ROW_KINDS, SplitMix64, canonical, certified, global, loads, row, sizes_of, topology,
};

fn live(slots: u32, speed: u32) -> Gpu {
    on_node(0, slots, speed)
}

fn on_node(node: u32, slots: u32, speed: u32) -> Gpu {
    Gpu { node, slots, speed, state: GpuState::Live }
}

fn of_gpus(experts: u64, groups: u64, gpus: Vec<Gpu>) -> Topology {
    Topology::of_cluster(experts, groups, Cluster::new(gpus).unwrap()).unwrap()
}

/// GPUs of 70 to 130 % of a speed, on nodes in order.
fn uneven(nodes: u32, per_node: u32, slots: u32, seed: u64) -> Vec<Gpu> {
    let mut stream = SplitMix64(seed);
    let speed = |_| 70 + stream.below(61) as u32;
    let speeds: Vec<u32> = (0..nodes * per_node).map(speed).collect();
    let gpu = |(index, speed)| on_node(index as u32 / per_node, slots, speed);
    speeds.into_iter().enumerate().map(gpu).collect()
}

/// Layers of all families.
fn family_loads(layers: u64, experts: u64, seed: u64) -> CanonicalLoads {
    let draw = |family: Family| family.loads(layers, experts, seed).unwrap();
    let all: Vec<u64> = Family::ALL.into_iter().flat_map(draw).collect();
    canonical(&all, experts as usize)
}

/// A plan, checked from its definition.
fn planned(
    loads: &CanonicalLoads,
    topology: &Topology,
    options: impl Into<Options>,
) -> (Placement, Certificate) {
    let (placement, certificate) = certified(loads, topology, options, 1).unwrap();
    verify(&placement, &certificate, loads).unwrap();
    let again = certify(&placement, loads).unwrap();
    for (layer, again) in certificate.layers.iter().zip(again.layers) {
        // Only planning looks for plans with duplicates.
        let beaten_by_duplicates = layer.beaten_by_duplicates;
        assert_eq!(layer, &LayerCertificate { beaten_by_duplicates, ..again });
    }
    assert!(placement.duplicates().iter().all(|&duplicates| duplicates == 0));
    let cluster = topology.cluster();
    for row in placement.phy2log().chunks_exact(topology.num_replicas()) {
        for gpu in 0..cluster.num_gpus() {
            let held = &row[cluster.slots_of(gpu)];
            assert!(held.iter().all(|&expert| (expert >= 0) == cluster.is_used(gpu)), "{row:?}");
        }
    }
    (placement, certificate)
}

/// Mean and worst balance: lower bound by largest time.
fn balance(certificate: &Certificate) -> [f64; 2] {
    let of = certificate.layers.iter().map(|layer| 1.0 / (1.0 + layer.gap()));
    let sum: f64 = of.clone().sum();
    [sum / certificate.layers.len() as f64, of.fold(1.0, f64::min)]
}

#[test]
fn speeds_that_vary_cost_nothing() {
    for (experts, per_gpu, gpus, seed, [mean, worst]) in [
        (256, 9, 32, 1, [0.9995, 0.9995]),
        (256, 9, 32, 2, [0.9995, 0.9995]),
        (256, 10, 32, 3, [0.9995, 0.9995]),
        (128, 9, 16, 4, [0.9995, 0.9995]),
        (64, 10, 8, 5, [0.9995, 0.999]),
        (256, 5, 64, 6, [0.9974, 0.995]),
    ] {
        let topology = of_gpus(experts, 1, uneven(1, gpus, per_gpu, seed));
        let loads = family_loads(3, experts, seed);
        let (_, certificate) = planned(&loads, &topology, Policy::Minimax);
        let found = balance(&certificate);
        assert!(found[0] >= mean && found[1] >= worst, "{experts}/{gpus}: {found:?}");
        // A plan for equal GPUs waits for the slowest.
        let slots = u64::from(per_gpu * gpus);
        let equal = problems::topology(&global(experts, slots, gpus.into()));
        let (blind, _) = planned(&loads, &equal, Policy::Minimax);
        let blind = Placement::from_phy2log(blind.phy2log(), topology).unwrap();
        assert!(balance(&certify(&blind, &loads).unwrap())[0] < 0.85);
    }
}

#[test]
fn experts_without_spares_on_gpus_that_do_not_divide_them() {
    let topology = of_gpus(256, 1, [43, 43, 43, 43, 42, 42].map(|slots| live(slots, 1)).to_vec());
    let (placement, certificate) = planned(&family_loads(3, 256, 1), &topology, Policy::Minimax);
    assert!(placement.logcnt().iter().all(|&count| count == 1));
    let [mean, worst] = balance(&certificate);
    assert!(mean > 0.999 && worst > 0.995, "{mean} {worst}");
    // Some layers have an expert that is heavier than the mean.
    assert!(certificate.layers.iter().any(|layer| layer.bound == Bound::Packing));
}

/// GPUs that are not in use, at the beginning, between and at the end, whatever their slots and speeds.
#[test]
fn equal_gpus_beside_others_are_planned_as_they_are_alone() {
    let mut stream = SplitMix64(7);
    for (kind, sizes) in [
        [256, 279, 1, 1, 31],
        [24, 36, 6, 2, 12],
        [64, 72, 8, 1, 8],
        [12, 16, 1, 1, 4],
        [12, 16, 3, 2, 4],
    ]
    .into_iter()
    .enumerate()
    {
        let alone = topology(&sizes_of(sizes));
        let loads =
            canonical(&loads(&mut stream, kind as u64, 4, sizes[0] as usize), sizes[0] as usize);
        let speed = 1 + kind as u32;
        let mut gpus = Vec::new();
        for gpu in alone.cluster().gpus() {
            let unused = [
                None,
                Some(Gpu { state: GpuState::Dead, ..on_node(gpu.node, 3, 7) }),
                Some(Gpu { state: GpuState::Draining, ..on_node(gpu.node, 2, 1) }),
                Some(on_node(gpu.node, 0, 5)),
            ];
            gpus.extend(unused[stream.below(4) as usize]);
            gpus.push(Gpu { speed, ..*gpu });
        }
        gpus.push(Gpu { state: GpuState::Dead, ..on_node(alone.num_nodes() as u32 + 3, 9, 11) });
        let topology = of_gpus(sizes[0], sizes[2], gpus);
        for effort in Effort::ALL {
            let (expected, costs) = planned(&loads, &alone, Options::minimax(effort));
            let (found, times) = planned(&loads, &topology, Options::minimax(effort));
            let in_use = |row: &[i64]| -> Vec<i64> {
                row.iter().copied().filter(|&expert| expert >= 0).collect()
            };
            assert_eq!(in_use(found.phy2log()), expected.phy2log());
            assert_eq!(in_use(found.rank()), expected.rank());
            assert_eq!(found.logcnt(), expected.logcnt());
            for (time, cost) in times.layers.iter().zip(&costs.layers) {
                let by_speed = |load: u64| load.div_ceil(speed.into());
                assert_eq!(time.max_load, by_speed(cost.max_load));
                assert_eq!(time.lower_bound, by_speed(cost.lower_bound));
                assert_eq!(time.bound_without_groups, by_speed(cost.bound_without_groups));
                assert!(time.bound <= cost.bound);
                assert_eq!(time.beaten_by_duplicates, cost.beaten_by_duplicates);
            }
        }
    }
}

/// A cluster of any kind: some nodes, GPUs that are slow, dead, draining or without slots.
fn any_cluster(stream: &mut SplitMix64, experts: u64, gpus: u64) -> Cluster {
    let speeds = [1, 4, 100][stream.below(3) as usize];
    let (states, sizes) = (stream.below(2), 1 + stream.below(experts.min(8)));
    let mut node = 0;
    let mut gpu = || {
        node += u32::from(stream.below(4) == 0);
        let state = match stream.below(8) * states {
            1 => GpuState::Dead,
            2 => GpuState::Draining,
            _ => GpuState::Live,
        };
        let slots = (sizes + stream.below(3)).saturating_sub(1).min(experts) as u32;
        Gpu { state, ..on_node(node, slots, 1 + stream.below(speeds) as u32) }
    };
    Cluster::new((0..gpus).map(|_| gpu()).collect()).unwrap()
}

/// Plans of clusters of every kind are valid and proven, the same on every number of threads, and no worse
/// than those of shorter efforts and of `multiwindow` by more than the target.
#[test]
fn any_cluster_is_planned() {
    let mut stream = SplitMix64(5);
    let (mut made, mut refused, mut twice) = (0, 0, 0);
    let mut kinds = [0; Bound::ALL.len()];
    let mut above_multiwindow = [0; 3];
    for round in 0..1500 {
        let experts = 1 + stream.below(24);
        let gpus = 1 + stream.below(9);
        let cluster = any_cluster(&mut stream, experts, gpus);
        let groups = 1 + stream.below(4);
        let loads = canonical(&loads(&mut stream, round, 2, experts as usize), experts as usize);
        let Ok(topology) = Topology::of_cluster(experts, groups, cluster) else {
            refused += 1;
            continue;
        };
        if topology.slots_per_gpu() > topology.num_experts() / topology.nodes() {
            let error = certified(&loads, &topology, Policy::Minimax, 1).unwrap_err().to_string();
            assert!(error.contains("no expert twice on a GPU"), "{error}");
            twice += 1;
            continue;
        }
        made += 1;
        let (_, multiwindow) = planned(&loads, &topology, Policy::MultiWindow);
        let plans = Effort::ALL.map(|effort| {
            let options = Options::minimax(effort);
            let (placement, certificate) = planned(&loads, &topology, options);
            let threads = certified(&loads, &topology, options, 2).unwrap();
            assert_eq!(threads, (placement, certificate.clone()));
            certificate
        });
        for layer in 0..2 {
            let [fast, default, best] =
                plans.each_ref().map(|certificate| certificate.layers[layer].max_load);
            // By more than its target, at most 0.5 %, no effort ends above a shorter one.
            let most = |time: u64| time + time / 200;
            assert!(best <= default && best <= fast && default <= most(fast));
            let other = multiwindow.layers[layer].max_load;
            for (above, time) in above_multiwindow.iter_mut().zip([fast, default, best]) {
                *above += u32::from(time > most(other));
            }
            kinds[plans[0].layers[layer].bound as usize] += 1;
        }
    }
    println!("{made} made, {refused} refused, {twice} twice, above {above_multiwindow:?}");
    assert!(made > 400 && refused > 300 && twice > 30, "{made} {refused} {twice}");
    assert!(kinds.iter().all(|&count| count > 10), "{:?}: {kinds:?}", Bound::ALL);
    assert!(above_multiwindow[1..] == [0, 0], "{above_multiwindow:?}");
}

/// The least time of any plan without an expert twice on a GPU, whole groups on nodes: every expert in every
/// slot is tried, in ascending order on a GPU.
fn least_time(weights: &[u64], topology: &Topology, slots: &mut Vec<usize>) -> u64 {
    let cluster = topology.cluster();
    if slots.len() == cluster.num_slots() {
        return time_of(weights, topology, slots);
    }
    let gpu = cluster.gpu_of(slots.len());
    let first = cluster.slots_of(gpu).start;
    let from = if slots.len() == first { 0 } else { slots[slots.len() - 1] + 1 };
    let mut least = u64::MAX;
    for expert in from..weights.len() {
        slots.push(expert);
        least = least.min(least_time(weights, topology, slots));
        slots.pop();
    }
    least
}

/// The time of a plan, or the largest number if it is none.
fn time_of(weights: &[u64], topology: &Topology, slots: &[usize]) -> u64 {
    let cluster = topology.cluster();
    let mut count = vec![0_u64; weights.len()];
    for &expert in slots {
        count[expert] += 1;
    }
    if count.contains(&0) {
        return u64::MAX;
    }
    if topology.nodes() > 1 {
        let size = weights.len() / topology.groups();
        let mut node_of = vec![None; topology.groups()];
        let mut groups_on = vec![0; cluster.num_nodes()];
        for (slot, &expert) in slots.iter().enumerate() {
            let node = cluster.gpus()[cluster.gpu_of(slot)].node as usize;
            let home = &mut node_of[expert / size];
            if home.is_none() {
                *home = Some(node);
                groups_on[node] += 1;
            }
            if *home != Some(node) {
                return u64::MAX;
            }
        }
        let each = topology.groups() / topology.nodes();
        if groups_on.iter().any(|&held| held != each && held != 0) {
            return u64::MAX;
        }
    }
    let time = |gpu: usize| {
        let held = slots[cluster.slots_of(gpu)].iter();
        let share = |&expert: &usize| (weights[expert] * 720_720).div_ceil(count[expert]);
        held.map(share).sum::<u64>().div_ceil(cluster.gpus()[gpu].speed.into())
    };
    (0..cluster.num_gpus()).map(time).max().unwrap()
}

/// A cluster with few enough plans to try them all: live GPUs, on nodes if there are groups.
fn tiny_cluster(stream: &mut SplitMix64, experts: u64, nodes: u32) -> Cluster {
    let on_each = experts / u64::from(nodes);
    let mut gpus = Vec::new();
    let speeds = 1 + stream.below(5);
    for node in 0..nodes {
        let mut slots = 0;
        while slots < on_each || stream.below(3) == 0 {
            let own = 1 + stream.below(on_each);
            slots += own;
            gpus.push(on_node(node, own as u32, 1 + stream.below(speeds) as u32));
        }
    }
    Cluster::new(gpus).unwrap()
}

/// How often plans are the best there are, and how far they are above them at most.
#[test]
fn bounds_and_plans_of_tiny_clusters_beside_the_optimum() {
    let mut stream = SplitMix64(3);
    let (mut instances, mut tight, mut kinds) = (0, 0, [0; Bound::ALL.len()]);
    let mut optimal = [0; 3];
    let mut worst = [1.0_f64; 3];
    for round in 0..4000 {
        let (experts, groups, nodes) =
            [(2 + stream.below(4), 1, 1), (4, 4, 2), (4, 2, 2), (6, 6, 2), (6, 3, 3)]
                [[0, 0, 0, 1, 2, 3, 4][round as usize % 7]];
        let cluster = tiny_cluster(&mut stream, experts, nodes);
        if cluster.uniform_slots().is_some() || cluster.num_slots() > 8 {
            continue;
        }
        let topology = Topology::of_cluster(experts, groups, cluster).unwrap();
        let weights = row(&mut stream, round % ROW_KINDS, experts as usize);
        let loads = canonical(&weights, weights.len());
        let least = least_time(loads.row(0), &topology, &mut Vec::new());
        let layers = Effort::ALL
            .map(|effort| planned(&loads, &topology, Options::minimax(effort)).1.layers.remove(0));
        let bound = layers[0].lower_bound;
        assert!(bound <= least && layers[0].bound_without_groups <= bound, "{topology:?}");
        instances += 1;
        tight += u32::from(bound == least);
        kinds[layers[0].bound as usize] += 1;
        for (i, layer) in layers.iter().enumerate() {
            assert!(layer.max_load >= least, "{topology:?} {:?}", loads.row(0));
            optimal[i] += u32::from(layer.max_load == least);
            worst[i] = worst[i].max(layer.max_load as f64 / least.max(1) as f64);
        }
    }
    println!(
        "{instances} instances, bounds reached {tight}: {kinds:?}; optimal {optimal:?}, {worst:.3?}"
    );
    assert!(instances > 2500 && tight > 1150, "{instances} instances, {tight} bounds reached");
    assert!(kinds.iter().all(|&count| count > 100), "{:?}: {kinds:?}", Bound::ALL);
    assert!(optimal[0] >= 2467 && optimal[1] >= 2502 && optimal[2] == instances, "{optimal:?}");
    assert!(worst[0] < 2.001 && worst[1] < 1.001 && worst[2] <= 1.0, "{worst:?}");
}

/// Every entry of a certificate, made larger or smaller by one, is found to be false.
#[test]
fn control_false_bounds_are_refused() {
    let mut stream = SplitMix64(11);
    let mut refused = 0;
    for round in 0..400 {
        let experts = 2 + stream.below(12);
        let cluster = any_cluster(&mut stream, experts, 1 + round % 7);
        let groups = 1 + stream.below(4);
        let loads = canonical(&loads(&mut stream, round, 1, experts as usize), experts as usize);
        let Ok(topology) = Topology::of_cluster(experts, groups, cluster) else { continue };
        let fast = Options::minimax(Effort::Fast);
        let Ok((placement, certificate)) = certified(&loads, &topology, fast, 1) else { continue };
        let mut refuse = |change: &dyn Fn(&mut LayerCertificate)| {
            let mut changed = certificate.clone();
            change(&mut changed.layers[0]);
            if changed != certificate {
                assert!(verify(&placement, &changed, &loads).is_err(), "{changed:?}");
                refused += 1;
            }
        };
        for one in [1, u64::MAX, 1 << 40, u64::MAX - (1 << 40)] {
            refuse(&|layer| layer.lower_bound = layer.lower_bound.wrapping_add(one));
            refuse(&|layer| {
                layer.bound_without_groups = layer.bound_without_groups.wrapping_add(one);
            });
            refuse(&|layer| layer.max_load = layer.max_load.wrapping_add(one));
            refuse(&|layer| layer.total_speed = layer.total_speed.wrapping_add(one));
            refuse(&|layer| layer.gpu_load[0] = layer.gpu_load[0].wrapping_add(one));
        }
        for kind in Bound::ALL {
            refuse(&|layer| layer.bound = kind);
        }
    }
    assert!(refused > 2000, "{refused}");
}

#[test]
fn sizes_without_a_plan_are_refused_with_what_would_do() {
    let loads = |experts: u64| canonical(&vec![1; experts as usize], experts as usize);
    let refused = |experts, groups, gpus: Vec<Gpu>, policy: Policy| {
        let topology = of_gpus(experts, groups, gpus);
        certified(&loads(experts), &topology, policy, 1).unwrap_err().to_string()
    };
    for policy in [Policy::Minimax, Policy::MultiWindow] {
        let expected =
            format!("expected no expert twice on a GPU, which the policy {policy} never does");
        assert_eq!(
            refused(4, 1, vec![live(2, 1), live(5, 1), live(6, 2), live(6, 1)], policy),
            format!(
                "GPU 2 has 6 slots, but there are 4 experts; {expected}; give it at most 4 slots"
            )
        );
        assert_eq!(
            refused(6, 2, vec![on_node(0, 3, 1), on_node(3, 2, 1), on_node(3, 4, 1)], policy),
            format!(
                "GPU 2 has 4 slots, but each node has 3 experts; {expected}; give it at most 3 slots"
            )
        );
    }
    // The hints work.
    planned(&loads(4), &of_gpus(4, 1, vec![live(2, 1), live(4, 1), live(4, 2)]), Policy::Minimax);
    // What is not in use does not count.
    let dead = Gpu { state: GpuState::Dead, ..live(9, 1) };
    planned(&loads(4), &of_gpus(4, 1, vec![live(2, 1), dead, live(4, 2)]), Policy::Minimax);
    for (gpus, text) in [
        (vec![live(3, 1), dead], "the GPUs in use have 3 slots for 4 experts"),
        (vec![dead], "the GPUs in use have 0 slots for 4 experts"),
    ] {
        let error = Topology::of_cluster(4, 1, Cluster::new(gpus).unwrap()).unwrap_err();
        assert!(error.to_string().starts_with(text), "{error}");
    }
}

/// Plans that no build, machine or release may change without saying so, by effort fast and default.
const DIGESTS: [[&str; 2]; 7] = [
    ["aa57a700f60d4381", "ad384c79c7f23db6"],
    ["c27ea46697dda3e9", "fbf94a2290e3749b"],
    ["df17b36dcc1ca63b", "3b20e0014783cd3d"],
    ["a34f442eae13db73", "e330aa9763208753"],
    ["850afa0705c88862", "35de854bd8200362"],
    ["2656777c549fcaaf", "60f23f5cccc07bbf"],
    ["d85f360e2a395f93", "d85f360e2a395f93"],
];

#[test]
fn answers_are_those_of_every_build() {
    let dead = |mut gpus: Vec<Gpu>, one: usize| {
        gpus[one].state = GpuState::Dead;
        gpus
    };
    let clusters: [(u64, u64, Vec<Gpu>); 7] = [
        (256, 1, uneven(1, 32, 9, 1)),
        (256, 8, uneven(4, 8, 9, 2)),
        (256, 1, [43, 43, 43, 43, 42, 42].map(|slots| live(slots, 1)).to_vec()),
        (64, 1, dead(vec![live(10, 1); 8], 3)),
        (64, 8, dead((0..16).map(|gpu| on_node(gpu / 4, 6, 1)).collect(), 5)),
        (24, 1, vec![live(7, 1), live(6, 4), live(9, 2), live(3, 9)]),
        (12, 1, vec![live(12, 1), live(1, 9), live(1, 9), live(5, 65_535)]),
    ];
    let mut stream = SplitMix64(21);
    for ((experts, groups, gpus), digests) in clusters.into_iter().zip(DIGESTS) {
        let topology = of_gpus(experts, groups, gpus);
        let rows: Vec<u64> = [9, 10, 12, 5]
            .into_iter()
            .flat_map(|kind| row(&mut stream, kind, experts as usize))
            .collect();
        let loads = canonical(&rows, experts as usize);
        let found = [Effort::Fast, Effort::Default]
            .map(|effort| planned(&loads, &topology, Options::minimax(effort)).0.digest());
        assert_eq!(found, digests, "{experts} {groups}");
    }
}
