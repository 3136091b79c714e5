//! Canonical loads: each row of any number type becomes integers that sum to about 2^40.
//!
//! Equal values give equal integers, whatever their type; scaling a row by a power of two changes
//! nothing. There is no float arithmetic here: floats are taken apart by their bits, so a process
//! that flushes subnormals to zero gets the same integers.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Place, too_large};
use crate::kernel::threads::{share_out, worth};
use crate::limits::MAX_EXPERTS;
use crate::problem::number::Load;

/// The loads of a plan as integers, `[layers, experts]`, row after row.
///
/// Row i is `round(load * 2^exponents[i])`, to nearest, ties to even, with the exponent chosen so
/// that the row sums to about 2^40: token counts below 2^40 in total are exact. A row of zeros
/// stays zeros, with exponent 0. A load below about 2^-41 of its row's total becomes 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalLoads {
    layers: usize,
    experts: usize,
    // Shared by all clones, such as that of a certificate.
    values: Arc<Vec<u64>>,
    exponents: Arc<Vec<i32>>,
}

impl CanonicalLoads {
    /// Makes the canonical loads of `[layers, experts]` loads given row after row.
    ///
    /// # Errors
    /// The table is empty or not filled; there are more than [`MAX_EXPERTS`] experts; a load is
    /// negative, infinite or NaN: the first one is named.
    ///
    /// Time is linear in the number of loads.
    pub fn new<T: Load>(loads: &[T], layers: usize, experts: usize) -> Result<Self, Error> {
        Self::new_on_threads(loads, layers, experts, 1)
    }

    /// The same on up to so many threads (0 is as 1), if there are so many loads that it pays.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn new_on_threads<T: Load>(
        loads: &[T],
        layers: usize,
        experts: usize,
        threads: usize,
    ) -> Result<Self, Error> {
        if layers == 0 || experts == 0 || layers.checked_mul(experts) != Some(loads.len()) {
            return Err(unfilled(loads.len(), layers, experts));
        }
        if experts as u64 > MAX_EXPERTS {
            return Err(too_large("num_experts", experts as u64, MAX_EXPERTS));
        }
        let mut values = vec![0; loads.len()];
        let mut exponents = vec![Ok(0); layers];
        let threads = worth(threads, loads.len());
        let share = layers.div_ceil(threads);
        let shares = (loads.chunks(share * experts))
            .zip(values.chunks_mut(share * experts))
            .zip(exponents.chunks_mut(share));
        share_out(threads, shares, |((loads, values), exponents)| {
            let rows = loads.chunks_exact(experts).zip(values.chunks_exact_mut(experts));
            for ((row, canonical), exponent) in rows.zip(exponents) {
                *exponent = canonical_row(row, canonical);
            }
        });
        let exponents = (0..).zip(exponents).map(|(layer, exponent)| {
            exponent.map_err(|expert| {
                Error::text(
                    ErrorKind::Load,
                    format!("the load is {}", loads[layer * experts + expert]),
                )
                .at(Place::expert(layer, expert))
                .expected("a finite number that is not negative")
            })
        });
        let exponents: Vec<i32> = exponents.collect::<Result<_, _>>()?;
        Ok(Self { layers, experts, values: values.into(), exponents: exponents.into() })
    }

    /// Rows that are canonical already, `[layers, experts]`, with the exponent of each.
    pub(crate) fn from_canonical(values: Vec<u64>, exponents: Vec<i32>, experts: usize) -> Self {
        Self {
            layers: exponents.len(),
            experts,
            values: values.into(),
            exponents: exponents.into(),
        }
    }

    /// Number of layers.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Logical experts per layer.
    #[must_use]
    pub fn experts(&self) -> usize {
        self.experts
    }

    /// Whether these are loads of a model with so many layers and experts.
    pub(crate) fn check_shape(&self, layers: usize, experts: usize) -> Result<(), Error> {
        if self.layers == layers && self.experts == experts {
            return Ok(());
        }
        let problem = format!(
            "the loads have {} layers x {} experts, but the plan has {layers} x {experts}",
            self.layers, self.experts
        );
        Err(Error::text(ErrorKind::Load, problem).expected("loads of the same model"))
    }

    /// The canonical loads of a layer, `[experts]`.
    ///
    /// # Panics
    /// If there is no such layer.
    #[must_use]
    pub fn row(&self, layer: usize) -> &[u64] {
        &self.values[layer * self.experts..][..self.experts]
    }

    /// The exponent of each layer: canonical = round(load * 2^exponent).
    #[must_use]
    pub fn exponents(&self) -> &[i32] {
        &self.exponents
    }

    /// SHA-256 over a version tag, layers, experts (little-endian u32) and the canonical loads
    /// (little-endian u64): tells whether a certificate was made for these loads.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(b"eplb loads 1\n");
        hash.update((self.layers as u32).to_le_bytes());
        hash.update((self.experts as u32).to_le_bytes());
        // Row by row: number by number takes three times as long.
        let mut bytes = Vec::with_capacity(8 * self.experts);
        for row in self.values.chunks_exact(self.experts) {
            bytes.clear();
            bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
            hash.update(&bytes);
        }
        hash.finalize().into()
    }
}

fn unfilled(values: usize, layers: usize, experts: usize) -> Error {
    let problem = format!("{values} loads do not fill {layers} layers x {experts} experts");
    Error::text(ErrorKind::Load, problem)
        .expected("layers * experts loads, with at least one layer and one expert")
}

/// Fills `canonical` and returns the row's exponent, or the index of the first invalid load.
fn canonical_row<T: Load>(row: &[T], canonical: &mut [u64]) -> Result<i32, usize> {
    let (mut largest, mut valid) = (0, true);
    for (load, out) in row.iter().zip(canonical.iter_mut()) {
        let key = load.key();
        valid &= key.is_some();
        *out = key.unwrap_or(0);
        largest = largest.max(*out);
    }
    if !valid {
        return Err(row.iter().position(|load| load.key().is_none()).unwrap_or(0));
    }
    if largest == 0 {
        return Ok(0);
    }
    // 2^(e-1) <= largest load < 2^e
    let (mantissa, exponent) = T::decode(largest);
    let e = exponent + (u64::BITS - mantissa.leading_zeros()) as i32;
    // (a) and (b): an integer sum, so no order of summation can change the scale.
    let total: u64 = if T::INTEGER && e <= 48 {
        // At most 2^14 loads below 2^48. A sum that may not wrap is not vectorised.
        canonical.iter().fold(0_u64, |total, &key| total.wrapping_add(key)) << (48 - e)
    } else {
        canonical.iter().map(|&key| scaled::<T>(key, 48 - e)).sum()
    };
    // (c) from the load itself, so that nothing is rounded twice.
    let shift = 88 - e - (u64::BITS - total.leading_zeros()) as i32;
    if T::INTEGER && shift >= 0 {
        // Token counts: three times as fast.
        for value in canonical {
            *value <<= shift;
        }
    } else {
        for value in canonical {
            *value = scaled::<T>(*value, shift);
        }
    }
    Ok(shift)
}

/// `round(load * 2^shift)`, to nearest, ties to even, of the load with this key. The caller's
/// shift keeps the result below 2^49.
#[inline]
fn scaled<T: Load>(key: u64, shift: i32) -> u64 {
    let (mantissa, exponent) = T::decode(key);
    let shift = exponent + shift;
    if shift >= 0 {
        // The whole is below 2^49, so a shift of 64 or more can only meet a mantissa of zero.
        return mantissa.checked_shl(shift as u32).unwrap_or(0);
    }
    let right = shift.unsigned_abs();
    if right >= u64::BITS {
        // Only floats come here, whose mantissas are far below the half that would round up.
        return 0;
    }
    let (whole, rest) = (mantissa >> right, mantissa << (u64::BITS - right));
    let half = 1 << (u64::BITS - 1);
    whole + u64::from(rest > half || (rest == half && whole & 1 == 1))
}
