//! Prints what every policy answers to a fixed battery of problems: `tests/test_builds.py` compares
//! the output of builds for different processors.

use eplb_core::sampling::SplitMix64;
use eplb_core::{
    Bf16, CanonicalLoads, Effort, F16, LayerCertificate, Load, Options, Plan, Policy, Problem,
    Sizes, Topology, plan,
};

/// L, P, groups, nodes, G.
const SIZES: [[u64; 5]; 10] = [
    [8, 16, 1, 1, 8],
    [12, 16, 4, 2, 8],
    [64, 72, 8, 1, 8],
    [64, 96, 8, 4, 32],
    [60, 64, 7, 2, 16],
    [128, 144, 1, 1, 16],
    [256, 288, 1, 1, 32],
    [256, 320, 8, 4, 64],
    [256, 256, 1, 1, 32],
    [7, 600, 1, 1, 40],
];
const LAYERS: usize = 8;

fn column<T>(plan: &Plan, figure: impl Fn(&LayerCertificate) -> T) -> Vec<T> {
    plan.certificate().layers.iter().map(figure).collect()
}

fn answer<T: Load>(what: &str, sizes: [u64; 5], mut load: impl FnMut(usize) -> T) {
    let [num_experts, num_replicas, num_groups, num_nodes, num_gpus] = sizes;
    let sizes = Sizes { num_experts, num_replicas, num_groups, num_nodes, num_gpus };
    let topology = Topology::new(sizes).expect("these sizes go together");
    let loads: Vec<T> = (0..LAYERS * num_experts as usize).map(&mut load).collect();
    let loads = CanonicalLoads::new(&loads, LAYERS, num_experts as usize).expect("these are loads");
    let published = [Policy::DeepSeek, Policy::Adaptive].map(Options::from);
    for options in published.into_iter().chain(Effort::ALL.map(Options::minimax)) {
        let problem = Problem::new(&loads, &topology, options).expect("they go together");
        match plan(&problem, 1) {
            Ok(plan) => println!(
                "{what} {sizes:?} {} {} {}: {:?} {:?} {:?}",
                options.policy,
                options.effort,
                plan.placement().digest(),
                column(&plan, |layer| layer.gpu_load_in_units().collect::<Vec<_>>()).concat(),
                column(&plan, LayerCertificate::gap),
                column(&plan, |layer| layer.lower_bound),
            ),
            Err(error) => println!("{what} {sizes:?} {}: {error}", options.policy),
        }
    }
}

fn main() {
    println!("avx2 {}", cfg!(target_feature = "avx2"));
    println!("debug {}", cfg!(debug_assertions));
    for (i, sizes) in SIZES.into_iter().enumerate() {
        let mut stream = SplitMix64(i as u64);
        answer("few", sizes, |_| stream.next_u64() % 4);
        answer("skewed", sizes, |_| stream.next_u64() >> 24 >> (stream.next_u64() % 40));
        answer("any", sizes, |_| stream.next_u64());
        answer("f64", sizes, |_| f64::from_bits(stream.next_u64() % (0x7ff0 << 48)));
        answer("subnormal f64", sizes, |_| f64::from_bits(stream.next_u64() >> 12));
        answer("f32", sizes, |_| f32::from_bits((stream.next_u64() % 0x7f80_0000) as u32));
        answer("f16", sizes, |_| F16((stream.next_u64() % 0x7c00) as u16));
        answer("bf16", sizes, |_| Bf16((stream.next_u64() % 0x7f80) as u16));
    }
}
