//! How the mix of domains changes from window to window.

use std::fmt;
use std::str::FromStr;

use super::distributions::normal;
use super::gamma::{Batches, gammas};
use super::splitmix::word;
use super::weights::powers_of_two;
use crate::error::{Error, unknown};

/// Most domains of a drift.
pub const MAX_DOMAINS: u64 = 64;

/// Binary places of the shares of a mix.
pub(super) const SHARE_PLACES: u32 = 20;

/// Windows of a block.
const BLOCK: u64 = 6;

/// Windows of a day.
const DAY: usize = 24;

/// `1/2 - 1/2 cos(2 pi t / 24)` in 16 binary places, for t from 0 to 12: how much of the mix is the
/// day's. The second half of the day is the first one backwards.
const DAYLIGHT: [u128; DAY / 2 + 1] = [
    0, 1_117, 4_390, 9_598, 16_384, 24_287, 32_768, 41_249, 49_152, 55_938, 61_146, 64_419, 65_536,
];

/// 1 / ln 2, in 30 binary places.
const LOG2_E: i64 = 1_549_082_005;

/// How traffic drifts: which mix of domains a window has. All layers see the same mix.
///
/// A load is that of a token of one domain or another, so the shares of the experts are mixed, not
/// their logarithms. The four are those with which planning over time was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// The logarithms of the shares walk: each is 98 % of what it was, and 0.3 of a normal number.
    Walk,
    /// One domain at a time for six windows, all in turn, again and again.
    Blocks,
    /// Between a mix of the night and one of the day, as a cosine with a period of 24 windows; the
    /// first window is midnight. Each mix is a Dirichlet number of alpha 0.5.
    DayNight,
    /// Another mix in each window: a Dirichlet number of alpha 0.2, most of it one domain or two.
    Redraw,
}

impl Drift {
    /// Every drift.
    pub const ALL: [Self; 4] = [Self::Walk, Self::Blocks, Self::DayNight, Self::Redraw];

    /// The name users give.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Walk => "walk",
            Self::Blocks => "blocks",
            Self::DayNight => "daynight",
            Self::Redraw => "redraw",
        }
    }

    /// The names of all drifts.
    #[must_use]
    pub fn names() -> [&'static str; Self::ALL.len()] {
        Self::ALL.map(Self::name)
    }

    /// The share of each domain in each of the first windows, in [`SHARE_PLACES`], in
    /// O(windows * domains). The mix of a window is the same whatever the number of windows.
    ///
    /// `key(index)` is the key of random numbers.
    pub(super) fn mixes(
        self,
        windows: u64,
        domains: usize,
        key: impl Fn(u64) -> u64,
    ) -> Vec<Vec<u64>> {
        match self {
            Self::Walk => walk(windows, domains, key),
            Self::Blocks => (0..windows)
                .map(|window| {
                    let block = (window / BLOCK) as usize % domains;
                    (0..domains).map(|domain| u64::from(domain == block) << SHARE_PLACES).collect()
                })
                .collect(),
            Self::DayNight => {
                let [night, day] = [0, 1].map(|index| dirichlet(5, domains, key(index)));
                (0..windows).map(|window| between(&night, &day, window)).collect()
            }
            Self::Redraw => (0..windows).map(|window| dirichlet(2, domains, key(window))).collect(),
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Drift {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|drift| drift.name() == name);
        found.ok_or_else(|| unknown("drift", name, &Self::names()))
    }
}

/// Shares whose logarithms walk; the first window has made one step from normal numbers.
fn walk(windows: u64, domains: usize, key: impl Fn(u64) -> u64) -> Vec<Vec<u64>> {
    let normals = |index| {
        let key = key(index);
        (0..domains as u64).map(move |domain| normal(word(key, domain)))
    };
    let mut logs: Vec<i64> = normals(0).collect();
    (1..=windows)
        .map(|step| {
            for (log, normal) in logs.iter_mut().zip(normals(step)) {
                *log = (*log * 98 + normal * 30).div_euclid(100);
            }
            let exponents: Vec<i64> = logs.iter().map(|log| (log * LOG2_E) >> 30).collect();
            shares(powers_of_two(&exponents).into_iter().map(u128::from).collect())
        })
        .collect()
}

/// A Dirichlet number of alpha `tenths / 10`.
fn dirichlet(tenths: u128, domains: usize, key: u64) -> Vec<u64> {
    // A gamma number is below 2^71, so the sum of 64 fits with room.
    shares(gammas(tenths, &mut Batches(key), domains))
}

/// The mix of a window, between those of the night and of the day.
fn between(night: &[u64], day: &[u64], window: u64) -> Vec<u64> {
    let hour = (window % DAY as u64) as usize;
    let light = DAYLIGHT[hour.min(DAY - hour)];
    let mixed = night.iter().zip(day).map(|(&night, &day)| {
        (u128::from(night) * ((1 << 16) - light) + u128::from(day) * light) >> 16
    });
    mixed.map(|share| share as u64).collect()
}

/// Amounts as shares of their sum, in [`SHARE_PLACES`], rounded down; equal ones if all are 0.
fn shares(amounts: Vec<u128>) -> Vec<u64> {
    let amounts =
        if amounts.iter().all(|&amount| amount == 0) { vec![1; amounts.len()] } else { amounts };
    let sum: u128 = amounts.iter().sum();
    amounts.into_iter().map(|amount| ((amount << SHARE_PLACES) / sum) as u64).collect()
}
