//! What planning makes small: the sum of the eighth powers of all GPU loads in all rows.
//!
//! The eighth power is near the maximum, but counts every busy GPU. Loads are integers with 16 bits
//! after the point: the mean GPU has load 2^16 * weight^(1/8) in a row, so that the eighth powers
//! count by the weight. `shift` halves all loads so often that no sum overflows; see [`Objective`].

use std::array::from_fn;

use crate::problem::history::layer::{LayerHistory, SHARE_BITS};

/// One number for each row; rows that a history lacks are zeros, which change nothing.
pub(crate) type Cells<const N: usize> = [u32; N];

/// A load beyond this is too large for [`power`].
pub(crate) const LOAD_BITS: u32 = 20;

/// `x^8 / 2^112`, rounded down after each squaring: 2^16 for the mean GPU. Takes x below 2^20 and is
/// below 2^48; it never falls as x rises.
#[inline]
pub(crate) fn power(x: u32) -> u64 {
    let low = |x: u64| u64::from(x as u32); // tells the compiler that 32 bits are enough
    let second = low((u64::from(x) * u64::from(x)) >> 16);
    let fourth = low((second * second) >> 16);
    (fourth * fourth) >> 16
}

/// The slope of [`power`] but for a constant: `x^7 / 2^96`, below 2^44 for x below 2^20.
#[inline]
pub(crate) fn slope(x: u32) -> u64 {
    let low = |x: u64| u64::from(x as u32);
    let second = low((u64::from(x) * u64::from(x)) >> 16);
    let third = low((second * u64::from(x)) >> 16);
    let fourth = low((second * second) >> 16);
    (fourth * third) >> 16
}

/// The slopes of a GPU with these loads. See [`potential`] for why this is on its own.
#[inline(never)]
pub(crate) fn write_slopes(load: &[u32], slopes: &mut [u64]) {
    for (slope_here, &x) in slopes.iter_mut().zip(load) {
        *slope_here = slope(x);
    }
}

/// The potential of a GPU with these loads: the sum of their powers.
///
/// On its own and for any number of rows: compilers make vector instructions of this loop, while they
/// write out one of a known length load by load.
#[inline(never)]
pub(crate) fn potential(load: &[u32]) -> u64 {
    load.iter().fold(0, |sum: u64, &x| sum.wrapping_add(power(x)))
}

/// The bits of all loads: none is above them.
#[inline]
pub(crate) fn bits<const N: usize>(load: &Cells<N>) -> u32 {
    load.iter().fold(0, |bits, &x| bits | x)
}

/// The same for loads of any size: it rises by 2^26 per unit beyond the range of [`power`].
#[inline]
pub(crate) fn potential_of_any<const N: usize>(load: &Cells<N>) -> u64 {
    if bits(load) >> LOAD_BITS == 0 {
        return potential(load);
    }
    let most = (1 << LOAD_BITS) - 1;
    load.iter().map(|&x| power(x.min(most)) + (u64::from(x.saturating_sub(most)) << 26)).sum()
}

/// The load of one of `replicas` replicas: the load times the reciprocal of their number, which is
/// rounded up.
#[inline]
pub(crate) fn share<const N: usize>(load: &Cells<N>, replicas: u32) -> Cells<N> {
    // Most experts have one replica, and a division takes as long as a row.
    if replicas <= 1 {
        return *load;
    }
    let mut share = [0; N];
    write_parts(load, u32::MAX / replicas + 1, &mut share);
    share
}

/// Loads times this in 2^-32. See [`potential`] for why this is on its own.
#[inline(never)]
fn write_parts(load: &[u32], part: u32, parts: &mut [u32]) {
    for (part_here, &x) in parts.iter_mut().zip(load) {
        *part_here = ((u64::from(x) * u64::from(part)) >> 32) as u32;
    }
}

/// A sum. All loads of a row are below 2^32 together: it fits, but for what wrapped in [`less`].
#[inline]
pub(crate) fn plus<const N: usize>(a: &Cells<N>, b: &Cells<N>) -> Cells<N> {
    from_fn(|row| a[row].wrapping_add(b[row]))
}

/// A difference. Below 0 it wraps, and wraps back in a sum that is not.
#[inline]
pub(crate) fn less<const N: usize>(a: &Cells<N>, b: &Cells<N>) -> Cells<N> {
    from_fn(|row| a[row].wrapping_sub(b[row]))
}

/// 2^16 * (weight / 65536)^(1/8), rounded down in each root. Below 2^18 for a weight below 2^32.
fn scale(weight: u64) -> u64 {
    4 * (u128::from(weight) << 96).isqrt().isqrt().isqrt() as u64
}

/// The loads of every expert in the rows of a history.
#[derive(Debug, Clone)]
pub(crate) struct Objective<const N: usize> {
    /// The load of each expert if it had one replica, `[experts]`, before the shift.
    cells: Vec<[u64; N]>,
    /// The bits of all of these: none is above them.
    bits: u64,
    /// The loads of a row are no more than this together.
    most: u64,
}

impl<const N: usize> Objective<N> {
    /// The rows of a history with these weights. The mean of `gpus` GPUs has the scale of the row.
    pub(crate) fn new(history: &LayerHistory, weights: &[u64], gpus: usize) -> Self {
        let experts = history.rows().first().map_or(0, Vec::len);
        let mut cells = vec![[0; N]; experts];
        let (mut bits, mut most) = (0, 0);
        for (index, (row, &weight)) in history.rows().iter().zip(weights).enumerate() {
            // Below 2^38: GPUs are 2^20 at most.
            let scale = scale(weight) * gpus as u64;
            most = most.max(scale);
            let cells = cells.iter_mut().map(|cells| &mut cells[index]).zip(row);
            if scale >> 32 == 0 {
                let scale = u64::from(scale as u32);
                cells.for_each(|(cell, &share)| {
                    *cell = (u64::from(share) * scale) >> SHARE_BITS;
                    bits |= *cell;
                });
            } else {
                let load = |share| ((u128::from(share) * u128::from(scale)) >> SHARE_BITS) as u64;
                cells.for_each(|(cell, &share)| {
                    *cell = load(share);
                    bits |= *cell;
                });
            }
        }
        Self { cells, bits, most }
    }

    /// The loads of all experts, halved `shift` times.
    pub(crate) fn shifted(&self, shift: u32) -> Vec<Cells<N>> {
        self.cells.iter().map(|cells| cells.map(|x| (x >> shift) as u32)).collect()
    }

    /// The loads of groups of so many consecutive experts.
    pub(crate) fn sums(&self, group_size: usize) -> Self {
        let sum = |group: &[[u64; N]]| {
            group.iter().fold([0; N], |sum, cells| from_fn(|row| sum[row] + cells[row]))
        };
        let cells: Vec<_> = self.cells.chunks_exact(group_size).map(sum).collect();
        let bits = cells.as_flattened().iter().fold(0, |bits, &cell| bits | cell);
        Self { cells, bits, most: self.most }
    }

    /// The fewest halvings for which every expert's load is below 2^18 for each of its replicas, and
    /// all loads of a row are below 2^32 together: so is what a GPU can get, whoever has how many
    /// replicas.
    pub(crate) fn shift_of_shares(&self, replicas: &[u32]) -> u32 {
        let mut shift = 0;
        // Mostly no expert is so heavy.
        let replicas = if self.bits >> 18 == 0 { &[] } else { replicas };
        for (cells, &replicas) in self.cells.iter().zip(replicas) {
            let limit = u64::from(replicas.max(1)) << 18;
            // No cell is above their union, which vector instructions make.
            if cells.iter().fold(0, |union, &cell| union | cell) >> shift < limit {
                continue;
            }
            let largest = cells.iter().copied().max().unwrap_or(0);
            while largest >> shift >= limit {
                shift += 1;
            }
        }
        if self.most >> shift >= 1 << 32 {
            let add = |sum: [u64; N], cells: &[u64; N]| from_fn(|row| sum[row] + cells[row]);
            let together = self.cells.iter().fold([0; N], add);
            while together.iter().any(|&sum| sum >> shift >= 1 << 32) {
                shift += 1;
            }
        }
        shift
    }
}

/// The mean share of an expert in the history plus 5/8 of its standard deviation: what replicas are
/// given by on a cold plan. Time O(rows).
pub(crate) fn mean_and_deviation(history: &LayerHistory, weights: &[u64]) -> impl Fn(u16) -> u64 {
    let total = u128::from(weights.iter().sum::<u64>().max(1));
    let rows = move || history.rows().iter().zip(weights);
    move |expert: u16| {
        let expert = expert as usize;
        let weighted = |value: u64, weight: u64| u128::from(value) * u128::from(weight);
        let mean = rows().map(|(row, &weight)| weighted(u64::from(row[expert]), weight));
        let mean = (mean.sum::<u128>() / total) as u64;
        let squares = rows().map(|(row, &weight)| {
            let difference = u64::from(row[expert]).abs_diff(mean);
            weighted(difference * difference, weight)
        });
        let variance = (squares.sum::<u128>() / total) as u64;
        mean + variance.isqrt() * 5 / 8
    }
}
