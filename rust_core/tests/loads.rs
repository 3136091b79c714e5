//! Canonical loads against the naive reference, for every type of number.

mod problems;
mod reference;

use eplb_core::{Bf16, CanonicalLoads, Error, ErrorKind, F16, Load, MAX_EXPERTS, Place};
use problems::SplitMix64;
use reference::{Exact, bfloat, exact, half};

/// Fails unless crate and reference make the same integers of a row.
fn assert_canonical<T: Load + std::fmt::Debug>(row: &[T], exact: impl Fn(T) -> Exact) {
    let loads = CanonicalLoads::new(row, 1, row.len()).unwrap();
    let (canonical, exponent) =
        reference::canonical(&row.iter().map(|&x| exact(x)).collect::<Vec<_>>());
    assert_eq!(loads.row(0), canonical, "{row:?}");
    assert_eq!(loads.exponents(), [exponent], "{row:?}");
}

/// A row of bit patterns below `end`: of all magnitudes, of one magnitude, and mixed
/// with zeros.
fn patterns(stream: &mut SplitMix64, end: u64) -> Vec<u64> {
    let kind = stream.below(4);
    let base = stream.below(end);
    (0..stream.up_to(12))
        .map(|_| match kind {
            0 => stream.below(end),
            1 => base.saturating_add(stream.below(1 + end / 64)).min(end - 1),
            2 => stream.below(end) >> stream.below(64),
            _ => stream.below(end) * stream.below(2),
        })
        .collect()
}

macro_rules! assert_type {
    ($stream:expr, $end:expr, $from:expr, $exact:expr) => {
        for _ in 0..4000 {
            let row: Vec<_> = patterns($stream, $end).into_iter().map($from).collect();
            assert_canonical(&row, $exact);
        }
    };
}

#[test]
fn integers_of_every_type() {
    let mut stream = SplitMix64(1);
    assert_type!(&mut stream, 1 << 8, |x| x as u8, |x| (x as u64, 0));
    assert_type!(&mut stream, 1 << 16, |x| x as u16, |x| (x as u64, 0));
    assert_type!(&mut stream, 1 << 32, |x| x as u32, |x| (x as u64, 0));
    assert_type!(&mut stream, u64::MAX, |x| x + 1, |x| (x, 0));
    assert_type!(&mut stream, 1 << 7, |x| x as i8, |x| (x as u64, 0));
    assert_type!(&mut stream, 1 << 15, |x| x as i16, |x| (x as u64, 0));
    assert_type!(&mut stream, 1 << 31, |x| x as i32, |x| (x as u64, 0));
    assert_type!(&mut stream, 1 << 63, |x| x as i64, |x| (x as u64, 0));
}

#[test]
fn floats_of_every_type() {
    let mut stream = SplitMix64(2);
    assert_type!(&mut stream, 0x7ff0 << 48, f64::from_bits, exact);
    assert_type!(&mut stream, 0x7f80 << 16, |x| f32::from_bits(x as u32), |x| exact(x.into()));
    assert_type!(&mut stream, 0x7c00, |x| F16(x as u16), |x| exact(half(x.0).into()));
    assert_type!(&mut stream, 0x7f80, |x| Bf16(x as u16), |x| exact(bfloat(x.0).into()));
}

#[test]
fn every_half_is_printed_as_its_value() {
    for bits in 0..=u16::MAX {
        assert_eq!(F16(bits).to_string(), half(bits).to_string(), "F16 {bits:#06x}");
        assert_eq!(Bf16(bits).to_string(), bfloat(bits).to_string(), "Bf16 {bits:#06x}");
    }
}

#[test]
fn one_half_alone_and_beside_each_of_a_few() {
    for bits in 0..0x7c00 {
        for beside in [0, 1, 0x03ff, 0x0400, 0x3c00, 0x7bff] {
            assert_canonical(&[F16(bits), F16(beside)], |x| exact(half(x.0).into()));
        }
    }
    for bits in 0..0x7f80 {
        for beside in [0, 1, 0x007f, 0x0080, 0x3f80, 0x7f7f] {
            assert_canonical(&[Bf16(bits), Bf16(beside)], |x| exact(bfloat(x.0).into()));
        }
    }
}

fn canonical<T: Load>(row: &[T]) -> (Vec<u64>, i32) {
    let loads = CanonicalLoads::new(row, 1, row.len()).unwrap();
    (loads.row(0).to_vec(), loads.exponents()[0])
}

#[test]
fn halves_go_to_the_even_integer() {
    let (row, exponent) = canonical(&[1_u64 << 42, 3, 4, 5, 12, 20, 28, 36]);
    assert_eq!((row, exponent), (vec![1 << 39, 0, 0, 1, 2, 2, 4, 4], -3));
    let eighths =
        [4_398_046_511_104.0, 0.5, 4.0, 12.0, 11.999_999_999_999_998, 20.000_000_000_000_004];
    assert_eq!(canonical(&eighths).0, [1 << 39, 0, 0, 2, 1, 3]);
}

#[test]
fn counts_below_2_40_are_exact() {
    for total in [1_u64 << 39, (1 << 39) + 1, (1 << 40) - 1] {
        let row = [total - 1000, 0, 1, 999];
        assert_eq!(canonical(&row), (row.to_vec(), 0));
    }
    assert_eq!(canonical(&[3_u8, 0, 1]), (vec![3 << 37, 0, 1 << 37], 37));
}

#[test]
fn the_largest_loads() {
    // Just below 2^48 the sum of step (a) has 48 bits, and the load itself rounds up to 2^40.
    assert_eq!(canonical(&[(1_u64 << 48) - 1, 0]), (vec![1 << 40, 0], -8));
    assert_eq!(canonical(&[u64::MAX]), (vec![1 << 39], -25));
    assert_eq!(canonical(&[u64::MAX - 0xffff]), (vec![1 << 40], -24));
    assert_eq!(canonical(&[u64::MAX; 3]), (vec![1 << 38; 3], -26));
    assert_eq!(canonical(&[i64::MAX, 1]), (vec![1 << 39, 0], -24));
    assert_eq!(canonical(&[f64::MAX]), (vec![1 << 39], 39 - 1024));
    let most = vec![u64::MAX; MAX_EXPERTS as usize];
    assert_eq!(canonical(&most), (vec![1 << 25; most.len()], -39));
}

#[test]
fn powers_of_two_change_nothing() {
    let mut stream = SplitMix64(3);
    for _ in 0..300 {
        let bits = stream.up_to(52);
        let row: Vec<u64> =
            (0..stream.up_to(9)).map(|_| stream.next_u64() >> (64 - bits)).collect();
        let (expected, exponent) = canonical(&row);
        let shifted: Vec<u64> = row.iter().map(|&x| x << (64 - bits)).collect();
        assert_eq!(canonical(&shifted).0, expected);
        // These bits are subnormals: the same integers, times 2^-1074.
        let mut floats: Vec<f64> = row.iter().map(|&x| f64::from_bits(x)).collect();
        for scale in (-1074..=971).step_by(7) {
            let zeros = row.iter().all(|&x| x == 0);
            assert_eq!(
                canonical(&floats),
                (expected.clone(), if zeros { 0 } else { exponent - scale })
            );
            floats.iter_mut().for_each(double_seven_times);
        }
    }
}

#[allow(clippy::float_arithmetic, reason = "doubling is exact")]
fn double_seven_times(x: &mut f64) {
    *x *= 128.0;
}

#[test]
fn equal_values_of_all_types_are_equal() {
    for row in [[0_u8, 1, 2, 3], [0, 0, 0, 127], [64, 96, 100, 1], [0; 4]] {
        let expected = canonical(&row);
        assert_eq!(canonical(&row.map(|x| x as i8)), expected);
        assert_eq!(canonical(&row.map(u64::from)), expected);
        assert_eq!(canonical(&row.map(f32::from)), expected);
        assert_eq!(canonical(&row.map(f64::from)), expected);
        let upper = |x: f32| Bf16((x.to_bits() >> 16) as u16);
        assert_eq!(canonical(&row.map(f32::from).map(upper)), expected);
        let same = |x: u8| {
            F16((0..0x7c00).find(|&bits| half(bits).to_bits() == f32::from(x).to_bits()).unwrap())
        };
        assert_eq!(canonical(&row.map(same)), expected);
    }
}

#[test]
fn zeros_stay_zeros() {
    assert_eq!(canonical(&[0.0, -0.0]), (vec![0, 0], 0));
    assert_eq!(canonical(&[-0.0_f32, 1.0]), (vec![0, 1 << 39], 39));
    assert_eq!(canonical(&[F16(0x8000), F16(0)]), (vec![0, 0], 0));
    let loads = CanonicalLoads::new(&[0_i32, 0, 7, 0, 0, 0], 3, 2).unwrap();
    assert_eq!((loads.layers(), loads.experts()), (3, 2));
    assert_eq!(loads.row(1), [7 << 37, 0]);
    assert_eq!(loads.exponents(), [0, 37, 0]);
}

#[test]
fn what_is_below_2_to_the_minus_41_of_its_row_vanishes() {
    let tie: u64 = (1023 - 40) << 52; // 2^-40 of the total is half a canonical unit
    let row = [f64::from_bits(tie), f64::from_bits(tie + 1), f64::from_bits(1), 1.0];
    assert_eq!(canonical(&row), (vec![0, 1, 0, 1 << 39], 39));
}

fn error<T: Load>(loads: &[T], layers: usize, experts: usize) -> Error {
    CanonicalLoads::new(loads, layers, experts).unwrap_err()
}

/// Fails unless a bad load is named, printed as `value`: the first of several, wherever it is.
fn assert_refused<T: Load + PartialEq>(good: T, bad: T, value: &str) {
    for at in 3..6 {
        let mut loads = [good, good, good, good, good, good, bad, good, bad];
        loads[at] = bad;
        let (error, expert) = (error(&loads, 3, 3), at - 3);
        let expected = format!(
            "layer 1, expert {expert}: the load is {value}; expected a finite number that is not negative"
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.place(), Place::expert(1, expert));
    }
}

#[test]
fn bad_loads_are_named() {
    assert_refused(1, -1_i8, "-1");
    assert_refused(1, i16::MIN, "-32768");
    assert_refused(1, -7_i32, "-7");
    assert_refused(1, i64::MIN, "-9223372036854775808");
    for (bad, value) in [
        (f64::NAN, "NaN"),
        (-f64::NAN, "NaN"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (-0.5, "-0.5"),
        (-1e300, &(-1e300).to_string()),
    ] {
        assert_refused(1.0, bad, value);
    }
    assert_refused(1.0, f32::NAN, "NaN");
    assert_refused(1.0, f32::INFINITY, "inf");
    assert_refused(1.0, -2.5_f32, "-2.5");
    assert_refused(F16(0), F16(0x7c00), "inf");
    assert_refused(F16(0), F16(0xfc00), "-inf");
    assert_refused(F16(0), F16(0x7e00), "NaN");
    assert_refused(F16(0), F16(0xbc00), "-1");
    assert_refused(F16(0), F16(0xfbff), "-65504");
    assert_refused(Bf16(0), Bf16(0x7f80), "inf");
    assert_refused(Bf16(0), Bf16(0x7fc0), "NaN");
    assert_refused(Bf16(0), Bf16(0xbf80), "-1");
    assert_refused(f64::MAX, -f64::from_bits(1), &(-f64::from_bits(1)).to_string());
}

#[test]
fn loads_must_fill_their_table() {
    for (values, layers, experts) in [
        (0, 0, 0),
        (0, 0, 4),
        (0, 4, 0),
        (5, 0, 5),
        (5, 2, 3),
        (5, 1, 4),
        (0, usize::MAX, 2),
        (4, usize::MAX / 2 + 3, 2),
    ] {
        let refused = error(&vec![1_u8; values], layers, experts);
        assert_eq!(refused.kind(), ErrorKind::Load);
        let start = format!("{values} loads do not fill {layers} layers x {experts} experts");
        assert!(refused.to_string().starts_with(&start), "{refused}");
    }
}

#[test]
fn at_most_2_14_experts() {
    let most = MAX_EXPERTS as usize;
    assert!(CanonicalLoads::new(&vec![1_u8; most * 2], 2, most).is_ok());
    let refused = error(&vec![1_u8; most + 1], 1, most + 1);
    assert_eq!(refused.to_string(), "num_experts=16385 is too large; expected at most 16384");
}

/// Computed elsewhere.
#[test]
fn the_hash_of_loads_is_pinned() {
    let hash = CanonicalLoads::new(&[3, 0, 1, 0, 0, 9], 2, 3).unwrap().sha256();
    let expected = [
        0x3c, 0xb6, 0x24, 0xa1, 0xe8, 0xce, 0x54, 0xe2, 0xfc, 0x68, 0xba, 0xc6, 0x68, 0xd7, 0xd1,
        0xb6, 0xc8, 0x1b, 0x89, 0x77, 0xdc, 0x69, 0x50, 0x06, 0x29, 0xc2, 0xf1, 0xd4, 0xff, 0x05,
        0x75, 0xdd,
    ];
    assert_eq!(hash, expected);
}

#[test]
fn threads_change_neither_loads_nor_errors() {
    let (layers, experts) = (1 << 16, 5);
    let mut stream = SplitMix64(5);
    let mut loads: Vec<f64> =
        (0..layers * experts).map(|_| f64::from(stream.below(1000) as u32)).collect();
    let of =
        |loads: &[f64], threads| CanonicalLoads::new_on_threads(loads, layers, experts, threads);
    let alone = CanonicalLoads::new(&loads, layers, experts).unwrap();
    for threads in [0, 1, 2, 3, 8, usize::MAX] {
        assert_eq!(of(&loads, threads), Ok(alone.clone()), "{threads}");
    }
    // Of two faults, on threads of their own, the first is told.
    loads[layers * experts - 2] = f64::NAN;
    loads[7] = -1.0;
    for threads in [1, 2, 3] {
        let error = of(&loads, threads).unwrap_err();
        assert_eq!(error.place(), Place::expert(1, 2));
        assert!(error.to_string().contains("the load is -1;"), "{error}");
    }
}
