//! Times the exact split, layer by layer: `cargo bench --package eplb-core --bench split`.
//!
//! Plans are for one window of synthetic loads, and splits for the next one, in which other domains weigh
//! more. The fastest and the median round are printed, of one thread.
#![allow(
    clippy::disallowed_types,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a benchmark is about time"
)]

use std::hint::black_box;
use std::time::Instant;

use eplb_core::sampling::{Model, SplitMix64};
use eplb_core::{
    CanonicalLoads, Cluster, Gpu, GpuState, LayerSplit, Placement, Policy, Problem, Topology, plan,
    split,
};

const ROUNDS: usize = 50;

struct Case {
    name: &'static str,
    placement: Placement,
    loads: CanonicalLoads,
}

/// Slots of each GPU, and whether speeds vary by 30 %.
fn case(name: &'static str, sizes: [u64; 4], varied: bool) -> Case {
    let [layers, experts, gpus, slots] = sizes;
    let model = Model::named("deepseek-v3").expect("a model");
    let mut sample = model.sample_with_experts(experts);
    (sample.layers, sample.windows, sample.seed) = (layers, 2, 7);
    let tokens = sample.loads().expect("loads");
    let window = |index: usize| {
        let cells = (layers * experts) as usize;
        let tokens = &tokens[index * cells..][..cells];
        CanonicalLoads::new(tokens, layers as usize, experts as usize).expect("valid loads")
    };
    let mut stream = SplitMix64(1);
    let mut gpu = |_| {
        let speed = if varied { 70 + stream.below(61) as u32 } else { 1 };
        Gpu { node: 0, slots: slots as u32, speed, state: GpuState::Live }
    };
    let cluster = Cluster::new((0..gpus).map(&mut gpu).collect()).expect("a cluster");
    let topology = Topology::of_cluster(experts, 1, cluster).expect("sizes that go together");
    let policy = if varied { Policy::MultiWindow } else { Policy::Minimax };
    let problem = Problem::new(&window(0), &topology, policy).expect("a problem");
    let placement = plan(&problem, 1).expect("a plan").into_placement();
    Case { name, placement, loads: window(1) }
}

fn main() {
    let cases = [
        case("256 experts / 288 slots / 32 GPUs", [61, 256, 32, 9], false),
        case("the same, speeds vary by 30 %", [61, 256, 32, 9], true),
        case("256 / 320 / 64", [61, 256, 64, 5], false),
        case("384 / 576 / 144", [61, 384, 144, 4], false),
        case("64 / 80 / 8", [26, 64, 8, 10], false),
        case("4096 / 8192 / 1024", [2, 4096, 1024, 8], false),
    ];
    println!("microseconds a layer: fastest, median round; mean balancedness: equal shares, split");
    for Case { name, placement, loads } in &cases {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            black_box(split(black_box(placement), loads, 1)).expect("a split");
            times.push(start.elapsed());
        }
        times.sort();
        let layers = placement.layers() as f64;
        let micros = |index: usize| times[index].as_secs_f64() * 1e6 / layers;
        let made = split(placement, loads, 1).expect("a split").layers;
        let equal: f64 = made.iter().map(LayerSplit::balancedness_of_equal_shares).sum();
        let best: f64 = made.iter().map(LayerSplit::balancedness).sum();
        println!(
            "{name:<35} {:>8.1} {:>8.1}   {:.4} {:.4}",
            micros(0),
            micros(ROUNDS / 2),
            equal / layers,
            best / layers
        );
    }
}
