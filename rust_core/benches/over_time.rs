//! Times planning over time, one thread: `cargo bench --package eplb-core --bench over_time`, with
//! a part of a case's name for some cases.
//!
//! Loads are drawn from a mixture of ten domains that drifts from window to window. The fastest of
//! several rounds is printed, in microseconds a layer.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a benchmark is about time"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use eplb_core::{
    CanonicalLoads, Cluster, GpuState, HistoryOptions, LoadHistory, Migration, MigrationOptions,
    MoveLimit, Previous, Sizes, Topology, replan,
};

const LAYERS: usize = 6;
const DOMAINS: usize = 10;
const WINDOWS: usize = 40;
const ROUNDS: usize = 20;
const COLD_ROUNDS: usize = 2;

struct Case {
    name: &'static str,
    experts: usize,
    slots: usize,
    gpus: usize,
    rows: u32,
    /// How far the weight of a domain moves in a window, in percent.
    drift: u64,
}

/// The numbers of a linear congruential generator.
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 48) + 1
    }
}

/// Windows of loads, `[windows]`.
fn windows(case: &Case) -> Vec<CanonicalLoads> {
    let mut uniform = Uniform(7);
    // Skewed: the product of four uniform numbers is about lognormal, with sigma 1.5.
    let mut skewed = || {
        let product = uniform.next() * uniform.next() * uniform.next();
        (((product >> 16) * uniform.next()) >> 26) as f64
    };
    let domains: Vec<Vec<f64>> =
        (0..DOMAINS).map(|_| (0..LAYERS * case.experts).map(|_| skewed()).collect()).collect();
    let mut uniform = Uniform(11);
    let mut weights = [100.0_f64; DOMAINS];
    let window = |_| {
        for weight in &mut weights {
            let step = (uniform.next() as f64 / 32768.0 - 1.0) * case.drift as f64 / 100.0;
            *weight *= (1.0 + step).max(0.1);
        }
        let load = |cell: usize| {
            let exact: f64 = domains.iter().zip(&weights).map(|(d, w)| d[cell] * w).sum();
            exact * (1.0 + (uniform.next() as f64 / 32768.0 - 1.0) * 0.1)
        };
        let loads: Vec<f64> = (0..LAYERS * case.experts).map(load).collect();
        CanonicalLoads::new(&loads, LAYERS, case.experts).expect("good loads")
    };
    (0..WINDOWS).map(window).collect()
}

/// The cluster with a dead GPU.
fn without(topology: &Topology, gpu: usize) -> Topology {
    let mut gpus = topology.cluster().gpus().to_vec();
    gpus[gpu].state = GpuState::Dead;
    let cluster = Cluster::new(gpus).expect("a cluster");
    Topology::of_cluster(topology.num_experts() as u64, 1, cluster).expect("enough slots")
}

/// Fastest observe, cold plan, update, repair of a dead GPU and update after it of each window, summed
/// over the windows, and copies.
fn measure(case: &Case) -> [f64; 6] {
    let sizes = Sizes {
        num_experts: case.experts as u64,
        num_replicas: case.slots as u64,
        num_groups: 1,
        num_nodes: 1,
        num_gpus: case.gpus as u64,
    };
    let topology = Topology::new(sizes).expect("sizes that go together");
    let options = HistoryOptions { rows: case.rows, ..HistoryOptions::default() };
    let mut history = LoadHistory::new(LAYERS, case.experts, options).expect("options");
    let mut migration: Option<Migration> = None;
    let (mut observe, mut cold, mut warm, mut repair, mut lost) = Default::default();
    let (mut copies, mut updates) = (0, 0_u32);
    for (index, window) in windows(case).iter().enumerate() {
        let before = history.clone();
        observe += fastest(ROUNDS, || {
            let mut history = before.clone();
            let start = Instant::now();
            history.observe(window, 1).expect("loads of the same shape");
            (start.elapsed(), history)
        })
        .0;
        history.observe(window, 1).expect("loads of the same shape");
        if index < WINDOWS / 2 {
            continue;
        }
        let least = MoveLimit::Number(0);
        let update = |topology: &Topology, most: MoveLimit, previous: Option<&Migration>| {
            let previous = previous.map(|migration| Previous {
                phy2log: migration.placement.phy2log(),
                cluster: topology.cluster(),
            });
            let options = MigrationOptions { max_moves_after_shift: most, ..Default::default() };
            let start = Instant::now();
            let made = replan(black_box(&history), topology, previous, options, 1);
            (start.elapsed(), made.expect("a plan"))
        };
        let usual = MigrationOptions::default().max_moves_after_shift;
        cold += fastest(COLD_ROUNDS, || update(&topology, usual, None)).0;
        let (time, made) = fastest(ROUNDS, || update(&topology, usual, migration.as_ref()));
        if migration.is_some() {
            if case.slots - case.slots / case.gpus >= case.experts {
                let left = without(&topology, index % case.gpus);
                repair += fastest(ROUNDS, || update(&left, least, migration.as_ref())).0;
                lost += fastest(ROUNDS, || update(&left, usual, migration.as_ref())).0;
            }
            warm += time;
            copies += made.layers.iter().map(|layer| layer.copies).sum::<u64>();
            updates += 1;
        }
        migration = Some(made);
    }
    let layers = LAYERS as f64;
    let micros = |time: Duration, count: u32| time.as_secs_f64() * 1e6 / layers / f64::from(count);
    [
        micros(observe, WINDOWS as u32),
        micros(cold, updates + 1),
        micros(warm, updates),
        micros(repair, updates),
        micros(lost, updates),
        copies as f64 / layers / f64::from(updates),
    ]
}

fn fastest<T>(rounds: usize, mut work: impl FnMut() -> (Duration, T)) -> (Duration, T) {
    let mut best = work();
    for _ in 1..rounds {
        let (time, result) = work();
        if time < best.0 {
            best = (time, result);
        }
    }
    best
}

fn main() {
    let case = |name, [experts, slots, gpus]: [usize; 3], rows, drift| Case {
        name,
        experts,
        slots,
        gpus,
        rows,
        drift,
    };
    let cases = [
        case("256/288/32, 8 rows", [256, 288, 32], 8, 20),
        case("256/288/32", [256, 288, 32], 16, 20),
        case("256/288/32, nothing to do", [256, 288, 32], 16, 0),
        case("256/288/32, nothing to do, 8 rows", [256, 288, 32], 8, 0),
        case("256/288/32, fast drift", [256, 288, 32], 16, 60),
        case("256/320/64", [256, 320, 64], 16, 20),
        case("384/576/144", [384, 576, 144], 16, 20),
        case("256/1024/128", [256, 1024, 128], 16, 20),
        case("256/2048/256", [256, 2048, 256], 16, 20),
        case("256/4096/512", [256, 4096, 512], 16, 20),
        case("64/80/8", [64, 80, 8], 16, 20),
    ];
    println!(
        "microseconds a layer {:>23} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "observe", "cold", "update", "copies", "repair", "GPU lost"
    );
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let wanted = |case: &&Case| wanted.is_empty() || wanted.iter().any(|w| case.name.contains(w));
    for case in cases.iter().filter(wanted) {
        let [observe, cold, warm, repair, lost, copies] = measure(case);
        print!("{:<35} {observe:>8.1} {cold:>9.0} {warm:>9.1} {copies:>9.2}", case.name);
        println!(" {repair:>9.1} {lost:>9.1}");
    }
}
