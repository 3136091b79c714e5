//! Seven textbook distributions of loads, for benchmarks and tests of quality.

use std::fmt;
use std::str::FromStr;

use super::distributions::PLACES as NORMAL_PLACES;
use super::fixed_point::{LOG2_E, exp2, log2, quotient};
use super::gamma::{Batches, exponentials, gammas};
use super::splitmix::word;
use crate::error::{Error, out_of_range, unknown};
use crate::limits::MAX_EXPERTS;

/// Most layers of [`Family::loads`].
pub const MAX_FAMILY_LAYERS: u64 = 64;

/// The largest seed of [`Family::loads`].
pub const MAX_FAMILY_SEED: u64 = (1 << 38) - 1;

/// Expected tokens of a layer.
const TOKENS: u128 = 1_000_000;

/// A distribution of loads over the experts of a layer, without regard to any model.
///
/// A layer has about a million tokens: the weights of the experts, scaled to that sum, with noise
/// of the deviation of a Poisson number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Log-normal weights of sigma 0.5: typical of mixed traffic.
    LogNormal05,
    /// Log-normal weights of sigma 1.
    LogNormal1,
    /// Log-normal weights of sigma 1.5: extreme.
    LogNormal15,
    /// Weights `rank^-0.8` with 10 % of log-normal noise.
    Zipf08,
    /// Weights `rank^-1.2` with 10 % of log-normal noise.
    Zipf12,
    /// Dirichlet weights of alpha 0.3: few hot experts, many nearly idle ones.
    Dirichlet03,
    /// Dirichlet weights of alpha 1: uniform over all ways to share.
    Dirichlet1,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 7] = [
        Self::LogNormal05,
        Self::LogNormal1,
        Self::LogNormal15,
        Self::Zipf08,
        Self::Zipf12,
        Self::Dirichlet03,
        Self::Dirichlet1,
    ];

    /// The name users give.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LogNormal05 => "lognormal 0.5",
            Self::LogNormal1 => "lognormal 1",
            Self::LogNormal15 => "lognormal 1.5",
            Self::Zipf08 => "zipf 0.8",
            Self::Zipf12 => "zipf 1.2",
            Self::Dirichlet03 => "dirichlet 0.3",
            Self::Dirichlet1 => "dirichlet 1",
        }
    }

    /// The names of all families.
    #[must_use]
    pub fn names() -> [&'static str; Self::ALL.len()] {
        Self::ALL.map(Self::name)
    }

    /// Draws loads, `[layers, experts]`, in O(loads). A layer is the same whatever the number of
    /// layers.
    ///
    /// # Errors
    ///
    /// An argument is out of range; the error names it, its value and what is accepted.
    pub fn loads(self, layers: u64, experts: u64, seed: u64) -> Result<Vec<u64>, Error> {
        for (name, value, fewest, most) in [
            ("layers", layers, 1, MAX_FAMILY_LAYERS),
            ("experts", experts, 1, MAX_EXPERTS),
            ("seed", seed, 0, MAX_FAMILY_SEED),
        ] {
            if !(fewest..=most).contains(&value) {
                let expected = format!("{fewest} to {most}");
                return Err(out_of_range(name, value, expected));
            }
        }
        // Of 64 families, 64 layers and 2^14 numbers of experts.
        let first = (seed * 64 + self as u64) << 20 | (experts - 1);
        let row = |layer: u64| self.row(Batches(word(0, first + (layer << 14))), experts as usize);
        Ok((0..layers).flat_map(row).collect())
    }

    fn row(self, mut batches: Batches, experts: usize) -> Vec<u64> {
        let weights = self.weights(&mut batches, experts);
        let total = weights.iter().sum::<u128>().max(1);
        let noise = batches.normals(experts);
        weights.into_iter().zip(noise).map(|(weight, noise)| load(weight, total, noise)).collect()
    }

    /// Weights of the experts, in [`PLACES`]. Parameters are in tenths.
    fn weights(self, batches: &mut Batches, experts: usize) -> Vec<u128> {
        match self {
            Self::LogNormal05 => log_normal(5, batches, experts),
            Self::LogNormal1 => log_normal(10, batches, experts),
            Self::LogNormal15 => log_normal(15, batches, experts),
            Self::Zipf08 => zipf(8, batches, experts),
            Self::Zipf12 => zipf(12, batches, experts),
            Self::Dirichlet03 => gammas(3, batches, experts),
            Self::Dirichlet1 => exponentials(batches, experts),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Family {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|family| family.name() == name);
        found.ok_or_else(|| unknown("family", name, &Self::ALL.map(Self::name)))
    }
}

/// `tenths / 10 * number` of a normal number, as a logarithm to base 2, in [`LOG_PLACES`].
fn log2_of_exp(tenths: i128, number: i64) -> i128 {
    ((tenths * i128::from(number) * LOG2_E) >> NORMAL_PLACES) / 10
}

fn log_normal(sigma: i128, batches: &mut Batches, experts: usize) -> Vec<u128> {
    let normals = batches.normals(experts).into_iter();
    normals.map(|number| exp2(log2_of_exp(sigma, number))).collect()
}

/// `rank^-exponent` with 10 % of log-normal noise; ranks are in random order.
fn zipf(exponent: i128, batches: &mut Batches, experts: usize) -> Vec<u128> {
    let words = batches.words(experts);
    let mut ranks: Vec<usize> = (0..experts).collect();
    ranks.sort_by_key(|&expert| words[expert]);
    let noise = batches.normals(experts);
    let weight = |(rank, noise): (usize, i64)| {
        exp2(log2_of_exp(1, noise) - exponent * log2(rank as u64 + 1) / 10)
    };
    ranks.into_iter().zip(noise).map(weight).collect()
}

/// The load of an expert: its share of the tokens, with noise, rounded half to even.
fn load(weight: u128, total: u128, noise: i64) -> u64 {
    const MEAN_PLACES: u32 = 60;
    const ROOT_PLACES: u32 = 50;
    const SUM_PLACES: u32 = ROOT_PLACES + NORMAL_PLACES;
    let mean = quotient(weight * TOKENS, total, MEAN_PLACES);
    let deviation = (mean << (2 * ROOT_PLACES - MEAN_PLACES)).isqrt();
    let sum = (mean << (SUM_PLACES - MEAN_PLACES)) as i128 + deviation as i128 * i128::from(noise);
    let (whole, half) = (sum >> SUM_PLACES, 1 << (SUM_PLACES - 1));
    let rest = sum - (whole << SUM_PLACES);
    let up = rest > half || (rest == half && whole & 1 == 1);
    (whole + i128::from(up)).max(0) as u64
}
