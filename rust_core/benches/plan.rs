//! Times the planner alone, layer by layer: `cargo bench --package eplb-core`.
//!
//! Rounds of all cases are interleaved; the fastest and the median round are printed.
#![allow(clippy::disallowed_types, clippy::float_arithmetic, reason = "a benchmark is about time")]

use std::hint::black_box;
use std::time::Instant;

use eplb_core::sampling::Family;
use eplb_core::{CanonicalLoads, Policy, Problem, Sizes, Topology, certify, plan};

const LAYERS: usize = 58;
const ROUNDS: usize = 200;

struct Case {
    name: &'static str,
    problem: Problem,
}

fn case(name: &'static str, policy: Policy, sizes: [u64; 5]) -> Case {
    let [num_experts, num_replicas, num_groups, num_nodes, num_gpus] = sizes;
    let sizes = Sizes { num_experts, num_replicas, num_groups, num_nodes, num_gpus };
    let tokens = Family::LogNormal15.loads(LAYERS as u64, num_experts, 1).expect("valid options");
    let topology = Topology::new(sizes).expect("sizes that go together");
    let loads = CanonicalLoads::new(&tokens, LAYERS, num_experts as usize).expect("valid loads");
    Case { name, problem: Problem::new(&loads, &topology, policy).expect("a problem") }
}

fn main() {
    let cases = [
        case("deepseek 256/288/32", Policy::DeepSeek, [256, 288, 1, 1, 32]),
        case("adaptive 256/288/32", Policy::Adaptive, [256, 288, 1, 1, 32]),
        case("deepseek 256/288/32, 8 groups, 4 nodes", Policy::DeepSeek, [256, 288, 8, 4, 32]),
        case("deepseek 256/320/64", Policy::DeepSeek, [256, 320, 1, 1, 64]),
        case("deepseek 384/576/144", Policy::DeepSeek, [384, 576, 1, 1, 144]),
        case("deepseek 128/144/16", Policy::DeepSeek, [128, 144, 1, 1, 16]),
    ];
    let mut plan_times = vec![Vec::new(); cases.len()];
    let mut certificate_times = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (i, case) in cases.iter().enumerate() {
            let start = Instant::now();
            let made = plan(black_box(&case.problem), 1);
            plan_times[i].push(start.elapsed());
            let made = black_box(made.expect("a plan"));
            let start = Instant::now();
            black_box(certify(made.placement(), case.problem.loads())).expect("a certificate");
            certificate_times[i].push(start.elapsed());
        }
    }
    println!("microseconds a layer: {:>25} {:>20}", "plan: fastest, median", "certificate");
    for (i, case) in cases.iter().enumerate() {
        let per_layer = |times: &mut Vec<std::time::Duration>| {
            times.sort();
            let micros = |t: std::time::Duration| t.as_secs_f64() * 1e6 / f64::from(LAYERS as u32);
            format!("{:.2} {:.2}", micros(times[0]), micros(times[ROUNDS / 2]))
        };
        let (plan, certificate) =
            (per_layer(&mut plan_times[i]), per_layer(&mut certificate_times[i]));
        println!("{:<40} {plan:>14} {certificate:>14}", case.name);
    }
}
