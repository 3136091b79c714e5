//! The names of the policies, and their options.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, parameter, unknown};
use crate::problem::number::Load;
use crate::problem::topology::Topology;

/// How replicas are given and placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// DeepSeek's published algorithm: Adams' method, greedy packing. For equal GPUs, as is the next one.
    DeepSeek,
    /// The baseline of this project: Adams' method with another rule for the last replicas, greedy
    /// packing, swaps.
    Adaptive,
    /// The least largest GPU load that a search finds, or load by speed if GPUs are not equal; no two
    /// replicas of an expert on one GPU. Plans every cluster.
    Minimax,
    /// For the windows to come: the least sum of eighth powers of GPU loads in all rows of a history
    /// that a search finds, no two replicas of an expert on one GPU. Plans every cluster.
    MultiWindow,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 4] = [Self::DeepSeek, Self::Adaptive, Self::Minimax, Self::MultiWindow];

    /// The name users give.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DeepSeek => "deepseek",
            Self::Adaptive => "adaptive",
            Self::Minimax => "minimax",
            Self::MultiWindow => "multiwindow",
        }
    }

    /// Whether an effort and a target gap are options of this policy.
    #[must_use]
    pub fn has_effort(self) -> bool {
        matches!(self, Self::Minimax)
    }

    /// Whether this policy plans from a history of several windows.
    #[must_use]
    pub fn plans_histories(self) -> bool {
        matches!(self, Self::MultiWindow)
    }

    /// The names of all policies.
    #[must_use]
    pub fn names() -> [&'static str; Self::ALL.len()] {
        Self::ALL.map(Self::name)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Policy {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.name() == name)
            .ok_or_else(|| unknown("policy", name, &Self::names()))
    }
}

/// How long [`Policy::Minimax`] searches (see [`Policy::has_effort`]), in operations: the answer is the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Effort {
    /// Greedy packing and a few moves. With one group it is never worse than [`Policy::DeepSeek`],
    /// unless that puts two replicas of an expert on one GPU.
    Fast,
    /// For a planner in a serving loop.
    #[default]
    Default,
    /// For planning offline.
    Best,
}

impl Effort {
    /// Every effort, least first.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Default, Self::Best];

    /// The name users give.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Default => "default",
            Self::Best => "best",
        }
    }

    /// The names of all efforts.
    #[must_use]
    pub fn names() -> [&'static str; Self::ALL.len()] {
        Self::ALL.map(Self::name)
    }

    /// The default gap to the lower bound at which the search of a layer stops: 0 for
    /// [`Self::Best`], otherwise 0.05 %. With more than 64 slots it is 0.1 % at 6 or 7 slots per GPU,
    /// 0.25 % at 5, 0.5 % at fewer, and for [`Self::Fast`] with one group at least 0.25 %.
    ///
    /// The fewer slots, the fewer ways to fill a GPU up evenly: what a few exchanges reach with eight
    /// slots takes ten times as long with five. Small problems take no time in any case.
    #[must_use]
    pub fn target_gap(self, topology: &Topology) -> f64 {
        let topology = topology.in_use().unwrap_or(topology);
        let small = topology.cluster().used_slots() <= 64;
        // With groups `deepseek` may be better within a wider target, and to look takes as long as
        // to search on.
        let fast = self == Self::Fast && topology.groups() == 1;
        match (self, topology.slots_per_gpu()) {
            (Self::Best, _) => 0.0,
            (_, 0..=4) if !small => 0.005,
            (_, 5) if !small => 0.0025,
            _ if fast && !small => 0.0025,
            (_, 6 | 7) if !small => 0.001,
            _ => 0.0005,
        }
    }
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Effort {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|effort| effort.name() == name)
            .ok_or_else(|| unknown("effort", name, &Self::names()))
    }
}

/// A policy and its options. A policy alone has the default options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The policy.
    pub policy: Policy,
    /// For [`Policy::Minimax`]; the published policies know no effort.
    pub effort: Effort,
    /// For [`Policy::Minimax`]: the gap at which the search of a layer stops; finite, not negative.
    /// By default [`Effort::target_gap`].
    pub target_gap: Option<f64>,
}

impl Options {
    /// [`Policy::Minimax`] with this effort and its target gap.
    #[must_use]
    pub fn minimax(effort: Effort) -> Self {
        Self { policy: Policy::Minimax, effort, target_gap: None }
    }
}

impl From<Policy> for Options {
    fn from(policy: Policy) -> Self {
        Self { policy, ..Self::minimax(Effort::Default) }
    }
}

/// A gap to a lower bound, exactly: `mantissa * 2^exponent`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gap {
    mantissa: u64,
    exponent: i32,
}

impl Gap {
    pub(crate) const ZERO: Self = Self { mantissa: 0, exponent: 0 };

    /// The gap that a float stands for, if that is finite and not negative.
    pub(crate) fn new(gap: f64) -> Result<Self, Error> {
        let key = gap.key().ok_or_else(|| {
            Error::new(ErrorKind::Option, [parameter("target_gap", gap), " is not a gap".into()])
                .expected("a finite number that is not negative, for example 0.0005 for 0.05 %")
        })?;
        let (mantissa, exponent) = f64::decode(key);
        Ok(Self { mantissa, exponent })
    }

    /// The largest load whose gap to `bound` is at most this; less than `u64::MAX`, which stands for
    /// the peak of no plan: a search that may stop at any plan still has to make one.
    pub(crate) fn above(self, bound: u64) -> u64 {
        let product = u128::from(bound) * u128::from(self.mantissa);
        let excess = match u32::try_from(-i64::from(self.exponent)) {
            Ok(shift) => product.checked_shr(shift).unwrap_or(0),
            // A gap of 2^53 and more is above all loads.
            Err(_) => u128::MAX,
        };
        let above = u64::try_from(excess).map_or(u64::MAX, |excess| bound.saturating_add(excess));
        above.min(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::{Effort, Gap};
    use crate::problems::{global, topology};

    #[test]
    fn loads_within_a_gap() {
        for (gap, bound, most) in [
            (0.0, 7, 7),
            (-0.0, 7, 7),
            (0.5, 7, 10),
            (1.0, 7, 14),
            (f64::MIN_POSITIVE, u64::MAX >> 4, u64::MAX >> 4),
            (f64::from_bits(1), 7, 7),
            // A product of 117 bits.
            (1.0 + f64::EPSILON, 1 << 53, (1 << 54) + 2),
            (8.0, 1 << 61, u64::MAX - 1),
            (4_503_599_627_370_496.0, 1, 4_503_599_627_370_497),
            // No load is so far above a bound.
            (9_007_199_254_740_992.0, 1, u64::MAX - 1),
            (1e300, 1, u64::MAX - 1),
        ] {
            assert_eq!(Gap::new(gap).unwrap().above(bound), most, "{gap} {bound}");
        }
    }

    #[test]
    fn default_targets() {
        for (slots, gpus, fast, default) in [
            (72, 18, 0.005, 0.005),
            (75, 15, 0.0025, 0.0025),
            (72, 12, 0.0025, 0.001),
            (70, 10, 0.0025, 0.001),
            (72, 9, 0.0025, 0.0005),
            (66, 1, 0.0025, 0.0005),
            (64, 16, 0.0005, 0.0005),
            (60, 12, 0.0005, 0.0005),
            (60, 10, 0.0005, 0.0005),
            (64, 8, 0.0005, 0.0005),
        ] {
            let mut sizes = global(32, slots, gpus);
            for (groups, fast) in [(1, fast), (2, default)] {
                sizes.num_groups = groups;
                let topology = topology(&sizes);
                let targets = Effort::ALL.map(|effort| effort.target_gap(&topology).to_bits());
                assert_eq!(targets, [fast, default, 0.0_f64].map(f64::to_bits), "{sizes:?}");
            }
        }
    }
}
