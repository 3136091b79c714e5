//! Certificates: every float against the fraction it stands for, loads under any other loads.

mod problems;
mod twin;

use eplb_core::{CanonicalLoads, Certificate, Error, LoadsSha256, Plan, Policy, SHARE_UNIT, Sizes};
use problems::{SplitMix64, canonical, global, loads, plan, policies, sizes, topology};
use twin::packing_load;

fn certify(loads: &CanonicalLoads, sizes: &Sizes, policy: Policy) -> Certificate {
    Certificate::new(&plan(loads, sizes, policy), loads).unwrap()
}

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
            let certificate = certify(&loads, &sizes, policy);
            let unit = u128::from(SHARE_UNIT);
            let gpus = sizes.num_gpus as usize;
            let in_units = certificate.gpu_load_in_units();
            for (i, (&load, &x)) in certificate.gpu_load.iter().zip(&in_units).enumerate() {
                let exponent = -loads.exponents()[i / gpus];
                assert!(is_nearest(x, load.into(), unit, exponent), "{load} {exponent} {x}");
            }
            let (bounds, gaps) = (certificate.lower_bound_in_units(), certificate.gap());
            let without_groups = certificate.bound_without_groups_in_units();
            assert_eq!([bounds.len(), without_groups.len(), gaps.len()], [3, 3, 3]);
            let balancedness = certificate.balancedness();
            for layer in 0..3 {
                let bound = u128::from(certificate.lower_bound[layer]);
                let max = u128::from(certificate.max_load[layer]);
                let of_layer = &certificate.gpu_load[layer * gpus..][..gpus];
                let total: u128 = of_layer.iter().map(|&load| u128::from(load)).sum();
                let exponent = -loads.exponents()[layer];
                assert!(is_nearest(bounds[layer], bound, unit, exponent));
                let bound_without_groups = certificate.bound_without_groups[layer].into();
                assert!(is_nearest(without_groups[layer], bound_without_groups, unit, exponent));
                if max == 0 {
                    assert_eq!((gaps[layer].to_bits(), bound), (0, 0));
                    assert_eq!(balancedness[layer].to_bits(), 1_f64.to_bits());
                } else {
                    assert!(is_nearest(gaps[layer], max - bound, bound, 0));
                    assert!(is_nearest(balancedness[layer], total, max * gpus as u128, 0));
                }
            }
        }
    }
}

/// A world whose GPU loads are the sums of neighbours.
fn unreplicated(loads: &CanonicalLoads, gpus: u64) -> Certificate {
    let experts = loads.experts() as u64;
    let topology = topology(&global(experts, experts, gpus));
    let phy2log: Vec<i64> = (0..experts as i64).collect();
    let plan = Plan::from_phy2log(&phy2log, topology).unwrap();
    Certificate::new(&plan, loads).unwrap()
}

#[test]
fn loads_at_both_ends_of_the_floats() {
    let subnormal = [1, 2, 3, 5, 0, 9].map(f64::from_bits);
    let certificate = unreplicated(&CanonicalLoads::new(&subnormal, 1, 6).unwrap(), 3);
    let sums = [3, 8, 9].map(f64::from_bits);
    assert_eq!(certificate.gpu_load_in_units(), sums);
    assert_eq!(certificate.lower_bound_in_units(), [f64::from_bits(9)]);
    let largest = [f64::MAX, f64::MAX, 1.0, 0.0];
    let certificate = unreplicated(&CanonicalLoads::new(&largest, 1, 4).unwrap(), 2);
    assert_eq!(certificate.gpu_load_in_units(), [f64::INFINITY, 0.0]);
    assert_eq!(certificate.lower_bound_in_units(), [f64::INFINITY]);
}

/// A certificate need not be true, but its figures are no false comfort.
#[test]
fn a_gap_to_no_bound_is_infinite() {
    for (loads, gap) in [([1, 2], f64::INFINITY), ([0, 0], 0.0)] {
        let mut certificate = unreplicated(&canonical(&loads, 2), 2);
        certificate.lower_bound.fill(0);
        assert_eq!(certificate.gap(), [gap]);
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
        let certificate = Certificate::new(&plan, &other).unwrap();
        let gpu_slots = (sizes.num_replicas / sizes.num_gpus) as usize;
        for (i, gpu) in plan.phy2log().chunks(gpu_slots).enumerate() {
            let layer = i / sizes.num_gpus as usize;
            let share = |&expert: &i64| {
                let copies = plan.logcnt()[layer * experts + expert as usize];
                packing_load(other.row(layer)[expert as usize].into(), copies as u128)
            };
            let carried: u128 = gpu.iter().map(share).sum();
            assert_eq!(u128::from(certificate.gpu_load[i]), carried);
        }
        for (layer, gpus) in certificate.gpu_load.chunks(sizes.num_gpus as usize).enumerate() {
            assert_eq!(certificate.max_load[layer], *gpus.iter().max().unwrap());
        }
        assert_eq!(certificate.loads_sha256.get(), other.sha256());
        assert!(certificate.loads_sha256 == LoadsSha256::from(&other));
        assert!(certificate.loads_sha256 == other.sha256());
        let doubled = canonical(&[1, 2, 4, 8, 1000], 5);
        assert!(certificate.loads_sha256 != LoadsSha256::from(&doubled));
        assert_eq!(certificate.exponents, other.exponents());
        assert_eq!(certificate.num_gpus as u64, sizes.num_gpus);
    }
}

#[test]
fn loads_of_another_shape_are_refused() {
    let sizes = global(3, 4, 2);
    let plan = plan(&canonical(&[1; 6], 3), &sizes, Policy::DeepSeek);
    for (layers, experts) in [(1, 3), (3, 3), (2, 4), (2, 2)] {
        let other = canonical(&vec![1; layers * experts], experts);
        let error = Certificate::new(&plan, &other).unwrap_err();
        assert!(matches!(error, Error::LoadMismatch { .. }));
        let start = format!(
            "the loads are {layers} layers x {experts} experts, but the plan is 2 layers x 3 experts"
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
        strange.exponents = vec![exponent];
        let expected = if exponent < 0 { f64::INFINITY } else { 0.0 };
        assert_eq!(strange.gpu_load_in_units(), [expected; 2], "2^{exponent}");
        assert_eq!(strange.lower_bound_in_units(), [expected], "2^{exponent}");
    }
    let mut strange = honest.clone();
    strange.num_gpus = 0;
    assert_eq!(strange.balancedness().len(), 1);
    strange.gpu_load = vec![];
    assert!(strange.gpu_load_in_units().is_empty());
    assert!(strange.balancedness().is_empty());
    let mut strange = honest;
    strange.gpu_load = vec![u64::MAX; 2];
    strange.max_load = vec![1];
    strange.lower_bound = vec![u64::MAX];
    assert_eq!(strange.balancedness().len(), 1);
    assert_eq!(strange.gap(), [0.0]);
}
