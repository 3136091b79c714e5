//! Certificates: every float against the fraction it stands for, loads under any other loads.

#![allow(clippy::float_cmp, reason = "the figures are exact")]

mod problems;
mod reference;

use eplb_core::{
    CanonicalLoads, ErrorKind, LayerCertificate, LoadsSha256, Placement, Policy, SHARE_UNIT,
    certify,
};
use problems::{SplitMix64, canonical, global, loads, plan, policies, sizes, topology};
use reference::packing_load;

/// Whether `x` is `numerator / denominator * 2^exponent` to nearest, ties to even. For fractions
/// of 128 bits at most that are not subnormal.
fn is_nearest(x: f64, numerator: u128, denominator: u128, exponent: i32) -> bool {
    if numerator == 0 {
        return x.to_bits() == 0;
    }
    let biased = (x.to_bits() >> 52) as i32;
    assert!((1..2047).contains(&biased), "{x}");
    let mantissa = u128::from(x.to_bits() % (1 << 52) + (1 << 52));
    // In units of the last place of x, which is 2^(biased - 1075).
    let shift = exponent - (biased - 1075);
    let (numerator, unit) = if shift >= 0 {
        (numerator << shift, denominator)
    } else {
        (numerator, denominator << -shift)
    };
    let rounded = mantissa * unit;
    // Below a power of two floats are twice as dense.
    let room_below = if mantissa == 1 << 52 { 4 } else { 2 };
    let even = mantissa % 2 == 0;
    if numerator >= rounded {
        let off = 2 * (numerator - rounded);
        off < unit || off == unit && even
    } else {
        let off = room_below * (rounded - numerator);
        off < unit || off == unit && even
    }
}

#[test]
fn floats_are_the_nearest_to_their_fractions() {
    let mut stream = SplitMix64(4);
    for kind in 0..400 {
        let sizes = sizes(&mut stream);
        let experts = sizes.num_experts as usize;
        let loads = canonical(&loads(&mut stream, kind, 3, experts), experts);
        for policy in policies(&sizes) {
            let certificate = certify(&plan(&loads, &sizes, policy), &loads).unwrap();
            let unit = u128::from(SHARE_UNIT);
            let gpus = sizes.num_gpus as usize;
            assert_eq!(certificate.layers.len(), 3);
            for (layer, &exponent) in certificate.layers.iter().zip(loads.exponents()) {
                let exponent = -exponent;
                for (&load, x) in layer.gpu_load.iter().zip(layer.gpu_load_in_units()) {
                    assert!(is_nearest(x, load.into(), unit, exponent), "{load} {exponent} {x}");
                }
                let (bound, max) = (u128::from(layer.lower_bound), u128::from(layer.max_load));
                assert!(is_nearest(layer.lower_bound_in_units(), bound, unit, exponent));
                let without_groups = layer.bound_without_groups_in_units();
                assert!(is_nearest(
                    without_groups,
                    layer.bound_without_groups.into(),
                    unit,
                    exponent
                ));
                let total: u128 = layer.gpu_load.iter().map(|&load| u128::from(load)).sum();
                if max == 0 {
                    assert_eq!((layer.gap().to_bits(), bound), (0, 0));
                    assert_eq!(layer.balancedness().to_bits(), 1_f64.to_bits());
                } else {
                    assert!(is_nearest(layer.gap(), max - bound, bound, 0));
                    assert!(is_nearest(layer.balancedness(), total, max * gpus as u128, 0));
                }
            }
        }
    }
}

/// A layer whose GPU loads are the sums of neighbours.
fn unreplicated(loads: &CanonicalLoads, gpus: u64) -> LayerCertificate {
    let experts = loads.experts() as u64;
    let topology = topology(&global(experts, experts, gpus));
    let phy2log: Vec<i64> = (0..experts as i64).collect();
    let plan = Placement::from_phy2log(&phy2log, topology).unwrap();
    certify(&plan, loads).unwrap().layers.remove(0)
}

fn gpu_loads(layer: &LayerCertificate) -> Vec<f64> {
    layer.gpu_load_in_units().collect()
}

#[test]
fn loads_at_both_ends_of_the_floats() {
    let subnormal = [1, 2, 3, 5, 0, 9].map(f64::from_bits);
    let certificate = unreplicated(&CanonicalLoads::new(&subnormal, 1, 6).unwrap(), 3);
    let sums = [3, 8, 9].map(f64::from_bits);
    assert_eq!(gpu_loads(&certificate), sums);
    assert_eq!(certificate.lower_bound_in_units(), f64::from_bits(9));
    let largest = [f64::MAX, f64::MAX, 1.0, 0.0];
    let certificate = unreplicated(&CanonicalLoads::new(&largest, 1, 4).unwrap(), 2);
    assert_eq!(gpu_loads(&certificate), [f64::INFINITY, 0.0]);
    assert_eq!(certificate.lower_bound_in_units(), f64::INFINITY);
}

/// A certificate need not be true, but its figures are no false comfort.
#[test]
fn a_gap_to_no_bound_is_infinite() {
    for (loads, gap) in [([1, 2], f64::INFINITY), ([0, 0], 0.0)] {
        let mut certificate = unreplicated(&canonical(&loads, 2), 2);
        certificate.lower_bound = 0;
        assert_eq!(certificate.gap(), gap);
    }
}

#[test]
fn gpu_loads_under_other_loads() {
    let mut stream = SplitMix64(5);
    for kind in 0..300 {
        let sizes = sizes(&mut stream);
        let experts = sizes.num_experts as usize;
        let made_for = canonical(&loads(&mut stream, kind, 2, experts), experts);
        let other = canonical(&loads(&mut stream, kind + 7, 2, experts), experts);
        let plan = plan(&made_for, &sizes, Policy::Adaptive);
        let certificate = certify(&plan, &other).unwrap();
        let gpu_slots = (sizes.num_replicas / sizes.num_gpus) as usize;
        let gpu_load: Vec<u64> =
            certificate.layers.iter().flat_map(|layer| layer.gpu_load.clone()).collect();
        for (i, gpu) in plan.phy2log().chunks(gpu_slots).enumerate() {
            let layer = i / sizes.num_gpus as usize;
            let share = |&expert: &i64| {
                let copies = plan.logcnt()[layer * experts + expert as usize];
                packing_load(other.row(layer)[expert as usize].into(), copies as u128)
            };
            let carried: u128 = gpu.iter().map(share).sum();
            assert_eq!(u128::from(gpu_load[i]), carried);
        }
        for (layer, &exponent) in certificate.layers.iter().zip(other.exponents()) {
            assert_eq!(layer.max_load, *layer.gpu_load.iter().max().unwrap());
            assert_eq!(layer.gpu_load.len() as u64, sizes.num_gpus);
            assert_eq!(layer.exponent, exponent);
        }
        assert_eq!(certificate.loads_sha256.get(), other.sha256());
        assert!(certificate.loads_sha256 == LoadsSha256::from(&other));
        assert!(certificate.loads_sha256 == other.sha256());
        let doubled = canonical(&[1, 2, 4, 8, 1000], 5);
        assert!(certificate.loads_sha256 != LoadsSha256::from(&doubled));
    }
}

#[test]
fn loads_of_another_shape_are_refused() {
    let sizes = global(3, 4, 2);
    let plan = plan(&canonical(&[1; 6], 3), &sizes, Policy::DeepSeek);
    for (layers, experts) in [(1, 3), (3, 3), (2, 4), (2, 2)] {
        let other = canonical(&vec![1; layers * experts], experts);
        let error = certify(&plan, &other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Load);
        let start = format!(
            "the loads have {layers} layers x {experts} experts, but the plan has 2 x 3; expected"
        );
        assert!(error.to_string().starts_with(&start), "{error}");
    }
}

#[test]
fn numbers_of_strangers_do_not_panic() {
    let loads = canonical(&[3, 1, 1, 5], 4);
    let honest = unreplicated(&loads, 2);
    for exponent in [i32::MIN, i32::MIN + 1, -3000, 3000, i32::MAX - 1, i32::MAX] {
        let mut strange = honest.clone();
        strange.exponent = exponent;
        let expected = if exponent < 0 { f64::INFINITY } else { 0.0 };
        assert_eq!(gpu_loads(&strange), [expected; 2], "2^{exponent}");
        assert_eq!(strange.lower_bound_in_units(), expected, "2^{exponent}");
    }
    let mut strange = honest.clone();
    strange.gpu_load = vec![];
    assert_eq!(gpu_loads(&strange), [0.0; 0]);
    assert_eq!(strange.balancedness(), 0.0);
    let mut strange = honest;
    strange.gpu_load = vec![u64::MAX; 2];
    strange.max_load = 1;
    strange.lower_bound = u64::MAX;
    assert!(strange.balancedness() > 1e18);
    assert_eq!(strange.gap(), 0.0);
}
