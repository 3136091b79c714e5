//! Any bits of any type as canonical loads: those of the naive reference, or the right refusal.

use std::fmt::Display;

use eplb_core::{Bf16, CanonicalLoads, F16, Load, Place};

use super::Bytes;
use super::reference::{self, Exact};

/// Layers and experts.
type Shape = (usize, usize);

/// Reads a table of loads of any shape.
pub(crate) fn check(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let kind = bytes.below(15);
    let (layers, experts) = (1 + bytes.below(4) as usize, 1 + bytes.below(255) as usize);
    let Some(loads) = read(kind, &mut bytes, layers, experts) else {
        return;
    };
    for layer in 0..layers {
        let total: u64 = loads.row(layer).iter().sum();
        assert!(total < (1 << 40) + (1 << 14), "{total}");
        // What is canonical stays as it is.
        let again = CanonicalLoads::new(loads.row(layer), 1, experts).expect("integers are loads");
        if (1 << 39..1 << 40).contains(&total) {
            assert_eq!((again.row(0), again.exponents()), (loads.row(layer), &[0][..]));
        }
    }
}

/// Reads loads of one of 15 kinds, if they are loads; fails unless they, or what is said of those
/// that are none, is right.
pub(crate) fn read(
    kind: u64,
    bytes: &mut Bytes<'_>,
    layers: usize,
    experts: usize,
) -> Option<CanonicalLoads> {
    let shape = (layers, experts);
    match kind {
        0 => integers(bytes, shape, u8::from_le_bytes),
        1 => integers(bytes, shape, u16::from_le_bytes),
        2 => integers(bytes, shape, u32::from_le_bytes),
        3 => integers(bytes, shape, u64::from_le_bytes),
        4 => integers(bytes, shape, i8::from_le_bytes),
        5 => integers(bytes, shape, i16::from_le_bytes),
        6 => integers(bytes, shape, i32::from_le_bytes),
        7 => integers(bytes, shape, i64::from_le_bytes),
        8 => floats(bytes, shape, f32::from_le_bytes, |x| x),
        9 => floats(bytes, shape, f64::from_le_bytes, |x| x),
        10 => {
            let half = |bytes| F16(u16::from_le_bytes(bytes));
            floats(bytes, shape, half, |x| reference::half(x.0))
        }
        11 => {
            let bfloat = |bytes| Bf16(u16::from_le_bytes(bytes));
            floats(bytes, shape, bfloat, |x| reference::bfloat(x.0))
        }
        // Few values: ties. Hot experts: many copies.
        12 => integers(bytes, shape, |[byte]| byte % 4),
        13 => integers(bytes, shape, |[byte]| 1_u64 << (byte % 64)),
        _ => integers(bytes, shape, |[byte]| (1_u64 << 40) - u64::from(byte)),
    }
}

fn integers<const N: usize, T: Load + TryInto<u64>>(
    bytes: &mut Bytes<'_>,
    shape: Shape,
    from: impl Fn([u8; N]) -> T,
) -> Option<CanonicalLoads> {
    let exact = |x: T| match x.try_into() {
        Ok(x) => Ok((x, 0)),
        Err(_) => Err(x.to_string()),
    };
    of_type(bytes, shape, from, exact)
}

fn floats<const N: usize, T: Load, F: Into<f64> + Copy + Display>(
    bytes: &mut Bytes<'_>,
    shape: Shape,
    from: impl Fn([u8; N]) -> T,
    value: impl Fn(T) -> F,
) -> Option<CanonicalLoads> {
    let exact = |x: T| match value(x).into() {
        float if float.is_finite() && float >= 0.0 => Ok(reference::exact(float)),
        _ => Err(value(x).to_string()),
    };
    of_type(bytes, shape, from, exact)
}

/// Reads loads `from` bytes, which have an `exact` value or else are refused by this text.
fn of_type<const N: usize, T: Load>(
    bytes: &mut Bytes<'_>,
    (layers, experts): Shape,
    from: impl Fn([u8; N]) -> T,
    exact: impl Fn(T) -> Result<Exact, String>,
) -> Option<CanonicalLoads> {
    let loads: Vec<T> = (0..layers * experts).map(|_| from(bytes.array())).collect();
    let canonical = CanonicalLoads::new(&loads, layers, experts);
    let mut values = Vec::new();
    for (at, &load) in loads.iter().enumerate() {
        match exact(load) {
            Ok(value) => values.push(value),
            Err(value) => {
                let (layer, expert) = (at / experts, at % experts);
                let error = canonical.expect_err("this is no load");
                assert_eq!(error.place(), Place::expert(layer, expert));
                assert!(error.to_string().contains(&format!("the load is {value};")), "{error}");
                return None;
            }
        }
    }
    let canonical = canonical.expect("all loads are finite and not negative");
    for (layer, row) in values.chunks(experts).enumerate() {
        let (row, exponent) = reference::canonical(row);
        assert_eq!(canonical.row(layer), row);
        assert_eq!(canonical.exponents()[layer], exponent);
    }
    Some(canonical)
}
