//! What `minimax` reaches on GPUs that are not equal, and how long it takes, one thread:
//! `cargo bench --package eplb-core --bench clusters`, with a part of a case's name for some cases.
//!
//! Balancedness is the lower bound over the largest load by speed, in percent: mean and worst over layers
//! of all seven families of loads. Beside it are plans for equal GPUs on these GPUs, and plans of
//! `multiwindow`. Times are the fastest of some rounds, in microseconds a layer.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a benchmark is about time"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use eplb_core::sampling::{Family, SplitMix64};
use eplb_core::{
    CanonicalLoads, Certificate, Cluster, Effort, Gpu, GpuState, Options, Placement, Policy,
    Problem, Topology, certify, plan,
};

const LAYERS: u64 = 12;
const ROUNDS: usize = 5;

struct Case {
    name: &'static str,
    experts: u64,
    /// The GPUs, and equal ones with as many slots, if there are such.
    gpus: Vec<Gpu>,
    equal: Option<u64>,
    groups: u64,
}

fn live(slots: u32, speed: u32) -> Gpu {
    Gpu { node: 0, slots, speed, state: GpuState::Live }
}

/// GPUs of 70 to 130 % of a speed.
fn uneven(gpus: u64, slots: u32) -> Vec<Gpu> {
    let mut stream = SplitMix64(1);
    (0..gpus).map(|_| live(slots, 70 + stream.below(61) as u32)).collect()
}

fn cases() -> Vec<Case> {
    let speeds = |name, experts, gpus: u64, slots: u32| Case {
        name,
        experts,
        gpus: uneven(gpus, slots),
        equal: Some(u64::from(slots)),
        groups: 1,
    };
    let other = |name, experts, gpus| Case { name, experts, gpus, equal: None, groups: 1 };
    let mut dead = vec![live(9, 1); 32];
    dead[5].state = GpuState::Dead;
    let node = |index: usize| index as u32 / 8;
    let mut grouped = uneven(32, 9);
    let mut lost = vec![live(10, 1); 32];
    lost[5].state = GpuState::Dead;
    for (index, gpu) in grouped.iter_mut().chain(&mut lost).enumerate() {
        gpu.node = node(index % 32);
    }
    vec![
        speeds("256/288/32", 256, 32, 9),
        speeds("256/320/32", 256, 32, 10),
        speeds("256/320/64", 256, 64, 5),
        speeds("128/144/16", 128, 16, 9),
        speeds("64/80/8", 64, 8, 10),
        speeds("384/576/144", 384, 144, 4),
        speeds("32/40/8", 32, 8, 5),
        other("256 on 6, no spares", 256, [43, 43, 43, 43, 42, 42].map(|s| live(s, 1)).to_vec()),
        other("32 GPUs of 8 or 10", 256, (0..32).map(|i| live(8 + 2 * (i % 2), 1)).collect()),
        other("288/32, one dead", 256, dead),
        Case { name: "4 nodes, 8 groups", experts: 256, gpus: grouped, equal: Some(9), groups: 8 },
        Case { name: "4 nodes, one dead", experts: 256, gpus: lost, equal: Some(10), groups: 8 },
    ]
}

/// Loads of every family.
fn all_loads(experts: u64) -> CanonicalLoads {
    let draw = |family: Family| family.loads(LAYERS, experts, 1).expect("valid options");
    let all: Vec<u64> = Family::ALL.into_iter().flat_map(draw).collect();
    CanonicalLoads::new(&all, all.len() / experts as usize, experts as usize).expect("loads")
}

/// Mean and worst, in percent.
fn balance(certificate: &Certificate) -> [f64; 2] {
    let of: Vec<f64> = certificate.layers.iter().map(|layer| 100.0 / (1.0 + layer.gap())).collect();
    let mean = of.iter().sum::<f64>() / of.len() as f64;
    [mean, of.into_iter().fold(100.0, f64::min)]
}

/// A plan, its balance, and microseconds a layer.
fn measured(
    loads: &CanonicalLoads,
    topology: &Topology,
    options: impl Into<Options>,
    rounds: usize,
) -> (Placement, [f64; 2], f64) {
    let problem = Problem::new(loads, topology, options).expect("a problem");
    let mut best = Duration::MAX;
    let mut made = None;
    for _ in 0..rounds {
        let start = Instant::now();
        let plan = black_box(plan(black_box(&problem), 1)).expect("a plan");
        best = best.min(start.elapsed());
        made = Some(plan);
    }
    let plan = made.expect("a round");
    let balance = balance(plan.certificate());
    (plan.into_placement(), balance, best.as_secs_f64() * 1e6 / loads.layers() as f64)
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let wanted = |case: &Case| wanted.is_empty() || wanted.iter().any(|w| case.name.contains(w));
    println!("balance in %: mean worst, microseconds a layer");
    for case in cases().into_iter().filter(wanted) {
        let loads = all_loads(case.experts);
        let cluster = |gpus: Vec<Gpu>| Cluster::new(gpus).expect("a cluster");
        let topology =
            |gpus| Topology::of_cluster(case.experts, case.groups, cluster(gpus)).expect("sizes");
        let unequal = topology(case.gpus.clone());
        println!("{}", case.name);
        let line = |name: &str, [mean, worst]: [f64; 2], time: f64| {
            println!("  {name:<28} {mean:>8.3} {worst:>8.3} {time:>8.0}");
        };
        if let Some(slots) = case.equal {
            let equal = case.gpus.iter().map(|gpu| Gpu { node: gpu.node, ..live(slots as u32, 1) });
            let equal = topology(equal.collect());
            let (placement, balance_of, time) = measured(&loads, &equal, Policy::Minimax, ROUNDS);
            line("equal GPUs", balance_of, time);
            if case.gpus.iter().all(|gpu| gpu.state == GpuState::Live) {
                let blind = Placement::from_phy2log(placement.phy2log(), unequal.clone());
                let blind = certify(&blind.expect("a placement"), &loads).expect("certificate");
                line("  the same on these GPUs", balance(&blind), 0.0);
            }
        }
        for effort in [Effort::Fast, Effort::Default] {
            let (_, balance, time) = measured(&loads, &unequal, Options::minimax(effort), ROUNDS);
            line(&format!("minimax, {effort}"), balance, time);
        }
        let (_, balance, time) = measured(&loads, &unequal, Policy::MultiWindow, 1);
        line("multiwindow", balance, time);
    }
}
